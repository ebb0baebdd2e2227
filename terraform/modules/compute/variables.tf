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
  description = "Key that encrypts what jobs write outside of S3: logs and bookmarks."
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

variable "services" {
  description = "What runs Spark jobs: glue_job, emr or both."
  type        = set(string)
  validation {
    condition     = length(var.services) > 0 && length(setsubtract(var.services, ["glue_job", "emr"])) == 0
    error_message = "Choose glue_job, emr or both."
  }
}

variable "subnet_ids" {
  description = "Private subnets for Spark."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "Spark needs at least one subnet."
  }
}

variable "security_group_id" {
  description = "Security group of Spark jobs."
  type        = string
}

variable "policy_arns" {
  description = "Managed policies of the jobs' role, by a name: reading input, writing output."
  type        = map(string)
}

variable "artefacts_bucket" {
  description = "Bucket that holds the jobs' code under jobs/."
  type        = string
}

variable "script_key" {
  description = "Key of the Spark job's script in the artefacts' bucket."
  type        = string
  default     = "jobs/transform.py"
  validation {
    condition     = startswith(var.script_key, "jobs/") && endswith(var.script_key, ".py")
    error_message = "The script must lie under jobs/ and end with .py."
  }
}

variable "lake_bucket" {
  description = "Bucket that holds the processed zone, and takes what jobs make of it under spark/."
  type        = string
}

variable "catalog_databases" {
  description = "Glue databases that jobs read and whose tables they write."
  type        = list(string)
}

variable "glue_version" {
  description = "Version of AWS Glue; 5.1 has Spark 3.5."
  type        = string
  default     = "5.1"
  validation {
    condition     = can(regex("^[5-9]\\.[0-9]$", var.glue_version))
    error_message = "Waybill's jobs need Glue 5.0 or later."
  }
}

variable "glue_worker" {
  description = "Type and number of the Glue job's workers."
  type        = object({ type = string, count = number })
  default     = { type = "G.1X", count = 4 }
  validation {
    condition     = contains(["G.1X", "G.2X", "G.4X", "G.8X"], var.glue_worker.type) && var.glue_worker.count >= 2 && var.glue_worker.count <= 100
    error_message = "Choose G.1X, G.2X, G.4X or G.8X and 2 to 100 workers."
  }
}

variable "emr_release" {
  description = "EMR release of the Spark application."
  type        = string
  default     = "emr-7.10.0"
  validation {
    condition     = can(regex("^emr-[7-9]\\.[0-9]+\\.[0-9]+$", var.emr_release))
    error_message = "Write the release like emr-7.10.0; 7 is the oldest with Spark 3.5."
  }
}

variable "emr_maximum" {
  description = "The most that all Spark jobs together may use."
  type        = object({ vcpu = number, memory_gib = number, disk_gib = number })
  validation {
    condition     = var.emr_maximum.vcpu >= 4 && var.emr_maximum.memory_gib >= 2 * var.emr_maximum.vcpu && var.emr_maximum.disk_gib >= 20
    error_message = "At least 4 vCPU, 2 GiB of memory for each of them, and 20 GiB of disk."
  }
}
