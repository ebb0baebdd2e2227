variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
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

variable "cidr" {
  description = "IPv4 CIDR block of the network, from /16 to /21."
  type        = string
  validation {
    condition     = can(cidrnetmask(var.cidr)) && can(regex("/(1[6-9]|2[01])$", var.cidr))
    error_message = "This must be an IPv4 CIDR block from /16 to /21. Each subnet gets a sixteenth of it."
  }
}

variable "availability_zones" {
  description = "Names of the availability zones, such as eu-central-1a."
  type        = list(string)
  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 4 && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "Give two to four different zones."
  }
}

variable "nat_gateways" {
  description = "Number of NAT gateways, from 1 to the number of zones."
  type        = number
  validation {
    condition     = var.nat_gateways >= 1 && var.nat_gateways <= length(var.availability_zones)
    error_message = "There must be at least one NAT gateway and at most one for each zone."
  }
}

variable "interface_endpoints" {
  description = "AWS services with an interface endpoint, by the last part of the service name, such as sqs or ecr.api."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z][a-z0-9.-]+$", service))])
    error_message = "Write a service like sqs or ecr.api."
  }
}

variable "allowed_cidrs" {
  description = "IPv4 CIDR blocks from which users reach Airflow."
  type        = set(string)
  validation {
    condition     = alltrue([for block in var.allowed_cidrs : can(cidrnetmask(block)) && !endswith(block, "/0")])
    error_message = "Give IPv4 CIDR blocks such as 203.0.113.0/24. The whole Internet (/0) is not allowed."
  }
}

variable "smtp" {
  description = "Whether Airflow may send mail by SMTP on port 587."
  type        = bool
  default     = false
}

variable "flow_logs_bucket_arn" {
  description = "ARN of the bucket for flow logs."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:s3:::", var.flow_logs_bucket_arn))
    error_message = "This must be the ARN of a bucket."
  }
}
