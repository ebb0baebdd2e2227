variable "owner" {
  description = "Who answers for the bucket: the tag Owner."
  type        = string
  validation {
    condition     = length(var.owner) > 0
    error_message = "An owner must be named."
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
