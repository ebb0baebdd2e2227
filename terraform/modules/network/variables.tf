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
  description = "Addresses of the network, /16 to /21."
  type        = string
  validation {
    condition     = can(cidrnetmask(var.cidr)) && can(regex("/(1[6-9]|2[01])$", var.cidr))
    error_message = "This must be an IPv4 CIDR block from /16 to /21: each zone has room for a sixteenth of it."
  }
}

variable "availability_zones" {
  description = "Zones of the region to use, such as eu-central-1a; Airflow runs in the first two."
  type        = list(string)
  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 4 && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "Give two to four different zones."
  }
}

variable "nat_gateways" {
  description = "How many ways out to the Internet: 0 none (all wheels must then lie in plugins.zip), 1 cheap, or one for each zone."
  type        = number
  validation {
    condition     = var.nat_gateways >= 0 && var.nat_gateways <= length(var.availability_zones)
    error_message = "There can be from 0 to as many NAT gateways as zones."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached without leaving the network, by the last part of the endpoint's name."
  type        = set(string)
  default = [
    "airflow.api", "airflow.env", "athena", "ecr.api", "ecr.dkr", "emr-serverless", "glue", "kinesis-streams", "kms", "logs",
    "monitoring", "secretsmanager", "sns", "sqs", "sts",
  ]
  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z][a-z0-9.-]+$", service))])
    error_message = "Write a service like sqs or ecr.api."
  }
}

variable "flow_logs_bucket_arn" {
  description = "ARN of the bucket that takes the records of connections."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:s3:::", var.flow_logs_bucket_arn))
    error_message = "This must be the ARN of a bucket."
  }
}
