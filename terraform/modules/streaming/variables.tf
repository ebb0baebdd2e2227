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
  description = "Key that encrypts the stream."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.data_key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "dataset" {
  description = "Dataset whose events the stream has, such as billing.payments."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9_]*\\.[a-z][a-z0-9_]*$", var.dataset))
    error_message = "Write the dataset with its domain, like billing.payments."
  }
}

variable "shards" {
  description = "How many shards (1 MB/s in, 2 MB/s out each); 0: AWS adds and removes them on demand."
  type        = number
  validation {
    condition     = var.shards >= 0 && var.shards <= 100
    error_message = "There can be 0 (on demand) to 100 shards."
  }
}

variable "retention_hours" {
  description = "How long a consumer may be away without losing events, in hours."
  type        = number
  default     = 168
  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "Kinesis keeps events for 24 to 8760 hours."
  }
}
