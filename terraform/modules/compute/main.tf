# Spark, for domains whose manifest has `engine: spark`. Airflow's tasks write a request to the lake bucket and start the
# job on Glue or EMR Serverless; the job reads raw files, writes tables of the lake, and answers beside the request. It
# cannot reach PostgreSQL.
locals {
  log_group = "/${var.name}/spark"
  role_arn  = "arn:aws:iam::${var.account_id}:role/${var.name}-spark"
  service   = { glue = "glue.amazonaws.com", emr = "emr-serverless.amazonaws.com" }[var.runtime]
  on_glue   = var.runtime == "glue" ? 1 : 0
  on_emr    = var.runtime == "emr" ? 1 : 0
  code      = "s3://${var.artefacts_bucket}/${var.code_prefix}"
}

resource "aws_iam_role" "jobs" {
  name                 = "${var.name}-spark"
  description          = "Spark jobs: read raw files, write tables of the lake."
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = local.service }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "jobs" {
  role       = aws_iam_role.jobs.name
  policy_arn = var.read_input_policy_arn
}

resource "aws_iam_role_policy" "jobs" {
  #checkov:skip=CKV_AWS_355:Metrics know no resource; a condition bounds them
  #checkov:skip=CKV_AWS_290:As above
  name = "work"
  role = aws_iam_role.jobs.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "ReadOwnCode"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "arn:aws:s3:::${var.artefacts_bucket}/${var.code_prefix}/*"
      },
      {
        Sid      = "ListLake"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
        Resource = "arn:aws:s3:::${var.lake_bucket}"
      },
      {
        Sid      = "WriteLake" # requests and results, and the tables of domains on Spark; versions stay
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = [for prefix in concat(["_spark/"], var.lake_prefixes) : "arn:aws:s3:::${var.lake_bucket}/${prefix}*"]
      },
      {
        Sid    = "CommitToTables" # Airflow's tasks create the tables and change their columns
        Effect = "Allow"
        Action = ["glue:GetCatalog", "glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"]
        Resource = concat([
          "arn:aws:glue:${var.region}:${var.account_id}:catalog",
          "arn:aws:glue:${var.region}:${var.account_id}:database/${var.catalog_database}",
        ], [for domain in var.domains : "arn:aws:glue:${var.region}:${var.account_id}:table/${var.catalog_database}/${domain}_*"])
      },
      {
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:AssociateKmsKey"]
        Resource = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${local.log_group}*"
      },
      {
        Sid       = "Metrics"
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = "Glue" } }
      },
      {
        Sid       = "Keys"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"]
        Resource  = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
        Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.name}-data" } }
      },
      ], var.runtime == "glue" ? [] : [{
        Sid      = "FindLogs" # EMR Serverless looks for the group
        Effect   = "Allow"
        Action   = "logs:DescribeLogGroups"
        Resource = "arn:aws:logs:${var.region}:${var.account_id}:log-group:*"
    }])
  })
}

resource "aws_cloudwatch_log_group" "spark" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.data_key_arn
}

resource "aws_glue_security_configuration" "this" {
  count = local.on_glue
  name  = var.name
  encryption_configuration {
    cloudwatch_encryption {
      cloudwatch_encryption_mode = "SSE-KMS"
      kms_key_arn                = var.data_key_arn
    }
    job_bookmarks_encryption {
      job_bookmarks_encryption_mode = "CSE-KMS"
      kms_key_arn                   = var.data_key_arn
    }
    s3_encryption {
      s3_encryption_mode = "SSE-KMS"
      kms_key_arn        = var.data_key_arn
    }
  }
}

resource "aws_glue_job" "spark" {
  count                  = local.on_glue
  name                   = "${var.name}-spark"
  description            = "Answers a request of Airflow's tasks: load files into the lake, or compute reports from it."
  role_arn               = aws_iam_role.jobs.arn
  glue_version           = "5.1" # Spark 3.5.6, Python 3.11, Java 17; without a version, AWS chooses the newest
  worker_type            = var.glue_worker.type
  number_of_workers      = var.glue_worker.count
  timeout                = 60 * var.limit_hours
  max_retries            = 0 # Airflow retries
  security_configuration = aws_glue_security_configuration.this[0].name

  command {
    name            = "glueetl"
    script_location = "${local.code}/job.py"
    python_version  = "3"
  }

  # A run adds --request, the address of its request.
  default_arguments = {
    "--extra-py-files"                   = "${local.code}/waybill.zip"
    "--additional-python-modules"        = "${local.code}/requirements.txt"
    "--python-modules-installer-option"  = "-r"
    "--datalake-formats"                 = "iceberg"
    "--enable-metrics"                   = "true"
    "--enable-observability-metrics"     = "true"
    "--enable-continuous-cloudwatch-log" = "true"
    "--continuous-log-logGroup"          = local.log_group
    "--enable-auto-scaling"              = "true"
    "--job-bookmark-option"              = "job-bookmark-disable" # a request names its files
  }

  execution_property {
    max_concurrent_runs = var.max_concurrent_runs
  }
}

resource "aws_emrserverless_application" "spark" {
  count         = local.on_emr
  name          = "${var.name}-spark"
  type          = "spark"
  release_label = var.emr_release
  architecture  = "ARM64"

  # Python 3.11 and the packages of requirements-spark.txt; the release itself has Python 3.9.
  image_configuration {
    image_uri = var.emr_image
  }

  maximum_capacity {
    cpu    = "${var.emr_maximum.vcpu} vCPU"
    memory = "${var.emr_maximum.memory_gib} GB"
    disk   = "${var.emr_maximum.disk_gib} GB"
  }

  monitoring_configuration {
    cloudwatch_logging_configuration {
      enabled                = true
      log_group_name         = aws_cloudwatch_log_group.spark.name
      log_stream_name_prefix = "emr"
      encryption_key_arn     = var.data_key_arn
    }
  }

  auto_start_configuration {
    enabled = true
  }

  auto_stop_configuration {
    enabled              = true
    idle_timeout_minutes = 15
  }

  network_configuration {
    subnet_ids         = var.subnet_ids
    security_group_ids = [var.security_group_id]
  }
}

# ---- who starts jobs

resource "aws_iam_policy" "run" {
  name        = "${var.name}-run-jobs"
  description = "Start Spark jobs, read their state, and stop them."
  policy = jsonencode(jsondecode(templatefile("${path.module}/policies/run-${var.runtime}.json.tftpl", {
    job_arn         = "arn:aws:glue:${var.region}:${var.account_id}:job/${var.name}-spark"
    application_arn = one(aws_emrserverless_application.spark[*].arn)
    spark_role_arn  = local.role_arn
  })))
}
