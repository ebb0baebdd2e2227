# Once for an account, before everything else: the bucket that holds Terraform's state. Its own state is a local file;
# keep it, or import the bucket again.
provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = { Project = "waybill", Owner = var.owner, ManagedBy = "terraform" }
  }
}

resource "aws_kms_key" "state" {
  description             = "Terraform's state"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AccountDecides"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "state" {
  name          = "alias/waybill-state"
  target_key_id = aws_kms_key.state.key_id
}

module "state" {
  source            = "../modules/bucket"
  name              = "waybill-state-${var.account_id}"
  kms_key_arn       = aws_kms_key.state.arn
  noncurrent_days   = 365
  expire_after_days = { "plans/" = 30 } # GitHub waits no longer for the approval of a plan
}

output "state_bucket" {
  description = "Bucket of Terraform's state: for backend and terraform.tfvars of the environments."
  value       = module.state.name
}
