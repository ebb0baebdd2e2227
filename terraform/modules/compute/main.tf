# For jobs that outgrow one machine: the same PySpark function as a Glue job, or on EMR Serverless when it wants more
# memory or a longer life. A domain's manifest asks for one of them or both.
locals {
  log_group = "/${var.name}/spark"
  role_arn  = "arn:aws:iam::${var.account_id}:role/${var.name}-spark"
  services  = { glue_job = "glue.amazonaws.com", emr = "emr-serverless.amazonaws.com" }
  on_glue   = contains(var.services, "glue_job") ? 1 : 0
  on_emr    = contains(var.services, "emr") ? 1 : 0
}

resource "aws_iam_role" "jobs" {
  name                 = "${var.name}-spark"
  description          = "Spark jobs on Glue and EMR Serverless."
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = [for service in sort(var.services) : local.services[service]] }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "jobs" {
  for_each   = var.policy_arns
  role       = aws_iam_role.jobs.name
  policy_arn = each.value
}

resource "aws_iam_role_policy" "jobs" {
  #checkov:skip=CKV_AWS_355:Metrics and network interfaces know no resource; conditions bound them
  #checkov:skip=CKV_AWS_290:As above
  name = "work"
  role = aws_iam_role.jobs.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "OwnCode"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:ListBucket"]
        Resource = ["arn:aws:s3:::${var.artefacts_bucket}", "arn:aws:s3:::${var.artefacts_bucket}/jobs/*"]
      },
      {
        Sid      = "Uploads" # Spark looks at buckets and unfinished uploads, the application does not
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"]
        Resource = ["arn:aws:s3:::${var.lake_bucket}", "arn:aws:s3:::${var.lake_bucket}/*"]
      },
      {
        Sid    = "Catalog"
        Effect = "Allow"
        Action = [
          "glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables", "glue:GetPartition", "glue:GetPartitions",
          "glue:BatchGetPartition", "glue:BatchCreatePartition", "glue:CreatePartition", "glue:UpdatePartition",
        ]
        Resource = concat(
          ["arn:aws:glue:${var.region}:${var.account_id}:catalog"],
          [for database in var.catalog_databases : "arn:aws:glue:${var.region}:${var.account_id}:database/${database}"],
          [for database in var.catalog_databases : "arn:aws:glue:${var.region}:${var.account_id}:table/${database}/*"],
        )
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
    ]
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

resource "aws_glue_job" "transform" {
  count                  = local.on_glue
  name                   = "${var.name}-transform"
  description            = "What the shop sold in a range of days, from the processed zone."
  role_arn               = aws_iam_role.jobs.arn
  glue_version           = var.glue_version
  worker_type            = var.glue_worker.type
  number_of_workers      = var.glue_worker.count
  timeout                = 120 # minutes
  max_retries            = 0   # Airflow retries
  security_configuration = aws_glue_security_configuration.this[0].name

  command {
    name            = "glueetl"
    script_location = "s3://${var.artefacts_bucket}/${var.script_key}"
    python_version  = "3"
  }

  default_arguments = {
    "--enable-metrics"                   = "true"
    "--enable-observability-metrics"     = "true"
    "--enable-continuous-cloudwatch-log" = "true"
    "--continuous-log-logGroup"          = local.log_group
    "--enable-auto-scaling"              = "true"
    "--job-bookmark-option"              = "job-bookmark-disable" # a run names its period
    # A run adds --first and --last.
    "--table"            = "lake.${one(var.catalog_databases)}.shop_transactions"
    "--output"           = "s3://${var.lake_bucket}/spark/shop"
    "--datalake-formats" = "iceberg"
    "--conf" = join(" --conf ", [
      "spark.sql.catalog.lake=org.apache.iceberg.spark.SparkCatalog",
      "spark.sql.catalog.lake.catalog-impl=org.apache.iceberg.aws.glue.GlueCatalog",
      "spark.sql.catalog.lake.io-impl=org.apache.iceberg.aws.s3.S3FileIO",
      "spark.sql.catalog.lake.warehouse=s3://${var.lake_bucket}/processed",
    ])
  }

  execution_property {
    max_concurrent_runs = 4
  }
}

resource "aws_emrserverless_application" "spark" {
  count         = local.on_emr
  name          = "${var.name}-spark"
  type          = "spark"
  release_label = var.emr_release
  architecture  = "ARM64"

  maximum_capacity {
    cpu    = "${var.emr_maximum.vcpu} vCPU"
    memory = "${var.emr_maximum.memory_gib} GB"
    disk   = "${var.emr_maximum.disk_gib} GB"
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
  description = "Start Spark jobs and hand them their role."
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "HandRoleToSpark"
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = local.role_arn
      Condition = { StringEquals = { "iam:PassedToService" = [for service in sort(var.services) : local.services[service]] } }
      }], [for job in aws_glue_job.transform : {
      Sid      = "SparkOnGlue"
      Effect   = "Allow"
      Action   = ["glue:StartJobRun", "glue:GetJob", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"]
      Resource = "arn:aws:glue:${var.region}:${var.account_id}:job/${job.name}"
      }], [for application in aws_emrserverless_application.spark : {
      Sid      = "SparkOnEmr"
      Effect   = "Allow"
      Action   = ["emr-serverless:StartApplication", "emr-serverless:GetApplication", "emr-serverless:StartJobRun", "emr-serverless:GetJobRun", "emr-serverless:CancelJobRun"]
      Resource = [application.arn, "${application.arn}/jobruns/*"]
    }])
  })
}
