mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                        = "waybill-test"
  account_id                  = "123456789012"
  region                      = "eu-central-1"
  data_key_arn                = "arn:aws:kms:eu-central-1:123456789012:key/data"
  queue_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/operations"
  glacier_after_days          = { raw = 90, reports = 365 }
  noncurrent_days             = 30
  log_expire_after_days       = 180
  dashboard_distribution_arns = ["arn:aws:cloudfront::123456789012:distribution/E1"]
  arrivals                    = { orders = ["raw/orders/"], purchases = ["datalake/bronze/", "raw/purchases/"] }
  trail_arn                   = "arn:aws:cloudtrail:eu-central-1:123456789012:trail/waybill-test"
}

run "buckets" {
  command = apply

  assert {
    condition     = output.bucket_names == { for purpose in ["raw", "lake", "reports", "dashboard", "logs"] : purpose => "waybill-test-${purpose}-123456789012" }
    error_message = "There must be the five buckets, named by what they are for."
  }
}

run "landed_files_are_told" {
  command = apply

  assert {
    condition = { for queue in aws_s3_bucket_notification.raw.queue : queue.filter_prefix => queue.queue_arn } == {
      "raw/orders/"      = "arn:aws:sqs:eu-central-1:123456789012:waybill-test-orders"
      "datalake/bronze/" = "arn:aws:sqs:eu-central-1:123456789012:waybill-test-purchases"
      "raw/purchases/"   = "arn:aws:sqs:eu-central-1:123456789012:waybill-test-purchases"
    } && aws_s3_bucket_notification.raw.bucket == output.bucket_names.raw
    error_message = "The raw bucket must tell the queue of each pipeline of its files, and of no others."
  }
  assert {
    condition     = alltrue([for queue in aws_s3_bucket_notification.raw.queue : toset(queue.events) == toset(["s3:ObjectCreated:*"])])
    error_message = "Every new object must be told."
  }
  assert {
    condition     = alltrue([for pipeline, queue in aws_sqs_queue.landed : jsondecode(queue.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead[pipeline].arn, maxReceiveCount = 5 }])
    error_message = "What fails five times must go to the pipeline's dead-letter queue."
  }
  assert {
    condition     = alltrue([for pipeline, policy in aws_sqs_queue_redrive_allow_policy.dead : jsondecode(policy.redrive_allow_policy).sourceQueueArns == [aws_sqs_queue.landed[pipeline].arn]])
    error_message = "Only the queue itself may send to its dead-letter queue."
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.landed), values(aws_sqs_queue.dead)) : queue.kms_master_key_id == var.queue_key_arn && queue.message_retention_seconds == 1209600])
    error_message = "Messages must be encrypted and kept for 14 days."
  }
  assert {
    condition = one([for statement in jsondecode(aws_sqs_queue_policy.this["orders"].policy).Statement : statement if statement.Effect == "Allow"]) == {
      Sid       = "RawBucketTells"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:eu-central-1:123456789012:waybill-test-orders"
      Condition = {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::waybill-test-raw-123456789012" }
      }
    }
    error_message = "Only this account's raw bucket may send messages."
  }
  assert {
    condition = toset(keys(aws_sqs_queue_policy.this)) == toset(["orders", "orders-dead", "purchases", "purchases-dead"]) && alltrue([
      for policy in aws_sqs_queue_policy.this : one([for statement in jsondecode(policy.policy).Statement : statement.Condition if statement.Effect == "Deny"]) == { Bool = { "aws:SecureTransport" = "false" } }
    ])
    error_message = "All queues must refuse plain HTTP."
  }
  assert {
    condition     = output.landed_queues.orders.url == "https://sqs.eu-central-1.amazonaws.com/123456789012/waybill-test-orders" && output.landed_queues.purchases.dead_name == "waybill-test-purchases-dead" && endswith(output.landed_queues.purchases.dead_url, "/waybill-test-purchases-dead") && endswith(output.landed_queues.purchases.dead_arn, ":waybill-test-purchases-dead")
    error_message = "The queues must be told by their names."
  }
}

run "raw_files_expire_by_their_contracts" {
  command = plan

  variables {
    raw_expire_after_days = { "raw/orders/lines/" = 400 }
  }

  assert {
    condition     = local.expiry.raw == tomap({ "raw/orders/lines/" = 400 }) && length(lookup(local.expiry, "reports", {})) == 0
    error_message = "Only the prefixes of datasets with a retention of raw files may expire."
  }
}

run "refuses_an_expiry_of_everything" {
  command = plan

  variables {
    raw_expire_after_days = { "" = 400 }
  }

  expect_failures = [var.raw_expire_after_days]
}

run "refuses_prefixes_that_overlap" {
  command = plan

  variables {
    arrivals = { orders = ["raw/orders/"], everything = ["raw/"] }
  }

  expect_failures = [var.arrivals]
}

run "settings_reach_the_buckets" {
  command = plan

  variables {
    dashboard_distribution_arns = []
  }

  assert {
    condition     = local.keys.raw == var.data_key_arn && local.keys.lake == var.data_key_arn && local.keys.reports == var.data_key_arn
    error_message = "Data must be encrypted with the data key."
  }
  assert {
    condition     = local.glacier.raw == 90 && local.glacier.reports == 365 && local.glacier.lake == null && local.glacier.dashboard == null
    error_message = "Zones must move to Glacier as the environment says."
  }
  assert {
    condition     = local.policies.dashboard == []
    error_message = "Without a distribution nobody reads the dashboard."
  }
}

run "only_the_distribution_reads_the_dashboard" {
  command = plan

  assert {
    condition = [for statement in local.policies.dashboard : jsondecode(statement)] == [{
      Sid       = "CloudFrontReads"
      Effect    = "Allow"
      Principal = { Service = "cloudfront.amazonaws.com" }
      Action    = "s3:GetObject"
      Resource  = "arn:aws:s3:::waybill-test-dashboard-123456789012/*"
      Condition = { StringEquals = { "AWS:SourceArn" = "arn:aws:cloudfront::123456789012:distribution/E1" } }
    }]
    error_message = "Only the distribution may read the dashboard's objects."
  }
  assert {
    condition     = alltrue([for zone in ["raw", "lake", "reports"] : length(local.policies[zone]) == 0])
    error_message = "No bucket of data may be opened by its policy."
  }
  assert {
    condition     = alltrue([for statement in local.log_statements : length(jsondecode(statement).Condition) > 0 && can(jsondecode(statement).Principal.Service)])
    error_message = "Only services of AWS may write logs, each for this account or trail."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    account_id            = "12345"
    data_key_arn          = "alias/data"
    glacier_after_days    = { raw = 1 }
    log_expire_after_days = 1
    trail_arn             = "trail"
  }

  expect_failures = [var.account_id, var.data_key_arn, var.glacier_after_days, var.log_expire_after_days, var.trail_arn]
}
