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
  description = "Key that encrypts the answers of queries and the crawler's logs."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.data_key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "contracts_dir" {
  description = "Folder of the contracts, <domain>/<dataset>.yaml."
  type        = string
  validation {
    condition     = length(fileset(var.contracts_dir, "*/*.yaml")) > 0
    error_message = "There is no contract, <domain>/<dataset>.yaml, in this folder."
  }
}

variable "domains_dir" {
  description = "Folder of the domain manifests, <domain>.yaml."
  type        = string
  validation {
    condition     = length(fileset(var.domains_dir, "*.yaml")) > 0
    error_message = "There is no manifest, <domain>.yaml, in this folder."
  }
}

variable "database_prefix" {
  description = "Prefix of the Glue databases' names; they are <prefix>_processed and <prefix>_raw."
  type        = string
  default     = "waybill"
  validation {
    condition     = can(regex("^[a-z][a-z0-9_]*$", var.database_prefix))
    error_message = "The prefix has lower-case letters, digits and underscores."
  }
}

variable "raw_bucket" {
  description = "Bucket in which files land."
  type        = string
}

variable "lake_bucket" {
  description = "Bucket of the processed zone; answers of queries go there too, under athena/."
  type        = string
}

variable "crawler_role_name" {
  description = "Name of the role that reads the raw zone."
  type        = string
}

variable "crawler_role_arn" {
  description = "ARN of the role that reads the raw zone."
  type        = string
}

variable "crawler_schedule" {
  description = "When the crawler looks at the raw zone, in UTC."
  type        = string
  default     = "cron(30 4 * * ? *)"
  validation {
    condition     = can(regex("^cron\\(.+\\)$", var.crawler_schedule))
    error_message = "Write the schedule as cron(minute hour day month weekday year)."
  }
}

variable "scan_limit_gib" {
  description = "How much a single query may read, in GiB; above it is cancelled."
  type        = number
  validation {
    condition     = var.scan_limit_gib >= 1
    error_message = "A query must be allowed to read at least 1 GiB."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes a workgroup that has queries."
  type        = bool
  default     = false
}
