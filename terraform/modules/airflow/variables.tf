variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
  }
}

variable "account_id" {
  description = "Number of the AWS account."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "The number of an AWS account has 12 digits."
  }
}

variable "region" {
  description = "AWS region, such as eu-central-1."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Write the region like eu-central-1."
  }
}

variable "data_key_arn" {
  description = "ARN of the KMS key that encrypts the bucket and the logs."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.data_key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of all roles."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:policy/", var.permissions_boundary_arn))
    error_message = "This must be the ARN of an IAM policy."
  }
}

# ---- what runs

variable "image" {
  description = "Image of Airflow with its digest: repository@sha256:… . Null before the first image is pushed; then there is no Airflow."
  type        = string
  default     = null
  validation {
    condition     = var.image == null ? true : can(regex("^[a-z0-9][a-z0-9./:_-]*@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest, like 123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill-dev@sha256:…. A tag can be moved to another image."
  }
}

variable "repository_arn" {
  description = "ARN of the ECR repository of the image."
  type        = string
}

variable "collector_image" {
  description = "Image of the AWS Distro for OpenTelemetry, with a version or a digest."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.48.0"
  validation {
    condition     = can(regex("(:v[0-9]+\\.[0-9]+\\.[0-9]+|@sha256:[0-9a-f]{64})$", var.collector_image))
    error_message = "Name a version such as v0.48.0, or a digest."
  }
}

variable "run_task" {
  description = "Command that runs a task and waits for its end. Its arguments are the cluster and the task definition."
  type        = string
}

variable "settings" {
  description = "Environment variables of the application."
  type        = map(string)
  validation {
    condition     = contains(keys(var.settings), "WAYBILL_RAW_BUCKET")
    error_message = "The task books needs WAYBILL_RAW_BUCKET."
  }
  validation {
    condition     = alltrue([for key in keys(var.settings) : can(regex("^WAYBILL_[A-Z_]+$", key))])
    error_message = "The name of every setting starts with WAYBILL_."
  }
}

# ---- size

variable "executor" {
  description = "Executor of Airflow: local (one service) or celery (a service for each component, and a broker)."
  type        = string
  validation {
    condition     = contains(["local", "celery"], var.executor)
    error_message = "The executor must be local or celery."
  }
  validation {
    condition     = (var.executor == "celery") == (var.broker != null)
    error_message = "The Celery executor needs a broker, and the local executor has none."
  }
}

variable "services" {
  description = "CPU units, memory in MiB and number of tasks of each service. With the local executor: airflow. With Celery: api-server, scheduler, dag-processor, triggerer and worker."
  type        = map(object({ cpu = number, memory = number, tasks = number }))
  validation {
    condition     = toset(keys(var.services)) == (var.executor == "celery" ? toset(["api-server", "scheduler", "dag-processor", "triggerer", "worker"]) : toset(["airflow"]))
    error_message = "Give the size of exactly the services of the executor."
  }
  validation {
    condition = alltrue([for service in values(var.services) : service.memory % 1024 == 0 && try(
      service.memory >= { 256 = 1024, 512 = 1024, 1024 = 2048, 2048 = 4096, 4096 = 8192, 8192 = 16384 }[service.cpu] &&
      service.memory <= { 256 = 2048, 512 = 4096, 1024 = 8192, 2048 = 16384, 4096 = 30720, 8192 = 61440 }[service.cpu], false
    )])
    error_message = "Fargate has 256 to 8192 CPU units, in powers of two, with 2 to 8 GiB of memory for each 1024 units (1 to 2 GiB for 256 units, 1 to 4 GiB for 512 units)."
  }
  validation {
    condition     = alltrue([for service in values(var.services) : service.tasks >= 1])
    error_message = "Each service needs at least one task."
  }
}

variable "max_workers" {
  description = "Maximum number of Celery workers."
  type        = number
  default     = 1
  validation {
    condition     = var.max_workers >= try(var.services["worker"].tasks, 1) && var.max_workers <= 100
    error_message = "The maximum must be at least the number of tasks of the service worker, and at most 100."
  }
}

variable "concurrency" {
  description = "Number of Airflow tasks that run at once: in each worker or, with the local executor, in all."
  type        = number
  default     = 4
  validation {
    condition     = var.concurrency >= 4 && var.concurrency <= 32
    error_message = "The concurrency must be 4 to 32: three tasks are reserved for files that arrive."
  }
}

variable "architecture" {
  description = "CPU architecture of the image that runs: ARM64 or X86_64."
  type        = string
  default     = "ARM64"
  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "The architecture must be ARM64 or X86_64."
  }
}

variable "ephemeral_gib" {
  description = "Ephemeral storage of each task in GiB, for files that are decompressed and for logs."
  type        = number
  default     = 30
  validation {
    condition     = var.ephemeral_gib >= 21 && var.ephemeral_gib <= 200
    error_message = "Fargate has 21 to 200 GiB of ephemeral storage."
  }
}

variable "spot" {
  description = "Whether services run on Fargate Spot. AWS stops a Spot task two minutes after a warning."
  type        = bool
  default     = false
}

variable "container_insights" {
  description = "Container Insights of the cluster: disabled, enabled or enhanced. Autoscaling of workers needs it."
  type        = string
  default     = "disabled"
  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "Container Insights must be disabled, enabled or enhanced."
  }
  validation {
    condition     = var.executor == "local" || var.container_insights != "disabled"
    error_message = "With the Celery executor, Container Insights must be enabled: autoscaling reads the number of workers."
  }
}

variable "enable_execute_command" {
  description = "Whether ECS Exec opens a shell in containers. Their root file systems are then writable."
  type        = bool
  default     = false
}

# ---- who reaches it

variable "address" {
  description = "Host name of Airflow, ARN of its certificate in this region and, optionally, the Route 53 zone for its record. Required with an image."
  type        = object({ host = string, certificate_arn = string, zone_id = optional(string) })
  default     = null
  validation {
    condition     = var.image == null || var.address != null
    error_message = "With an image, give the host name and the certificate of Airflow: it is served by HTTPS only."
  }
  validation {
    condition     = var.address == null ? true : can(regex("^arn:aws:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.address.certificate_arn)) && can(regex("^[a-z0-9.-]+\\.[a-z]+$", var.address.host))
    error_message = "The address needs a host name such as airflow.example.com and the ARN of an ACM certificate."
  }
}

variable "oidc" {
  description = "OpenID Connect issuer for log-in: its URL, the client, the claim with a user's groups, the role of each group (admin, operator or viewer), and whether its addresses are verified although it never sends email_verified. Required with an image."
  type        = object({ issuer = string, client_id = string, groups_claim = optional(string, "groups"), trust_email = optional(bool, false), roles = map(string) })
  default     = null
  validation {
    condition     = var.image == null || var.oidc != null
    error_message = "With an image, give the OpenID Connect issuer: without one, nobody can log in."
  }
  validation {
    condition     = var.oidc == null ? true : startswith(var.oidc.issuer, "https://") && contains(values(var.oidc.roles), "admin") && length(setsubtract(values(var.oidc.roles), ["admin", "operator", "viewer"])) == 0
    error_message = "The issuer must be an https address, each role must be admin, operator or viewer, and one group must have the role admin."
  }
}

variable "internal" {
  description = "Whether the load balancer has private addresses only."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether deletion protection of the load balancer is on."
  type        = bool
}

variable "vpc_id" {
  description = "Id of the network."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the private subnets, in at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A load balancer needs subnets in at least two zones."
  }
}

variable "public_subnet_ids" {
  description = "Ids of the public subnets for an internet-facing load balancer."
  type        = list(string)
}

variable "security_group_id" {
  description = "Id of the security group of Airflow."
  type        = string
}

variable "load_balancer_security_group_id" {
  description = "Id of the security group of the load balancer."
  type        = string
}

# ---- logs

variable "log_retention_days" {
  description = "Number of days CloudWatch keeps logs."
  type        = number
  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400, 731, 1827], var.log_retention_days)
    error_message = "Choose 7, 14, 30, 60, 90, 180, 365, 400, 731 or 1827 days."
  }
}

variable "task_log_days" {
  description = "Number of days S3 keeps the logs of Airflow's tasks."
  type        = number
}

variable "noncurrent_days" {
  description = "Number of days S3 keeps replaced versions."
  type        = number
}

variable "logs_bucket" {
  description = "Name of the bucket for access logs."
  type        = string
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes a bucket that is not empty."
  type        = bool
  default     = false
}

# ---- what the application uses

variable "warehouse" {
  description = "The warehouse: host, port, database, roles of the application and of its views, ARN of the master secret, resource id."
  type = object({
    host              = string
    port              = number
    database          = string
    role              = string
    reader            = string
    master_secret_arn = string
    resource_id       = string
  })
}

variable "warehouse_connection" {
  description = "Airflow's connection to the warehouse as JSON, without a password, for commands outside of Airflow."
  type        = string
  validation {
    condition     = !can(jsondecode(var.warehouse_connection).password)
    error_message = "The connection must not have a password: it would be in Terraform's state and in the task definition."
  }
}

variable "reader_connection" {
  description = "Airflow's connection of the role that reads the warehouse, as JSON without a password, for the task books."
  type        = string
  validation {
    condition     = !can(jsondecode(var.reader_connection).password)
    error_message = "The connection must not have a password: it would be in Terraform's state and in the task definition."
  }
}

variable "metadata" {
  description = "The metadata database: host, port, database, role of Airflow, ARN of the master secret."
  type = object({
    host              = string
    port              = number
    database          = string
    role              = string
    master_secret_arn = string
  })
}

variable "broker" {
  description = "The Celery broker: host, port, user. Null with the local executor."
  type        = object({ host = string, port = number, user = string })
  default     = null
}

variable "airflow_secret" {
  description = "Name and ARN of the secret with Airflow's keys and addresses. ECS injects single keys of it."
  type        = object({ name = string, arn = string })
}

variable "settings_secret_name" {
  description = "Name of the secret with the application's secret settings."
  type        = string
}

variable "connections_prefix" {
  description = "Prefix of Airflow connections in Secrets Manager."
  type        = string
}

variable "policy_arns" {
  description = "ARNs of managed policies of the application's role, by name."
  type        = map(string)
}

variable "landed_queue_arns" {
  description = "ARNs of the queues that receive notifications of landed files."
  type        = list(string)
}

variable "dead_letter_queue_arns" {
  description = "ARNs of the dead-letter queues of these queues."
  type        = list(string)
}

variable "output_role_arn" {
  description = "ARN of the role that publishes reports."
  type        = string
}

variable "alerts_topic_arn" {
  description = "ARN of the topic for alerts about data."
  type        = string
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the application's metrics."
  type        = string
}

variable "catalog_database" {
  description = "Name of the Glue database of the lake."
  type        = string
}

variable "training_database" {
  description = "Name of the Glue database of the training sets."
  type        = string
}

variable "lineage_domain" {
  description = "Domain of Amazon DataZone (SageMaker Catalog) that gets the lineage events of runs, such as dzd_4f8xample. Null sends none."
  type        = string
  default     = null
  validation {
    condition     = var.lineage_domain == null ? true : can(regex("^dzd[-_][a-zA-Z0-9_-]{1,36}$", var.lineage_domain))
    error_message = "The id of a domain looks like dzd_4f8xample."
  }
}
