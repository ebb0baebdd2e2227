variable "name" {
  description = "Name of the bucket, unique in the world."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the objects; null: the key that S3 keeps (for what S3 itself or CloudFront must write or read)."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws:kms:", var.kms_key_arn))
    error_message = "This must be the ARN of a KMS key, or null."
  }
}

variable "access_log_bucket" {
  description = "Bucket that takes the access logs under s3/<name>/; null: none are written."
  type        = string
  default     = null
  validation {
    condition     = var.access_log_bucket != var.name
    error_message = "A bucket that logs into itself grows by its own logs."
  }
}

variable "glacier_after_days" {
  description = "After how many days objects move to Glacier Instant Retrieval, which answers at once; null: never."
  type        = number
  default     = null
  validation {
    condition     = var.glacier_after_days == null ? true : var.glacier_after_days >= 30
    error_message = "Objects must be at least 30 days old before moving pays."
  }
}

variable "expire_after_days" {
  description = "After how many days objects expire, by the beginning of their keys; an empty beginning means all."
  type        = map(number)
  default     = {}
  validation {
    condition     = alltrue([for days in values(var.expire_after_days) : days >= 1])
    error_message = "The number of days must be at least 1."
  }
}

variable "noncurrent_days" {
  description = "After how many days a version that was replaced or deleted expires: until then it can be brought back."
  type        = number
  default     = 90
  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "The number of days must be at least 1."
  }
}

variable "policy_statements" {
  description = "Statements to add to the bucket's policy, each as JSON."
  type        = list(string)
  default     = []
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes a bucket that holds objects."
  type        = bool
  default     = false
}
