# Who did what: every management call, and every reading and writing of data objects.
locals {
  trail_arn     = "arn:aws:cloudtrail:${var.region}:${var.account_id}:trail/${var.name}"
  trail_log_arn = "arn:aws:logs:${var.region}:${var.account_id}:log-group:/${var.name}/trail"
}

resource "aws_cloudtrail" "this" {
  #checkov:skip=CKV_AWS_252:The trail goes to CloudWatch, where alarms can see it; a mail for each file would be noise
  name                          = var.name
  s3_bucket_name                = var.logs_bucket_name
  s3_key_prefix                 = "cloudtrail"
  kms_key_id                    = aws_kms_key.this["operations"].arn
  is_multi_region_trail         = true
  include_global_service_events = true
  enable_log_file_validation    = true
  cloud_watch_logs_group_arn    = "${aws_cloudwatch_log_group.trail.arn}:*"
  cloud_watch_logs_role_arn     = aws_iam_role.trail.arn

  advanced_event_selector {
    name = "Management"
    field_selector {
      field  = "eventCategory"
      equals = ["Management"]
    }
  }
  advanced_event_selector {
    name = "Data objects"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }
    field_selector {
      field       = "resources.ARN"
      starts_with = [for purpose in ["raw", "lake", "reports"] : "${var.bucket_arns[purpose]}/"]
    }
  }

  # CloudTrail tries the role at once, and is refused without the policy.
  depends_on = [aws_iam_role_policy.trail]
}

resource "aws_cloudwatch_log_group" "trail" {
  name              = "/${var.name}/trail"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this["operations"].arn
}

resource "aws_iam_role" "trail" {
  name                 = "${var.name}-trail"
  permissions_boundary = aws_iam_policy.boundary.arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
    }]
  })
}

resource "aws_iam_role_policy" "trail" {
  name = "write-log"
  role = aws_iam_role.trail.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${local.trail_log_arn}:log-stream:*"
    }]
  })
}
