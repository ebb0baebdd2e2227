variable "name" {
  description = "Prefix of every name, such as waybill-prod."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts data at rest and logs."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "This must be the ARN of a KMS key."
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
  description = "Ids of private subnets in at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "ElastiCache needs subnets in at least two zones."
  }
}

variable "security_group_id" {
  description = "Id of the security group of the broker."
  type        = string
}

variable "engine_version" {
  description = "Valkey version, such as 8.0."
  type        = string
  default     = "8.0"
  validation {
    condition     = can(regex("^[89]\\.[0-9]$", var.engine_version))
    error_message = "The version must be 8.0 or later, written like 8.0."
  }
}

variable "node_type" {
  description = "Node type, such as cache.t4g.micro."
  type        = string
  default     = "cache.t4g.micro"
  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "Write the node type like cache.t4g.micro."
  }
}

variable "nodes" {
  description = "Number of nodes. With two or more, a replica in another zone takes over when the primary fails."
  type        = number
  default     = 1
  validation {
    condition     = var.nodes >= 1 && var.nodes <= 6
    error_message = "The broker can have 1 to 6 nodes."
  }
}
