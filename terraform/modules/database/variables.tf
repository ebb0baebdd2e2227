variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
  }
}

variable "purpose" {
  description = "Purpose of the database, the last part of its name: warehouse or metadata."
  type        = string
  validation {
    condition     = contains(["warehouse", "metadata"], var.purpose)
    error_message = "The purpose must be warehouse or metadata."
  }
}

variable "database" {
  description = "Name of the PostgreSQL database."
  type        = string
}

variable "role" {
  description = "PostgreSQL role that owns the database. `waybill bootstrap` creates it."
  type        = string
}

variable "key_arn" {
  description = "Key that encrypts storage, backups, performance insights and the master password."
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

variable "log_retention_days" {
  description = "Number of days CloudWatch keeps logs."
  type        = number
  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400, 731, 1827], var.log_retention_days)
    error_message = "Choose 7, 14, 30, 60, 90, 180, 365, 400, 731 or 1827 days."
  }
}

variable "subnet_ids" {
  description = "Private subnets in at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "RDS needs subnets in at least two zones."
  }
}

variable "security_group_id" {
  description = "Security group of the database."
  type        = string
}

variable "engine_version" {
  description = "PostgreSQL version: a major version such as 18 (AWS then chooses the minor), or an exact one."
  type        = string
  default     = "18"
  validation {
    condition     = can(regex("^(1[4-9]|2[0-9])(\\.[0-9]+)?$", var.engine_version))
    error_message = "Waybill needs PostgreSQL 14 or later, written like 18 or 18.1."
  }
}

variable "instance_class" {
  description = "Instance class, such as db.t4g.medium."
  type        = string
  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "Write the class like db.t4g.medium."
  }
}

variable "allocated_gib" {
  description = "Allocated storage in GiB."
  type        = number
  validation {
    condition     = var.allocated_gib >= 20
    error_message = "RDS for PostgreSQL starts at 20 GiB."
  }
}

variable "max_allocated_gib" {
  description = "Limit of storage autoscaling in GiB."
  type        = number
  validation {
    condition     = var.max_allocated_gib > var.allocated_gib
    error_message = "max_allocated_gib must be greater than allocated_gib."
  }
}

variable "multi_az" {
  description = "Whether a standby instance runs in another zone."
  type        = bool
}

variable "deletion_protection" {
  description = "Whether deletion protection is on."
  type        = bool
}

variable "backup_days" {
  description = "Number of days RDS keeps automated backups."
  type        = number
  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "RDS keeps backups for 1 to 35 days."
  }
}

variable "keep_backups" {
  description = "Whether a deleted database leaves a final snapshot and its automated backups."
  type        = bool
  default     = true
}

variable "insights_mode" {
  description = "Mode of CloudWatch Database Insights: standard (7 days, free of charge) or advanced (465 days)."
  type        = string
  default     = "standard"
  validation {
    condition     = contains(["standard", "advanced"], var.insights_mode)
    error_message = "The mode must be standard or advanced."
  }
}

variable "password_rotation_days" {
  description = "Number of days after which RDS rotates the master password."
  type        = number
  default     = 30
  validation {
    condition     = var.password_rotation_days >= 1 && var.password_rotation_days <= 365
    error_message = "The rotation period must be 1 to 365 days."
  }
}
