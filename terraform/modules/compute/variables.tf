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

variable "runtime" {
  description = "What runs Spark jobs: glue or emr."
  type        = string
  validation {
    condition     = contains(["glue", "emr"], var.runtime)
    error_message = "Choose glue or emr."
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

variable "read_input_policy_arn" {
  description = "Managed policy for reading raw files."
  type        = string
}

variable "artefacts_bucket" {
  description = "Bucket that holds the jobs' code."
  type        = string
}

variable "code_prefix" {
  description = "Folder of the code in that bucket: job.py, waybill.zip and requirements.txt."
  type        = string
  validation {
    condition     = can(regex("^spark/[0-9a-f]{16}$", var.code_prefix))
    error_message = "The folder must be spark/ and the first 16 characters of the code's hash."
  }
}

variable "lake_bucket" {
  description = "Bucket that holds the tables of the lake, requests and results."
  type        = string
}

variable "catalog_database" {
  description = "Glue database whose tables jobs read and write."
  type        = string
}

variable "domains" {
  description = "Domains on Spark: their tables are called <domain>_<dataset>."
  type        = list(string)
  validation {
    condition     = length(var.domains) > 0 && alltrue([for domain in var.domains : can(regex("^[a-z][a-z0-9_]*$", domain))])
    error_message = "Name at least one domain, in lower-case letters, digits and underscores."
  }
}

variable "lake_prefixes" {
  description = "Where the tables of these domains have their files in the lake bucket."
  type        = list(string)
  validation {
    condition     = alltrue([for prefix in var.lake_prefixes : can(regex("^[^*?]+[/_]$", prefix))])
    error_message = "A prefix must end with / or _, and have no wildcard."
  }
}

variable "limit_hours" {
  description = "After how many hours a job is stopped."
  type        = number
  default     = 8
  validation {
    condition     = var.limit_hours >= 1 && var.limit_hours <= 168 && floor(var.limit_hours) == var.limit_hours
    error_message = "A job runs for 1 to 168 whole hours."
  }
}

variable "max_concurrent_runs" {
  description = "How many runs on Glue may be active at once."
  type        = number
  default     = 4
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
  description = "EMR release of the Spark application; from 7.13 on, it has the Spark of Glue 5.1."
  type        = string
  default     = "emr-7.13.0"
  validation {
    condition     = can(regex("^emr-7\\.(1[3-9]|[2-9][0-9])\\.[0-9]+$", var.emr_release))
    error_message = "Write the release like emr-7.13.0; 7.13 is the oldest that Waybill supports."
  }
}

variable "emr_image" {
  description = "Image of the Spark application in ECR, with Python 3.11 and the packages of requirements-spark.txt; needed for emr."
  type        = string
  default     = null
  validation {
    condition     = var.emr_image == null ? var.runtime != "emr" : can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com/[a-z0-9/_-]+(:|@sha256:)[A-Za-z0-9._-]+$", var.emr_image))
    error_message = "EMR Serverless needs an image in ECR; docs/do/aws.md shows how to build it."
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
