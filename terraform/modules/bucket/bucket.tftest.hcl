mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name              = "waybill-test-raw-123456789012"
  kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/1"
  access_log_bucket = "waybill-test-logs-123456789012"
}

run "safe_by_default" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "A bucket must keep versions."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "All four kinds of public access must be blocked."
  }
  assert {
    condition = alltrue([for sid, condition in { RefusePlainHttp = { Bool = { "aws:SecureTransport" = "false" } }, RefuseOldTls = { NumericLessThan = { "s3:TlsVersion" = "1.2" } } } :
      one([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement if statement.Sid == sid]) == {
        Sid       = sid
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = ["arn:aws:s3:::waybill-test-raw-123456789012", "arn:aws:s3:::waybill-test-raw-123456789012/*"]
        Condition = condition
    }])
    error_message = "The policy must refuse plain HTTP and TLS before 1.2, for the bucket and its objects."
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    error_message = "With a key, objects must be encrypted by it."
  }
  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "waybill-test-logs-123456789012"
    error_message = "Access must be logged."
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id] == ["tidy"]
    error_message = "Without a wish nothing moves or expires but old versions."
  }
  assert {
    condition     = aws_s3_bucket.this.force_destroy == false
    error_message = "A bucket with objects must not be destroyed by default."
  }
}

run "lifecycle" {
  command = plan

  variables {
    glacier_after_days = 90
    expire_after_days  = { "athena/" = 30 }
    noncurrent_days    = 14
  }

  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : one(rule.transition) if rule.id == "glacier"]).storage_class == "GLACIER_IR"
    error_message = "Objects must move to Glacier Instant Retrieval."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : one(rule.transition) if rule.id == "glacier"]).days == 90
    error_message = "Objects must move after 90 days."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.filter[0].prefix if rule.id == "expire-athena"]) == "athena/"
    error_message = "Only what begins with athena/ may expire."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.noncurrent_version_expiration[0].noncurrent_days if rule.id == "expire-athena"]) == 14
    error_message = "What has expired must not stay longer than old versions, or than it was kept."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.noncurrent_version_expiration[0].noncurrent_days if rule.id == "tidy"]) == 14
    error_message = "Old versions must expire after 14 days."
  }
}

run "own_key_of_s3" {
  command = plan

  variables {
    kms_key_arn       = null
    access_log_bucket = null
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "Without a key, objects are still encrypted."
  }
  assert {
    condition     = length(aws_s3_bucket_logging.this) == 0
    error_message = "The bucket of logs does not log into itself."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    name               = "Waybill_Raw"
    glacier_after_days = 7
    noncurrent_days    = 0
  }

  expect_failures = [var.name, var.glacier_after_days, var.noncurrent_days]
}
