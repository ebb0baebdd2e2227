locals {
  arn = "arn:aws:kinesis:${var.region}:${var.account_id}:stream/${var.name}-events"
}

resource "aws_kinesis_stream" "events" {
  name                      = "${var.name}-events"
  shard_count               = var.shards == 0 ? null : var.shards
  retention_period          = var.retention_hours
  encryption_type           = "KMS"
  kms_key_id                = var.data_key_arn
  enforce_consumer_deletion = false
  shard_level_metrics       = var.shards == 0 ? null : ["IteratorAgeMilliseconds", "ReadProvisionedThroughputExceeded", "WriteProvisionedThroughputExceeded"]

  stream_mode_details {
    stream_mode = var.shards == 0 ? "ON_DEMAND" : "PROVISIONED"
  }
}

resource "aws_iam_policy" "produce" {
  name        = "${var.name}-produce-events"
  description = "Put events into the stream, for what produces them; nothing can be read with it."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Put"
        Effect   = "Allow"
        Action   = ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:PutRecord", "kinesis:PutRecords"]
        Resource = local.arn
      },
      {
        Sid      = "Encrypt"
        Effect   = "Allow"
        Action   = "kms:GenerateDataKey"
        Resource = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
        Condition = {
          "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.name}-data" }
          StringEquals               = { "kms:ViaService" = "kinesis.${var.region}.amazonaws.com" }
        }
      },
    ]
  })
}

resource "aws_iam_policy" "consume" {
  name        = "${var.name}-consume-events"
  description = "Read events from the stream, for what loads them."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"]
        Resource = local.arn
      },
      {
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
        Condition = {
          "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.name}-data" }
          StringEquals               = { "kms:ViaService" = "kinesis.${var.region}.amazonaws.com" }
        }
      },
    ]
  })
}
