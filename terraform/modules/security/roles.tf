# Reading input and writing output are two policies and two roles: who has one of them can neither change what was
# delivered nor see what it was made from. Airflow has both, since its one connection `aws_default` does both.
locals {
  # Known before they are made, so that a plan shows what may do what.
  policy_arn = { for policy in ["boundary", "read-input", "write-output"] : policy => "arn:aws:iam::${var.account_id}:policy/${var.name}-${policy}" }
  role_arn   = { for role in ["input-reader", "output-writer"] : role => "arn:aws:iam::${var.account_id}:role/${var.name}-${role}" }

  use_data_key = {
    Sid      = "UseDataKey"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
    Condition = {
      "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.name}-data" }
      StringEquals               = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" }
    }
  }
}

resource "aws_iam_policy" "boundary" {
  #checkov:skip=CKV_AWS_355:A boundary bounds, it grants nothing; the roles' own policies name resources
  #checkov:skip=CKV_AWS_290:As above
  #checkov:skip=CKV_AWS_289:As above
  #checkov:skip=CKV_AWS_288:As above
  #checkov:skip=CKV_AWS_287:As above
  #checkov:skip=CKV_AWS_286:As above
  name        = "${var.name}-boundary"
  description = "The most that a role of ${var.name} can be allowed."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "WhatWorkNeeds"
        Effect = "Allow"
        Action = [
          "airflow:PublishMetrics", "athena:*", "cloudwatch:*", "ec2:CreateNetworkInterface*", "ec2:DeleteNetworkInterface",
          "ec2:Describe*", "ec2:CreateTags", "ec2:DeleteTags", "ecr:*", "emr-serverless:*", "glue:*", "kinesis:*", "kms:*",
          "logs:*", "rds-db:connect", "s3:*", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "sns:Publish",
          "sqs:*", "sts:AssumeRole", "sts:GetCallerIdentity",
        ]
        Resource = "*"
      },
      {
        Sid      = "PassOwnRoles"
        Effect   = "Allow"
        Action   = "iam:PassRole"
        Resource = "arn:aws:iam::${var.account_id}:role/${var.name}-*"
      },
      {
        Sid    = "NeverDestroyOrOpen"
        Effect = "Deny"
        Action = [
          "kms:DisableKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "logs:DeleteLogGroup", "s3:DeleteBucket*",
          "s3:DeleteObjectVersion", "s3:PutBucketAcl", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock",
          "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration", "sqs:DeleteQueue",
        ]
        Resource = "*"
      },
      {
        Sid       = "NeverCarryOut" # data does not leave the account
        Effect    = "Deny"
        Action    = ["s3:PutObject*", "s3:ReplicateObject", "kinesis:PutRecord*", "sns:Publish"]
        Resource  = "*"
        Condition = { StringNotEquals = { "aws:ResourceAccount" = var.account_id } }
      },
    ]
  })
}

resource "aws_iam_policy" "read_input" {
  name        = "${var.name}-read-input"
  description = "Read what was delivered."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ListRaw"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"]
        Resource = var.bucket_arns.raw
      },
      {
        Sid      = "ReadRaw"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging"]
        Resource = "${var.bucket_arns.raw}/*"
      },
      merge(local.use_data_key, { Action = ["kms:Decrypt"] }),
    ]
  })
}

resource "aws_iam_policy" "write_output" {
  name        = "${var.name}-write-output"
  description = "Write and replace lake, reports and dashboard; versions stay."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ListOutput"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation"]
        Resource = [var.bucket_arns.lake, var.bucket_arns.reports, var.bucket_arns.dashboard]
      },
      {
        Sid      = "WriteOutput"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = ["${var.bucket_arns.lake}/*", "${var.bucket_arns.reports}/*", "${var.bucket_arns.dashboard}/*"]
      },
      local.use_data_key,
    ]
  })
}

resource "aws_iam_role" "input_reader" {
  #checkov:skip=CKV_AWS_61:A condition names the roles; named as principals, they would be shut out when they are made anew
  name                 = "${var.name}-input-reader"
  description          = "Reads the raw zone: the crawler, and people who look into a delivery."
  permissions_boundary = aws_iam_policy.boundary.arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "Crawler"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "glue.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      }], length(var.readers) == 0 ? [] : [{
      Sid       = "Readers"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      Condition = { ArnEquals = { "aws:PrincipalArn" = [for role in var.readers : "arn:aws:iam::${var.account_id}:role/${role}"] } }
    }])
  })
}

resource "aws_iam_role" "output_writer" {
  #checkov:skip=CKV_AWS_61:A condition names the roles; named as principals, they would be shut out when they are made anew
  name                 = "${var.name}-output-writer"
  description          = "Writes lake, reports and dashboard, and cannot read the raw zone."
  permissions_boundary = aws_iam_policy.boundary.arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Writers"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      Condition = { ArnEquals = { "aws:PrincipalArn" = [for role in var.writers : "arn:aws:iam::${var.account_id}:role/${role}"] } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "input_reader" {
  role       = aws_iam_role.input_reader.name
  policy_arn = aws_iam_policy.read_input.arn
}

resource "aws_iam_role_policy_attachment" "output_writer" {
  role       = aws_iam_role.output_writer.name
  policy_arn = aws_iam_policy.write_output.arn
}
