mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                     = "waybill-test"
  account_id               = "123456789012"
  region                   = "eu-central-1"
  data_key_arn             = "arn:aws:kms:eu-central-1:123456789012:key/data"
  permissions_boundary_arn = "arn:aws:iam::123456789012:policy/waybill-test-boundary"
  log_retention_days       = 30
  logs_bucket              = "waybill-test-logs-123456789012"
  airflow_version          = "3.0.6"
  artefacts                = { plugins_version = "p1", requirements_version = "r1" }
  environment_class        = "mw1.small"
  workers                  = { min = 1, max = 3 }
  webserver_access_mode    = "PRIVATE_ONLY"
  subnet_ids               = ["subnet-1", "subnet-2"]
  security_group_id        = "sg-1"
  policy_arns = {
    read_input   = "arn:aws:iam::123456789012:policy/waybill-test-read-input"
    write_output = "arn:aws:iam::123456789012:policy/waybill-test-write-output"
  }
  connections_prefix   = "waybill-test/airflow/connections"
  landed_queue_arns    = ["arn:aws:sqs:eu-central-1:123456789012:waybill-test-orders"]
  output_role_arn      = "arn:aws:iam::123456789012:role/waybill-test-output-writer"
  settings_secret_name = "waybill-test/settings"
  alerts_topic_arn     = "arn:aws:sns:eu-central-1:123456789012:waybill-test-alerts"
  metrics_namespace    = "Waybill"
  database_resource_id = "db-TEST"
  database_roles       = ["waybill", "waybill_reader"]
  catalog_database     = "waybill_processed"
  settings             = { WAYBILL_RAW_BUCKET = "raw", WAYBILL_TIMEZONE = "Europe/Berlin" }
}

run "airflow" {
  command = apply

  assert {
    condition = alltrue([
      aws_mwaa_environment.this[0].plugins_s3_object_version == "p1", aws_mwaa_environment.this[0].requirements_s3_object_version == "r1",
      aws_mwaa_environment.this[0].startup_script_s3_object_version == aws_s3_object.startup.version_id,
    ])
    error_message = "Airflow must run exactly the versions that are named."
  }
  assert {
    condition     = aws_mwaa_environment.this[0].airflow_configuration_options["workers.min_heartbeat_interval"] == "1"
    error_message = "Tasks must give back their slots at once."
  }
  assert {
    condition = jsondecode(aws_mwaa_environment.this[0].airflow_configuration_options["secrets.backend_kwargs"]) == {
      connections_prefix = "waybill-test/airflow/connections", connections_lookup_pattern = "^(aws_default$|waybill_)", variables_prefix = null, config_prefix = null
    }
    error_message = "Connections must come from Secrets Manager."
  }
  assert {
    condition     = aws_s3_object.startup.content == "#!/bin/sh\nexport WAYBILL_RAW_BUCKET='raw'\nexport WAYBILL_TIMEZONE='Europe/Berlin'\n"
    error_message = "The startup script must set the application's environment."
  }
  assert {
    condition     = aws_mwaa_environment.this[0].kms_key == var.data_key_arn && aws_mwaa_environment.this[0].webserver_access_mode == "PRIVATE_ONLY"
    error_message = "Airflow must be encrypted, and as private as the environment says."
  }
  assert {
    condition     = toset([for log in aws_cloudwatch_log_group.this : log.name]) == toset([for part in ["DAGProcessing", "Scheduler", "Task", "WebServer", "Worker"] : "airflow-waybill-test-${part}"])
    error_message = "The groups of logs must have the names that MWAA writes to."
  }
  assert {
    condition     = alltrue([for log in aws_cloudwatch_log_group.this : log.retention_in_days == 30])
    error_message = "Logs must end."
  }
}

run "role" {
  command = apply

  assert {
    condition     = aws_iam_role.scheduler.permissions_boundary == var.permissions_boundary_arn
    error_message = "The role must be bounded."
  }
  assert {
    condition     = toset([for attachment in aws_iam_role_policy_attachment.scheduler : attachment.policy_arn]) == toset(values(var.policy_arns))
    error_message = "Airflow reads input and writes output by the same policies as everybody."
  }
  assert {
    condition = toset([for statement in concat(
      jsondecode(aws_iam_role_policy.environment.policy).Statement, jsondecode(aws_iam_role_policy.work.policy).Statement, jsondecode(aws_iam_role_policy.instances.policy).Statement,
    ) : statement.Sid if contains(flatten([statement.Resource]), "*")]) == toset(["PublicAccessBlock", "FindLogs", "Metrics", "SendMetrics"])
    error_message = "Only calls that know no resource may be allowed on all."
  }
  assert {
    condition     = alltrue([for policy in [aws_iam_role_policy.environment, aws_iam_role_policy.work, aws_iam_role_policy.instances] : alltrue([for action in flatten([for statement in jsondecode(policy.policy).Statement : statement.Action]) : !endswith(action, ":*")])])
    error_message = "No service may be allowed as a whole."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.work.policy).Statement : statement.Condition if statement.Sid == "SendMetrics"]).StringEquals["cloudwatch:namespace"] == "Waybill"
    error_message = "Metrics may be sent in the application's namespace only."
  }
  assert {
    condition     = jsonencode({ for statement in jsondecode(aws_iam_role_policy.work.policy).Statement : statement.Sid => statement.Resource if contains(["BecomeWriter", "ReceiveNotifications", "SendAlerts"], statement.Sid) }) == jsonencode({ BecomeWriter = var.output_role_arn, ReceiveNotifications = var.landed_queue_arns, SendAlerts = var.alerts_topic_arn })
    error_message = "The application may use its own role, queues and topic."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.instances.policy).Statement : statement.Resource if statement.Sid == "Warehouse"]) == ["arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-TEST/waybill", "arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-TEST/waybill_reader"]
    error_message = "Airflow may connect as one role of one database."
  }
  assert {
    condition     = one(jsondecode(aws_iam_role.scheduler.assume_role_policy).Statement).Condition.ArnLike["aws:SourceArn"] == "arn:aws:airflow:eu-central-1:123456789012:environment/waybill-test"
    error_message = "Only this environment may take the role."
  }
}

run "before_the_artefacts_are_uploaded" {
  command = plan

  variables {
    artefacts = null
  }

  assert {
    condition     = length(aws_mwaa_environment.this) == 0 && output.environment_name == null
    error_message = "Without artefacts there is nothing to run."
  }
  assert {
    condition     = output.artefacts_bucket == "waybill-test-airflow-123456789012"
    error_message = "The bucket to upload to must be there first."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    airflow_version       = "2.10.3"
    environment_class     = "large"
    workers               = { min = 3, max = 1 }
    webserver_access_mode = "PUBLIC"
    subnet_ids            = ["subnet-1"]
    settings              = { RAW_BUCKET = "x" }
    airflow_options       = { parallelism = "1" }
  }

  expect_failures = [
    var.airflow_version, var.environment_class, var.workers, var.webserver_access_mode, var.subnet_ids, var.settings, var.airflow_options,
  ]
}

run "refuses_a_setting_that_breaks_out_of_the_script" {
  command = plan

  variables {
    settings = { WAYBILL_TIMEZONE = "UTC'; rm -rf /; '" }
  }

  expect_failures = [var.settings]
}
