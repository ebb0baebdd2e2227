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

variable "permissions_boundary_arn" {
  description = "ARN of the policy that bounds what any role made here can be allowed."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:policy/", var.permissions_boundary_arn))
    error_message = "This must be the ARN of an IAM policy."
  }
}

variable "environment" {
  description = "Name of the environment on GitHub whose approval the deploying role wants."
  type        = string
}

variable "repository" {
  description = "GitHub repository, as owner/name."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "Write the repository as owner/name; a wildcard would let others in."
  }
}

variable "oidc_provider_is_there" {
  description = "Whether the account knows GitHub's OIDC provider already (there can be only one); if not, it is made."
  type        = bool
  default     = false
}

variable "state_bucket" {
  description = "Bucket of Terraform's state."
  type        = string
}

variable "image_repository" {
  description = "Name of the ECR repository."
  type        = string
}
