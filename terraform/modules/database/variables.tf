variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
  }
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

variable "subnet_ids" {
  description = "Private subnets in at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "RDS wants subnets in at least two zones."
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
  description = "Size of the machine, such as db.t4g.medium."
  type        = string
  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "Write the class like db.t4g.medium."
  }
}

variable "allocated_gib" {
  description = "Storage at the start, in GiB."
  type        = number
  validation {
    condition     = var.allocated_gib >= 20
    error_message = "RDS for PostgreSQL starts at 20 GiB."
  }
}

variable "max_allocated_gib" {
  description = "Storage up to which RDS grows by itself, in GiB."
  type        = number
  validation {
    condition     = var.max_allocated_gib > var.allocated_gib
    error_message = "The limit of growth must be above the storage at the start."
  }
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over when the first fails."
  type        = bool
}

variable "deletion_protection" {
  description = "Whether the database can only be deleted after this is switched off."
  type        = bool
}

variable "backup_days" {
  description = "How many days back the database can be restored to any second."
  type        = number
  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "RDS keeps backups for 1 to 35 days."
  }
}

variable "insights_days" {
  description = "How many days of performance insights are kept: 7 (free), 31, or more in months."
  type        = number
  default     = 7
  validation {
    condition     = contains([7, 31, 62, 93, 186, 372, 731], var.insights_days)
    error_message = "Choose 7, 31, 62, 93, 186, 372 or 731 days."
  }
}

variable "password_rotation_days" {
  description = "After how many days the master password changes."
  type        = number
  default     = 30
  validation {
    condition     = var.password_rotation_days >= 1 && var.password_rotation_days <= 365
    error_message = "The password must change after 1 to 365 days."
  }
}
