variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
  }
}

variable "account_id" {
  description = "The AWS account's number."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An AWS account has a number of 12 digits."
  }
}

variable "region" {
  description = "The AWS region, such as eu-central-1."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region must be written like eu-central-1."
  }
}

variable "data_key_arn" {
  description = "Key that encrypts the environment, its bucket and its logs."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.data_key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the policy that bounds what any role made here can be allowed."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:policy/", var.permissions_boundary_arn))
    error_message = "This must be the ARN of an IAM policy."
  }
}

variable "log_retention_days" {
  description = "How many days CloudWatch keeps logs."
  type        = number
  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400, 731, 1827], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 7, 14, 30, 60, 90, 180, 365, 400, 731 or 1827 days."
  }
}

variable "airflow_version" {
  description = "Apache Airflow version that MWAA offers in the region."
  type        = string
  validation {
    condition     = can(regex("^3\\.[0-9]+\\.[0-9]+$", var.airflow_version))
    error_message = "Waybill needs Airflow 3; write the version like 3.0.6."
  }
}

variable "artefacts" {
  description = "S3 versions of artefacts/plugins.zip and artefacts/requirements.txt in the artefacts bucket; null: they are not uploaded yet, and there is no environment."
  type = object({
    plugins_version      = string
    requirements_version = string
  })
  validation {
    condition     = var.artefacts == null ? true : alltrue([for version in values(var.artefacts) : length(version) > 0])
    error_message = "Both S3 versions must be given."
  }
}

variable "environment_class" {
  description = "Size of Airflow's machines."
  type        = string
  validation {
    condition     = contains(["mw1.micro", "mw1.small", "mw1.medium", "mw1.large", "mw1.xlarge", "mw1.2xlarge"], var.environment_class)
    error_message = "The class must be mw1.micro, small, medium, large, xlarge or 2xlarge."
  }
}

variable "workers" {
  description = "How many workers there are at least and at most."
  type        = object({ min = number, max = number })
  validation {
    condition     = var.workers.min >= 1 && var.workers.max >= var.workers.min && var.workers.max <= 25
    error_message = "There are 1 to 25 workers, at least as many at most as at least."
  }
}

variable "webserver_access_mode" {
  description = "Who reaches the user interface: PUBLIC_ONLY (anybody whom IAM lets in) or PRIVATE_ONLY (from within the network)."
  type        = string
  validation {
    condition     = contains(["PUBLIC_ONLY", "PRIVATE_ONLY"], var.webserver_access_mode)
    error_message = "The mode must be PUBLIC_ONLY or PRIVATE_ONLY."
  }
}

variable "subnet_ids" {
  description = "Two private subnets in different zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) == 2
    error_message = "MWAA wants exactly two subnets."
  }
}

variable "security_group_id" {
  description = "Security group of Airflow."
  type        = string
}

variable "settings" {
  description = "The application's environment variables; see the README's table."
  type        = map(string)
  validation {
    condition     = alltrue([for key in keys(var.settings) : can(regex("^WAYBILL_[A-Z_]+$", key))])
    error_message = "Every setting starts with WAYBILL_."
  }
  validation {
    condition     = alltrue([for value in values(var.settings) : !can(regex("['\n]", value))])
    error_message = "A setting must not hold a quote or a line break: it is written into a shell script."
  }
}

variable "airflow_options" {
  description = "More of Airflow's configuration options, as section.key."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for key in keys(var.airflow_options) : can(regex("^[a-z_]+\\.[a-z_]+$", key))])
    error_message = "Write an option as section.key."
  }
}

variable "connections_prefix" {
  description = "Where the connections are in Secrets Manager."
  type        = string
}

variable "policy_arns" {
  description = "Managed policies of the scheduler's role, by a name: reading input, writing output, and what single domains use."
  type        = map(string)
}

variable "landed_queue_arns" {
  description = "Queues that tell of landed files."
  type        = list(string)
}

variable "output_role_arn" {
  description = "Role that Airflow takes to publish reports."
  type        = string
}

variable "settings_secret_name" {
  description = "Secret with the settings that nobody else may see, such as the key of the pseudonyms."
  type        = string
}

variable "alerts_topic_arn" {
  description = "Topic to which the application sends alerts."
  type        = string
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the application's metrics."
  type        = string
}

variable "database_resource_id" {
  description = "AWS's id of the database."
  type        = string
}

variable "database_roles" {
  description = "PostgreSQL roles to connect as."
  type        = list(string)
}

variable "catalog_database" {
  description = "Glue database in which the application creates its tables."
  type        = string
}

variable "logs_bucket" {
  description = "Bucket that takes access logs."
  type        = string
}
