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
  description = "Key that encrypts data: raw, lake and reports."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.data_key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "queue_key_arn" {
  description = "Key that encrypts the queue of landed files."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.queue_key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "glacier_after_days" {
  description = "After how many days the objects of a zone move to Glacier Instant Retrieval; null: never."
  type = object({
    raw     = optional(number)
    lake    = optional(number)
    reports = optional(number)
  })
  validation {
    condition     = alltrue([for days in values(var.glacier_after_days) : days == null ? true : days >= 30])
    error_message = "Objects must be at least 30 days old before moving pays."
  }
}

variable "raw_expire_after_days" {
  description = "After how many days the bucket removes raw files, by prefix: the retention of raw files in contracts."
  type        = map(number)
  default     = {}
  validation {
    condition     = alltrue([for prefix, days in var.raw_expire_after_days : endswith(prefix, "/") && prefix != "/" && days >= 1])
    error_message = "A prefix ends with a slash, and the number of days is at least 1."
  }
}

variable "noncurrent_days" {
  description = "After how many days replaced and deleted versions expire."
  type        = number
  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "The number of days must be at least 1."
  }
}

variable "log_expire_after_days" {
  description = "After how many days access logs, trails and flow logs expire."
  type        = number
  validation {
    condition     = var.log_expire_after_days >= 30
    error_message = "Logs of fewer than 30 days do not tell what happened last month."
  }
}

variable "dashboard_distribution_arns" {
  description = "ARNs of the CloudFront distributions that may read the dashboard's bucket."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.dashboard_distribution_arns : can(regex("^arn:aws:cloudfront::[0-9]{12}:distribution/", arn))])
    error_message = "These must be ARNs of CloudFront distributions."
  }
}

variable "trail_arn" {
  description = "ARN of the CloudTrail trail that may write into the logs' bucket."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:cloudtrail:", var.trail_arn))
    error_message = "This must be the ARN of a trail."
  }
}

variable "arrivals" {
  description = "Domains with a queue, and the prefixes of the raw bucket under which their files land."
  type        = map(list(string))
  validation {
    condition = alltrue([
      for pipeline, prefixes in var.arrivals : can(regex("^[a-z][a-z0-9_]*$", pipeline)) && alltrue([for prefix in prefixes : endswith(prefix, "/")])
    ])
    error_message = "A domain's name has lower-case letters, digits and underscores, and a prefix ends with a slash."
  }
  validation {
    condition = alltrue([
      for one in flatten(values(var.arrivals)) : length([for other in flatten(values(var.arrivals)) : other if startswith(other, one)]) == 1
    ])
    error_message = "S3 refuses prefixes of which one begins with another."
  }
}

variable "landed_max_receives" {
  description = "How often a message about a landed file is given out before it goes to the dead-letter queue."
  type        = number
  default     = 5
  validation {
    condition     = var.landed_max_receives >= 1 && var.landed_max_receives <= 1000
    error_message = "The number must be from 1 to 1000."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes buckets that hold objects."
  type        = bool
  default     = false
}
