locals {
  bucket     = "${var.name}-airflow-${var.account_id}"
  bucket_arn = "arn:aws:s3:::${local.bucket}"
  arn        = "arn:aws:airflow:${var.region}:${var.account_id}:environment/${var.name}"
  log_arns   = "arn:aws:logs:${var.region}:${var.account_id}:log-group:airflow-${var.name}-*"
  logs       = toset(["DAGProcessing", "Scheduler", "Task", "WebServer", "Worker"])

  key_of = { # of the data key, when one of these services asks
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:Encrypt"]
    Resource  = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
    Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = ["alias/${var.name}-data", "alias/${var.name}-operations"] } }
  }
}

# ---- what Airflow runs: dags/, artefacts/plugins.zip, artefacts/requirements.txt, artefacts/startup.sh, jobs/

module "bucket" {
  source            = "../bucket"
  name              = local.bucket
  kms_key_arn       = var.data_key_arn
  access_log_bucket = var.logs_bucket
  noncurrent_days   = 365 # rolling back needs the earlier artefacts
}

# MWAA has no environment variables of its own; its startup script sets them on every machine.
resource "aws_s3_object" "startup" {
  bucket     = module.bucket.name
  key        = "artefacts/startup.sh"
  kms_key_id = var.data_key_arn
  content    = join("", ["#!/bin/sh\n", join("", [for key, value in var.settings : "export ${key}='${value}'\n"])])
}

# ---- who Airflow is

resource "aws_iam_role" "scheduler" {
  name                 = "${var.name}-scheduler"
  description          = "Airflow's scheduler, workers and web server."
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = ["airflow.amazonaws.com", "airflow-env.amazonaws.com"] }
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = local.arn }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "scheduler" {
  for_each   = var.policy_arns
  role       = aws_iam_role.scheduler.name
  policy_arn = each.value
}

resource "aws_iam_role_policy" "environment" {
  #checkov:skip=CKV_AWS_355:Only for calls that know no resource: metrics and the account's public access block
  name = "environment" # what MWAA itself needs
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Health"
        Effect   = "Allow"
        Action   = "airflow:PublishMetrics"
        Resource = local.arn
      },
      {
        Sid      = "OwnCode"
        Effect   = "Allow"
        Action   = ["s3:GetObject*", "s3:GetBucket*", "s3:List*"]
        Resource = [local.bucket_arn, "${local.bucket_arn}/*"]
      },
      {
        Sid      = "PublicAccessBlock"
        Effect   = "Allow"
        Action   = "s3:GetAccountPublicAccessBlock"
        Resource = "*"
      },
      {
        Sid    = "OwnLogs"
        Effect = "Allow"
        Action = [
          "logs:CreateLogStream", "logs:CreateLogGroup", "logs:PutLogEvents", "logs:GetLogEvents", "logs:GetLogRecord",
          "logs:GetLogGroupFields", "logs:GetQueryResults",
        ]
        Resource = local.log_arns
      },
      {
        Sid      = "FindLogs"
        Effect   = "Allow"
        Action   = "logs:DescribeLogGroups"
        Resource = "*"
      },
      {
        Sid    = "Celery" # these queues lie in an account of AWS
        Effect = "Allow"
        Action = [
          "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage",
          "sqs:SendMessage",
        ]
        Resource = "arn:aws:sqs:${var.region}:*:airflow-celery-*"
      },
      {
        Sid       = "Metrics"
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = "AmazonMWAA" } }
      },
      merge(local.key_of, { Sid = "Keys" }),
    ]
  })
}

# ---- Airflow

# MWAA would make these groups itself, and keep logs for ever.
resource "aws_cloudwatch_log_group" "this" {
  for_each          = local.logs
  name              = "airflow-${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.data_key_arn
}

resource "aws_mwaa_environment" "this" {
  #checkov:skip=CKV2_AWS_66:Who reaches the user interface is a value of the environment: in dev whom IAM lets in, else the network
  count                 = var.artefacts == null ? 0 : 1
  name                  = var.name
  airflow_version       = var.airflow_version
  environment_class     = var.environment_class
  min_workers           = var.workers.min
  max_workers           = var.workers.max
  execution_role_arn    = aws_iam_role.scheduler.arn
  kms_key               = var.data_key_arn
  webserver_access_mode = var.webserver_access_mode

  source_bucket_arn                = module.bucket.arn
  dag_s3_path                      = "dags/"
  plugins_s3_path                  = "artefacts/plugins.zip"
  plugins_s3_object_version        = var.artefacts.plugins_version
  requirements_s3_path             = "artefacts/requirements.txt"
  requirements_s3_object_version   = var.artefacts.requirements_version
  startup_script_s3_path           = aws_s3_object.startup.key
  startup_script_s3_object_version = aws_s3_object.startup.version_id

  airflow_configuration_options = merge({
    "core.dags_are_paused_at_creation" = "True"
    "core.default_timezone"            = "utc"
    "core.load_examples"               = "False"
    "secrets.backend"                  = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
    "secrets.backend_kwargs" = jsonencode({
      connections_prefix         = var.connections_prefix
      connections_lookup_pattern = "^(aws_default$|waybill_)" # no call for any other name
      variables_prefix           = null
      config_prefix              = null
    })
    "workers.min_heartbeat_interval" = "1" # with the default of 5 s, tasks hold their slots for seconds after they have ended
  }, var.airflow_options)

  network_configuration {
    security_group_ids = [var.security_group_id]
    subnet_ids         = var.subnet_ids
  }

  logging_configuration {
    dag_processing_logs {
      enabled   = true
      log_level = "INFO"
    }
    scheduler_logs {
      enabled   = true
      log_level = "INFO"
    }
    task_logs {
      enabled   = true
      log_level = "INFO"
    }
    webserver_logs {
      enabled   = true
      log_level = "INFO"
    }
    worker_logs {
      enabled   = true
      log_level = "INFO"
    }
  }

  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_iam_role_policy.environment,
    aws_iam_role_policy.work,
    aws_iam_role_policy.instances,
    aws_iam_role_policy_attachment.scheduler,
  ]
}
