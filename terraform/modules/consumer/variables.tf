variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
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

variable "data_key_arn" {
  description = "ARN of the KMS key that encrypts the log."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.data_key_arn))
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
  description = "How many days CloudWatch keeps logs."
  type        = number
  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400, 731, 1827], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 7, 14, 30, 60, 90, 180, 365, 400, 731 or 1827 days."
  }
}

# ---- what it reads and writes

variable "dataset" {
  description = "Dataset whose events the stream has, such as billing.payments."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9_]*\\.[a-z][a-z0-9_]*$", var.dataset))
    error_message = "Write the dataset with its domain, like billing.payments."
  }
}

variable "stream_name" {
  description = "Name of the Kinesis stream."
  type        = string
}

variable "consume_policy_arn" {
  description = "Managed policy for reading the stream."
  type        = string
}

variable "archive_prefix" {
  description = "Where the files of the dataset lie in the raw bucket: the consumers write there, and nowhere else."
  type        = string
  validation {
    condition     = can(regex("^[^*?]+/$", var.archive_prefix))
    error_message = "A prefix must end with /, and have no wildcard."
  }
}

variable "warehouse" {
  description = "PostgreSQL role that owns the warehouse, and the resource id of the database."
  type        = object({ role = string, resource_id = string })
}

variable "warehouse_connection" {
  description = "Connection to the warehouse as JSON. It has no password: the role of the task signs a token."
  type        = string
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the application's metrics."
  type        = string
}

variable "settings" {
  description = "Environment variables of the application."
  type        = map(string)
  validation {
    condition     = contains(keys(var.settings), "WAYBILL_RAW_BUCKET")
    error_message = "The archive needs WAYBILL_RAW_BUCKET."
  }
}

# ---- what runs

variable "image" {
  description = "Image of the project with its digest: repository@sha256:… ."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9./:_-]*@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest: a tag can be moved to another image."
  }
}

variable "repository_arn" {
  description = "ARN of the ECR repository of the image."
  type        = string
}

variable "cluster" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "size" {
  description = "CPU units and memory in MiB of a consumer, and how many there are: as many as shards, or fewer."
  type        = object({ cpu = number, memory = number, tasks = number })
  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.size.cpu) && var.size.memory >= 1024 && var.size.memory % 1024 == 0
    error_message = "Fargate has 256 to 4096 CPU units, in powers of two, and memory in steps of 1024 MiB."
  }
  validation {
    condition     = var.size.tasks >= 1 && var.size.tasks <= 100
    error_message = "There must be 1 to 100 consumers."
  }
}

variable "architecture" {
  description = "CPU architecture of the image that runs: ARM64 or X86_64."
  type        = string
  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "The architecture must be ARM64 or X86_64."
  }
}

variable "spot" {
  description = "Whether consumers run on Fargate Spot. AWS stops a Spot task two minutes after a warning."
  type        = bool
}

variable "subnet_ids" {
  description = "Ids of the private subnets."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "Consumers need at least one subnet."
  }
}

variable "security_group_id" {
  description = "Security group of consumers; it must reach the warehouse."
  type        = string
}
