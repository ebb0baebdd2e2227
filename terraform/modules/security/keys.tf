# Two keys: `data` for what the business stores, `operations` for queues, topics, logs and trails, which AWS services
# write by themselves. An IAM policy names a key by its alias, so that the policy is known before the key is there.
locals {
  root_statement = {
    Sid       = "AccountDecides" # IAM policies of the account say who may use the key
    Effect    = "Allow"
    Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
    Action    = "kms:*"
    Resource  = "*"
  }

  logs_statement = {
    Sid       = "LogsEncrypt"
    Effect    = "Allow"
    Principal = { Service = "logs.${var.region}.amazonaws.com" }
    Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    Resource  = "*"
    Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${var.account_id}:*" } }
  }

  senders_statement = {
    Sid       = "ServicesSend" # the raw bucket into the queue, alarms, budgets and unusual charges into topics
    Effect    = "Allow"
    Principal = { Service = ["s3.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"] }
    Action    = ["kms:GenerateDataKey*", "kms:Decrypt"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
  }

  trail_statement = {
    Sid       = "TrailEncrypts"
    Effect    = "Allow"
    Principal = { Service = "cloudtrail.amazonaws.com" }
    Action    = ["kms:GenerateDataKey*", "kms:DescribeKey"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
  }

  key_statements = {
    data       = [for statement in [local.root_statement, local.logs_statement] : jsonencode(statement)]
    operations = [for statement in [local.root_statement, local.logs_statement, local.senders_statement, local.trail_statement] : jsonencode(statement)]
  }
}

resource "aws_kms_key" "this" {
  for_each                = local.key_statements
  description             = "${var.name}: ${each.key}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in each.value : jsondecode(statement)]
  })
}

resource "aws_kms_alias" "this" {
  for_each      = aws_kms_key.this
  name          = "alias/${var.name}-${each.key}"
  target_key_id = each.value.key_id
}
