mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "waybill-test"
  account_id         = "123456789012"
  region             = "eu-central-1"
  log_retention_days = 90
  logs_bucket_name   = "waybill-test-logs-123456789012"
  bucket_arns = {
    raw       = "arn:aws:s3:::waybill-test-raw-123456789012"
    lake      = "arn:aws:s3:::waybill-test-lake-123456789012"
    reports   = "arn:aws:s3:::waybill-test-reports-123456789012"
    dashboard = "arn:aws:s3:::waybill-test-dashboard-123456789012"
    logs      = "arn:aws:s3:::waybill-test-logs-123456789012"
  }
  connections = {
    waybill_warehouse  = "{\"conn_type\": \"postgres\", \"login\": \"waybill\", \"extra\": {\"iam\": true}}"
    aws_default        = "{\"conn_type\": \"aws\"}"
    waybill_alerts_sns = "{\"conn_type\": \"aws\", \"extra\": {\"topic_arn\": \"arn:aws:sns:eu-central-1:123456789012:waybill-test-alerts\"}}"
  }
  secret_recovery_days = 7

  readers = ["waybill-test-airflow"]
  writers = ["waybill-test-airflow"]
}

run "reading_and_writing_are_apart" {
  command = plan

  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_policy.read_input.policy).Statement : statement.Action])) == toset([
      "s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject", "kms:Decrypt",
    ])
    error_message = "The reader of input may only read."
  }
  assert {
    condition = alltrue([for resource in flatten([for statement in jsondecode(aws_iam_policy.read_input.policy).Statement : statement.Resource if statement.Sid != "UseDataKey"]) :
    startswith(resource, var.bucket_arns.raw)])
    error_message = "The reader of input may read the raw bucket and no other."
  }
  assert {
    condition = alltrue([for resource in flatten([for statement in jsondecode(aws_iam_policy.write_output.policy).Statement : statement.Resource]) :
    !startswith(resource, var.bucket_arns.raw) && !startswith(resource, var.bucket_arns.logs) && resource != "*"])
    error_message = "The writer of output must have nothing to do with what was delivered, nor with logs."
  }
  assert {
    condition     = !contains(flatten([for statement in jsondecode(aws_iam_policy.write_output.policy).Statement : statement.Action]), "s3:DeleteObjectVersion")
    error_message = "The writer of output must not destroy versions."
  }
  assert {
    condition = alltrue([for policy in [aws_iam_policy.read_input, aws_iam_policy.write_output] :
      one([for statement in jsondecode(policy.policy).Statement : statement.Condition if statement.Sid == "UseDataKey"]) == {
        "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/waybill-test-data" }
        StringEquals               = { "kms:ViaService" = "s3.eu-central-1.amazonaws.com" }
    }])
    error_message = "The data key may be used by way of S3 only."
  }
}

run "roles_are_bounded" {
  command = apply

  assert {
    condition     = alltrue([for role in [aws_iam_role.input_reader, aws_iam_role.output_writer, aws_iam_role.trail] : role.permissions_boundary == aws_iam_policy.boundary.arn])
    error_message = "Every role must be bounded."
  }
  assert {
    condition     = length([for action in flatten([for statement in jsondecode(aws_iam_policy.boundary.policy).Statement : statement.Action if statement.Effect == "Allow"]) : action if startswith(action, "iam:") && action != "iam:PassRole"]) == 0
    error_message = "The boundary must not let a role change roles."
  }
  assert {
    condition = alltrue([for action in ["s3:DeleteObjectVersion", "s3:PutBucketPolicy", "kms:ScheduleKeyDeletion"] :
    contains(one([for statement in jsondecode(aws_iam_policy.boundary.policy).Statement : statement.Action if statement.Sid == "NeverDestroyOrOpen"]), action)])
    error_message = "No role may destroy versions, open a bucket or delete a key."
  }
  assert {
    condition = one([for statement in jsondecode(aws_iam_policy.boundary.policy).Statement : statement if statement.Sid == "NeverMasterPasswords"]) == {
      Sid       = "NeverMasterPasswords"
      Effect    = "Deny"
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!*"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = "arn:aws:iam::123456789012:role/waybill-test-bootstrap" } }
    }
    error_message = "Whatever a role is allowed, only bootstrap may read the master passwords."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_policy.boundary.policy).Statement : statement.Condition if statement.Sid == "NeverCarryOut"]) == { StringNotEquals = { "aws:ResourceAccount" = "123456789012" } }
    error_message = "Data must not leave the account."
  }
  assert {
    condition = alltrue([for role in [aws_iam_role.input_reader, aws_iam_role.output_writer] :
    alltrue([for statement in jsondecode(role.assume_role_policy).Statement : length(statement.Condition) == 1])])
    error_message = "Nobody may take a role without being named."
  }
}

run "keys" {
  command = plan

  assert {
    condition     = alltrue([for key in aws_kms_key.this : key.enable_key_rotation && key.deletion_window_in_days == 30])
    error_message = "Keys must change every year, and be hard to lose."
  }
  assert {
    condition = alltrue(flatten([for key in aws_kms_key.this : [for statement in jsondecode(key.policy).Statement :
    can(statement.Principal.AWS) ? statement.Principal.AWS == "arn:aws:iam::123456789012:root" : length(statement.Condition) == 1]]))
    error_message = "Services may use a key for this account only."
  }
  assert {
    condition     = length([for statement in jsondecode(aws_kms_key.this["data"].policy).Statement : statement if statement.Sid == "ServicesSend"]) == 0
    error_message = "Services that send messages have no business with the data key."
  }
}

run "connections" {
  command = apply

  assert {
    condition     = aws_secretsmanager_secret.settings.name == "waybill-test/settings" && aws_secretsmanager_secret.settings.kms_key_id == aws_kms_key.this["data"].arn && output.settings_secret_name == "waybill-test/settings"
    error_message = "Secret settings must have a place, encrypted with the data key."
  }
  assert {
    condition     = toset([for secret in aws_secretsmanager_secret.connection : secret.name]) == toset(["waybill-test/airflow/connections/waybill_warehouse", "waybill-test/airflow/connections/aws_default", "waybill-test/airflow/connections/waybill_alerts_sns"])
    error_message = "The connections must be where Airflow looks for them."
  }
  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.connection : startswith(secret.name, output.connections_prefix) && secret.kms_key_id == aws_kms_key.this["data"].arn])
    error_message = "The connections must be encrypted with the data key."
  }
  assert {
    condition     = jsondecode(aws_secretsmanager_secret_version.connection["waybill_warehouse"].secret_string).extra.iam
    error_message = "A connection's secret must hold its value."
  }
}

run "secrets_without_a_value" {
  command = apply

  assert {
    condition     = output.airflow_secret.name == "waybill-test/airflow" && aws_secretsmanager_secret.airflow.kms_key_id == aws_kms_key.this["data"].arn
    error_message = "Airflow's secret must be encrypted with the data key."
  }
  assert {
    condition     = toset([for version in aws_secretsmanager_secret_version.connection : version.secret_id]) == toset([for secret in aws_secretsmanager_secret.connection : secret.id])
    error_message = "Terraform must write connections only: other values must not be in its state."
  }
}

run "secrets_that_are_gone_at_once" {
  command = plan

  variables {
    secret_recovery_days = 0
  }

  assert {
    condition     = alltrue([for secret in concat(values(aws_secretsmanager_secret.connection), [aws_secretsmanager_secret.airflow, aws_secretsmanager_secret.settings]) : secret.recovery_window_in_days == 0])
    error_message = "With 0 days, a destroyed environment must be creatable again: names of secrets that wait are taken."
  }
}

run "trail" {
  command = apply

  assert {
    condition     = aws_cloudtrail.this.is_multi_region_trail && aws_cloudtrail.this.enable_log_file_validation && aws_cloudtrail.this.kms_key_id == aws_kms_key.this["operations"].arn
    error_message = "The trail must cover all regions, be encrypted, and show when it was tampered with."
  }
  assert {
    condition = toset(one([for field in one([for selector in aws_cloudtrail.this.advanced_event_selector : selector if selector.name == "Data objects"]).field_selector :
      field.starts_with if field.field == "resources.ARN"])) == toset([
      "arn:aws:s3:::waybill-test-raw-123456789012/", "arn:aws:s3:::waybill-test-lake-123456789012/", "arn:aws:s3:::waybill-test-reports-123456789012/",
    ])
    error_message = "Reading and writing of data must be recorded."
  }
}

run "refuses_a_password" {
  command = plan

  variables {
    connections = { waybill_warehouse = "{\"conn_type\": \"postgres\", \"password\": \"secret\"}" }
  }

  expect_failures = [var.connections]
}

run "refuses_bad_values" {
  command = plan

  variables {
    name                 = "Waybill"
    region               = "Frankfurt"
    secret_recovery_days = 3
    connections          = { "waybill-warehouse" = "postgres://host" }
  }

  expect_failures = [var.name, var.region, var.secret_recovery_days, var.connections]
}
