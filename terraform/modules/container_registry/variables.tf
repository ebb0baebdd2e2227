variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
  }
}

variable "key_arn" {
  description = "Key that encrypts the images."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "keep_images" {
  description = "How many tagged images are kept."
  type        = number
  default     = 30
  validation {
    condition     = var.keep_images >= 2
    error_message = "Rolling back needs at least the image before the last."
  }
}

variable "force_delete" {
  description = "Whether `terraform destroy` deletes a repository that holds images."
  type        = bool
  default     = false
}
