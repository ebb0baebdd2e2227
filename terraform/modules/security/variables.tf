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

variable "log_retention_days" {
  description = "How many days CloudWatch keeps logs."
  type        = number
  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400, 731, 1827], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 7, 14, 30, 60, 90, 180, 365, 400, 731 or 1827 days."
  }
}

variable "bucket_arns" {
  description = "ARNs of the buckets: raw, lake, reports, dashboard, logs."
  type = object({
    raw       = string
    lake      = string
    reports   = string
    dashboard = string
    logs      = string
  })
  validation {
    condition     = alltrue([for arn in values(var.bucket_arns) : can(regex("^arn:aws:s3:::[a-z0-9-]+$", arn))])
    error_message = "These must be ARNs of buckets."
  }
}

variable "logs_bucket_name" {
  description = "Bucket that takes the trail."
  type        = string
}

variable "connections" {
  description = "Airflow connections by id, as JSON, for Secrets Manager. None may hold a password: the values are in Terraform's state."
  type        = map(string)
  validation {
    condition     = alltrue([for id in keys(var.connections) : can(regex("^[a-z][a-z0-9_]*$", id))])
    error_message = "A connection's id has lower-case letters, digits and underscores."
  }
  validation {
    condition     = alltrue([for value in values(var.connections) : can(jsondecode(value).conn_type)])
    error_message = "A connection must be JSON with a conn_type."
  }
  validation {
    condition     = alltrue([for value in values(var.connections) : !can(jsondecode(value).password)])
    error_message = "A password would end up in Terraform's state; put such a connection into Secrets Manager by hand."
  }
}

variable "readers" {
  description = "Names of the roles that may take the role of the reader of input, beside Glue's crawler."
  type        = list(string)
  default     = []
}

variable "writers" {
  description = "Names of the roles that may take the role of the writer of output."
  type        = list(string)
}

variable "secret_recovery_days" {
  description = "Number of days Secrets Manager keeps a deleted secret; 0 deletes it at once, and its name is free again."
  type        = number
  validation {
    condition     = var.secret_recovery_days == 0 || (var.secret_recovery_days >= 7 && var.secret_recovery_days <= 30)
    error_message = "Choose 0 or 7 to 30 days."
  }
}
