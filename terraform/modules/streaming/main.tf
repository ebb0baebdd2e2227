locals {
  stream = "${var.name}-${replace(var.dataset, "/[._]/", "-")}"
  arn    = "arn:aws:kinesis:${var.region}:${var.account_id}:stream/${local.stream}"
}

resource "aws_kinesis_stream" "events" {
  name                      = local.stream
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
  name        = "${local.stream}-produce"
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

# A test compares the file with the calls that consumers make.
resource "aws_iam_policy" "consume" {
  name        = "${local.stream}-consume"
  description = "Read events from the stream, for what counts them."
  policy = jsonencode(jsondecode(templatefile("${path.module}/policies/consume.json.tftpl", {
    name       = var.name
    account_id = var.account_id
    region     = var.region
    stream_arn = local.arn
  })))
}
