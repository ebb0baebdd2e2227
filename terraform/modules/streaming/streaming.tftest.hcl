mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name         = "waybill-test"
  account_id   = "123456789012"
  region       = "eu-central-1"
  data_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/data"
  dataset      = "billing.card_payments"
  shards       = 2
}

run "provisioned" {
  command = plan

  assert {
    condition     = aws_kinesis_stream.events.encryption_type == "KMS" && aws_kinesis_stream.events.kms_key_id == var.data_key_arn
    error_message = "Events must be encrypted with the data key."
  }
  assert {
    condition     = aws_kinesis_stream.events.shard_count == 2 && one(aws_kinesis_stream.events.stream_mode_details).stream_mode == "PROVISIONED"
    error_message = "The stream must have the shards that were asked for."
  }
  assert {
    condition     = aws_kinesis_stream.events.name == "waybill-test-billing-card-payments" && output.stream_name == aws_kinesis_stream.events.name && output.stream_arn == "arn:aws:kinesis:eu-central-1:123456789012:stream/waybill-test-billing-card-payments"
    error_message = "Each dataset must have a stream of its own."
  }
  assert {
    condition     = aws_kinesis_stream.events.retention_period == 168
    error_message = "A consumer may be away for a week."
  }
  assert {
    condition     = toset(flatten([for statement in jsondecode(aws_iam_policy.produce.policy).Statement : statement.Action])) == toset(["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:PutRecord", "kinesis:PutRecords", "kms:GenerateDataKey"])
    error_message = "Who produces events must not be able to read them."
  }
  assert {
    condition     = toset(flatten([for statement in jsondecode(aws_iam_policy.consume.policy).Statement : statement.Action])) == toset(["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards", "kms:Decrypt"])
    error_message = "Who reads events must not be able to produce them."
  }
}

run "on_demand" {
  command = plan

  variables {
    shards = 0
  }

  assert {
    condition     = one(aws_kinesis_stream.events.stream_mode_details).stream_mode == "ON_DEMAND"
    error_message = "Without a number of shards AWS must choose it."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    dataset         = "payments"
    shards          = -1
    retention_hours = 12
  }

  expect_failures = [var.dataset, var.shards, var.retention_hours]
}
