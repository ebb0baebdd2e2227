variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens."
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

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the schedules."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
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

variable "cluster" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "services" {
  description = "Number of tasks of each ECS service by day."
  type        = map(number)
}

variable "databases" {
  description = "Identifiers of the RDS instances."
  type        = set(string)
}

variable "timezone" {
  description = "Time zone of the times, such as Europe/Berlin."
  type        = string
  default     = "UTC"
}

variable "stop" {
  description = "Time at which services stop each day; databases follow 15 minutes later."
  type        = object({ hour = number, minute = optional(number, 0) })
  validation {
    condition     = var.stop.hour >= 0 && var.stop.hour <= 23 && var.stop.minute >= 0 && var.stop.minute <= 44
    error_message = "Give an hour from 0 to 23 and a minute from 0 to 44."
  }
}

variable "start" {
  description = "Time and days of the week at which databases start; services follow 20 minutes later."
  type        = object({ hour = number, minute = optional(number, 0), days = optional(string, "MON-FRI") })
  validation {
    condition     = var.start.hour >= 0 && var.start.hour <= 23 && var.start.minute >= 0 && var.start.minute <= 39
    error_message = "Give an hour from 0 to 23 and a minute from 0 to 39."
  }
  validation {
    condition     = can(regex("^(MON|TUE|WED|THU|FRI|SAT|SUN)([,-](MON|TUE|WED|THU|FRI|SAT|SUN))*$", var.start.days))
    error_message = "Write the days like MON-FRI or MON,WED."
  }
}
