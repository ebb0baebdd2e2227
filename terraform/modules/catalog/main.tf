# The databases are Terraform's, the tables are not: the application creates and changes the Iceberg tables of the
# processed zone, and the crawler the tables of the raw zone. A table has one owner.
resource "aws_glue_catalog_database" "processed" {
  name         = "${var.database_prefix}_processed"
  description  = "What was accepted, as Iceberg tables. The application owns them."
  location_uri = "s3://${var.lake_bucket}/processed/"
}

resource "aws_glue_catalog_database" "training" {
  name         = "${var.database_prefix}_training"
  description  = "Training sets, as Iceberg tables. The application owns them, and drops them with the sets."
  location_uri = "s3://${var.lake_bucket}/training/"
}

# ---- the raw zone, as it came: for looking into a delivery, of domains whose manifest asks for a crawler

locals {
  crawled = { for key, dataset in local.datasets : key => dataset if contains(dataset.services, "crawler") }
  crawler = length(local.crawled) > 0 ? 1 : 0
}

resource "aws_glue_catalog_database" "raw" {
  count        = local.crawler
  name         = "${var.database_prefix}_raw"
  description  = "Files as they were delivered; columns are what the crawler saw, not what a contract says."
  location_uri = "s3://${var.raw_bucket}/raw/"
}

resource "aws_glue_security_configuration" "crawler" {
  count = local.crawler
  name  = "${var.name}-crawler"
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

resource "aws_iam_role_policy" "crawler" {
  count = local.crawler
  name  = "crawl"
  role  = var.crawler_role_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "FindRaw"
        Effect   = "Allow"
        Action   = "s3:GetBucketLocation"
        Resource = "arn:aws:s3:::${var.raw_bucket}"
      },
      {
        Sid    = "RawTables"
        Effect = "Allow"
        Action = [
          "glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:CreateTable", "glue:UpdateTable", "glue:GetPartitions",
          "glue:BatchGetPartition", "glue:BatchCreatePartition", "glue:BatchUpdatePartition", "glue:UpdatePartition",
        ]
        Resource = [
          "arn:aws:glue:${var.region}:${var.account_id}:catalog",
          "arn:aws:glue:${var.region}:${var.account_id}:database/${aws_glue_catalog_database.raw[0].name}",
          "arn:aws:glue:${var.region}:${var.account_id}:table/${aws_glue_catalog_database.raw[0].name}/*",
        ]
      },
      {
        Sid    = "Logs"
        Effect = "Allow"
        Action = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:AssociateKmsKey"]
        Resource = [
          "arn:aws:logs:${var.region}:${var.account_id}:log-group:/aws-glue/crawlers*",
        ]
      },
      {
        Sid       = "LogsKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
        Resource  = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
        Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.name}-data" } }
      },
    ]
  })
}

resource "aws_glue_crawler" "raw" {
  count                  = local.crawler
  name                   = "${var.name}-raw"
  description            = "Describes the raw zone, one table for each dataset."
  role                   = var.crawler_role_arn
  database_name          = aws_glue_catalog_database.raw[0].name
  schedule               = var.crawler_schedule
  security_configuration = aws_glue_security_configuration.crawler[0].name

  dynamic "s3_target" {
    for_each = local.crawled
    content {
      path        = "s3://${var.raw_bucket}/${regex("^[^=]*/", s3_target.value.raw)}"
      sample_size = 5 # files of a folder: enough to see the columns
    }
  }

  # A table that a query relies on does not vanish because a folder is empty for a day.
  schema_change_policy {
    delete_behavior = "LOG"
    update_behavior = "UPDATE_IN_DATABASE"
  }

  recrawl_policy {
    recrawl_behavior = "CRAWL_EVERYTHING"
  }

  depends_on = [aws_iam_role_policy.crawler]
}

# ---- questions

resource "aws_athena_workgroup" "this" {
  name          = var.name
  force_destroy = var.force_destroy
  description   = "Questions to the lake, each limited to ${var.scan_limit_gib} GiB."

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.scan_limit_gib * 1024 * 1024 * 1024

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = "s3://${var.lake_bucket}/athena/"
      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.data_key_arn
      }
    }
  }
}

resource "aws_athena_named_query" "columns" {
  name        = "columns"
  description = "The tables of the processed zone, with their columns."
  workgroup   = aws_athena_workgroup.this.name
  database    = aws_glue_catalog_database.processed.name
  query       = <<-SQL
    select table_name, column_name, data_type, comment
    from information_schema.columns
    where table_schema = '${aws_glue_catalog_database.processed.name}'
    order by table_name, ordinal_position
  SQL
}
