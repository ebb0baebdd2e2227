variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
  }
}

variable "bucket_domain_name" {
  description = "Host name of the dashboard's bucket."
  type        = string
}

variable "logs_bucket_arn" {
  description = "ARN of the bucket that takes access logs."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:s3:::", var.logs_bucket_arn))
    error_message = "This must be the ARN of a bucket."
  }
}

variable "allowed_cidrs" {
  description = "Networks from which the dashboard may be opened; everybody else is refused."
  type        = set(string)
  validation {
    condition     = alltrue([for cidr in var.allowed_cidrs : can(cidrhost(cidr, 0))])
    error_message = "These must be CIDR blocks, such as 203.0.113.0/24."
  }
  validation {
    condition     = alltrue([for cidr in var.allowed_cidrs : can(regex("^[0-9.]+/([89]|[12][0-9]|3[0-2])$", cidr))])
    error_message = "Give IPv4 networks no larger than /8: the dashboard shows figures of the business, and this list is what protects it."
  }
}

variable "certificate" {
  description = "Own host name and its certificate (in us-east-1); null: CloudFront's name."
  type        = object({ host = string, acm_arn = string })
  default     = null
  validation {
    condition     = var.certificate == null ? true : can(regex("^arn:aws:acm:us-east-1:", var.certificate.acm_arn))
    error_message = "CloudFront takes certificates of us-east-1 only."
  }
}
