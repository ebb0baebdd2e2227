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
  dataset                  = "billing.card_payments"
  stream_name              = "waybill-test-billing-card-payments"
  consume_policy_arn       = "arn:aws:iam::123456789012:policy/waybill-test-billing-card-payments-consume"
  archive_prefix           = "raw/billing/card_payments/"
  warehouse                = { role = "waybill", resource_id = "db-TEST" }
  warehouse_connection     = "{\"conn_type\": \"postgres\", \"extra\": {\"iam\": true}}"
  metrics_namespace        = "Waybill"
  settings                 = { WAYBILL_PROFILE = "prod", WAYBILL_SECRET_ID = "waybill-test/settings", WAYBILL_RAW_BUCKET = "raw", WAYBILL_TIMEZONE = "Europe/Berlin", WAYBILL_STREAMS = "{\"a.b\": \"c\"}" }
  image                    = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill-test@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  repository_arn           = "arn:aws:ecr:eu-central-1:123456789012:repository/waybill-test"
  cluster                  = "waybill-test"
  size                     = { cpu = 512, memory = 2048, tasks = 2 }
  architecture             = "ARM64"
  spot                     = false
  subnet_ids               = ["subnet-1", "subnet-2"]
  security_group_id        = "sg-airflow"
}

run "service" {
  command = apply

  assert {
    condition     = aws_ecs_service.this.name == "stream-billing-card-payments" && aws_ecs_service.this.desired_count == 2 && one(aws_ecs_service.this.capacity_provider_strategy).capacity_provider == "FARGATE"
    error_message = "There must be the number of consumers that was asked for."
  }
  assert {
    condition     = !one(aws_ecs_service.this.network_configuration).assign_public_ip && one(aws_ecs_service.this.network_configuration).subnets == toset(["subnet-1", "subnet-2"])
    error_message = "Consumers must be in private subnets."
  }
  assert {
    condition     = local.container.stopTimeout >= 30 && local.container.readonlyRootFilesystem && local.container.user == "50000:0" && local.container.linuxParameters.capabilities.drop == ["ALL"]
    error_message = "Consumers must have time for their last batches, and no rights in their container that they do not need."
  }
  assert {
    condition     = local.container.command == ["waybill", "stream", "run", "--dataset", "billing.card_payments", "--alive", "/tmp/alive"] && strcontains(local.container.healthCheck.command[1], "/tmp/alive")
    error_message = "The service must read its stream, and ECS must know whether it works."
  }
  assert {
    condition = { for one in local.container.environment : one.name => one.value } == {
      AWS_DEFAULT_REGION             = "eu-central-1"
      AWS_RETRY_MODE                 = "standard"
      AWS_MAX_ATTEMPTS               = "5"
      AIRFLOW_CONN_WAYBILL_WAREHOUSE = var.warehouse_connection
      WAYBILL_METRICS                = "true"
      WAYBILL_STREAMS                = "{\"billing.card_payments\":\"waybill-test-billing-card-payments\"}"
      WAYBILL_RAW_BUCKET             = "raw"
      WAYBILL_TIMEZONE               = "Europe/Berlin"
      WAYBILL_SECRET_ID              = "waybill-test/settings"
    }
    error_message = "A consumer must have the settings of the application, with the secret that has the mask key."
  }
}

run "rights" {
  command = apply

  assert {
    condition     = alltrue([for role in aws_iam_role.this : role.permissions_boundary == var.permissions_boundary_arn && length(role.name) <= 64])
    error_message = "Every role must have the boundary."
  }
  assert {
    condition     = aws_ecs_task_definition.this.task_role_arn == "arn:aws:iam::123456789012:role/${aws_iam_role.this["task"].name}" && aws_ecs_task_definition.this.execution_role_arn == "arn:aws:iam::123456789012:role/${aws_iam_role.this["start"].name}"
    error_message = "The role that starts tasks must not be the role of the tasks."
  }
  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.work.policy).Statement : join(" ", flatten([statement.Action])) => statement.Resource } == {
      "s3:PutObject"                  = "arn:aws:s3:::raw/raw/billing/card_payments/*"
      "kms:GenerateDataKey"           = "arn:aws:kms:eu-central-1:123456789012:key/*"
      "secretsmanager:GetSecretValue" = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/settings-*"
      "kms:Decrypt"                   = "arn:aws:kms:eu-central-1:123456789012:key/*"
      "cloudwatch:PutMetricData"      = "*"
    }
    error_message = "Consumers may write the files of their dataset and measurements, and read the settings alone."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.work.policy).Statement : statement.Condition.StringEquals if statement.Sid == "SendMetrics"]) == { "cloudwatch:namespace" = "Waybill" }
    error_message = "Measurements must be those of the application."
  }
  assert {
    condition     = one(jsondecode(aws_iam_role_policy.warehouse.policy).Statement).Resource == "arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-TEST/waybill"
    error_message = "Consumers must enter the warehouse without a password."
  }
  assert {
    condition     = aws_iam_role_policy_attachment.consume.policy_arn == var.consume_policy_arn
    error_message = "Consumers must read their stream."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    dataset        = "payments"
    archive_prefix = "raw/*"
    image          = "waybill:latest"
    size           = { cpu = 300, memory = 2048, tasks = 0 }
  }

  expect_failures = [var.dataset, var.archive_prefix, var.image, var.size]
}
