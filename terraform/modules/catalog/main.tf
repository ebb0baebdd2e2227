resource "aws_glue_catalog_database" "processed" {
  name         = "${var.database_prefix}_processed"
  description  = "What was accepted, as Parquet, one table for each contract."
  location_uri = "s3://${var.lake_bucket}/processed/"
}

resource "aws_glue_catalog_table" "processed" {
  for_each      = local.tables
  database_name = aws_glue_catalog_database.processed.name
  name          = each.key
  description   = trimspace("${each.value.purpose} ${each.value.grain}")
  table_type    = "EXTERNAL_TABLE"

  partition_keys {
    name    = each.value.partition
    type    = "string"
    comment = "Day, as YYYY-MM-DD."
  }

  # With projection, Athena works out the days by itself; Spark uses the partitions that runs register.
  parameters = {
    "EXTERNAL"                                  = "TRUE"
    "classification"                            = "parquet"
    "waybill.contract"                          = "${each.value.domain}.${each.value.name}"
    "waybill.contract_version"                  = each.value.version
    "projection.enabled"                        = "true"
    "projection.${each.value.partition}.type"   = "date"
    "projection.${each.value.partition}.format" = "yyyy-MM-dd"
    "projection.${each.value.partition}.range"  = "${var.first_day},NOW"
    "storage.location.template"                 = "${each.value.location}${each.value.partition}=$${${each.value.partition}}/"
  }

  storage_descriptor {
    location      = each.value.location
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = each.value.columns
      content {
        name    = columns.value.name
        type    = columns.value.hive_type
        comment = columns.value.comment
      }
    }
  }

  lifecycle {
    precondition {
      condition     = alltrue([for column in each.value.columns : column.hive_type != null])
      error_message = "${each.key}: no Hive type is known for ${join(", ", [for column in each.value.columns : "${column.name} (${column.type})" if column.hive_type == null])}; add it to hive_types in contracts.tf."
    }
    precondition {
      condition     = each.value.partition != null
      error_message = "${each.key}: Athena needs a processed prefix with one folder for each day, like dt=YYYY-MM-DD/."
    }
    precondition {
      condition     = !contains(each.value.columns[*].name, each.value.partition)
      error_message = "${each.key}: a column named ${each.value.partition} would collide with the partition."
    }
  }
}

# ---- the raw zone, as it came: for looking into a delivery

resource "aws_glue_catalog_database" "raw" {
  name         = "${var.database_prefix}_raw"
  description  = "Files as they were delivered; columns are what the crawler saw, not what a contract says."
  location_uri = "s3://${var.raw_bucket}/raw/"
}

resource "aws_glue_security_configuration" "crawler" {
  name = "${var.name}-crawler"
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
  name = "crawl"
  role = var.crawler_role_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "RawTables"
        Effect = "Allow"
        Action = [
          "glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:CreateTable", "glue:UpdateTable", "glue:GetPartitions",
          "glue:BatchGetPartition", "glue:BatchCreatePartition", "glue:BatchUpdatePartition", "glue:UpdatePartition",
        ]
        Resource = [
          "arn:aws:glue:${var.region}:${var.account_id}:catalog",
          "arn:aws:glue:${var.region}:${var.account_id}:database/${aws_glue_catalog_database.raw.name}",
          "arn:aws:glue:${var.region}:${var.account_id}:table/${aws_glue_catalog_database.raw.name}/*",
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
  name                   = "${var.name}-raw"
  description            = "Describes the raw zone, one table for each dataset."
  role                   = var.crawler_role_arn
  database_name          = aws_glue_catalog_database.raw.name
  schedule               = var.crawler_schedule
  security_configuration = aws_glue_security_configuration.crawler.name

  dynamic "s3_target" {
    for_each = local.datasets
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
  name        = var.name
  description = "Questions to the lake, each limited to ${var.scan_limit_gib} GiB."

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

locals {
  queries = merge(
    {
      rows_by_day = {
        description = "How many rows each dataset has on each of the last 30 days."
        query = join("\nunion all\n", [for key in sort(keys(local.tables)) :
        "select '${key}' as dataset, dt, count(*) as row_count\nfrom ${aws_glue_catalog_database.processed.name}.${key}\nwhere dt >= date_format(current_date - interval '30' day, '%Y-%m-%d')\ngroup by dt"])
      }
      newest_day = {
        description = "The newest day of each dataset, from the last year."
        query = join("\nunion all\n", [for key in sort(keys(local.tables)) :
        "select '${key}' as dataset, max(dt) as newest_day\nfrom ${aws_glue_catalog_database.processed.name}.${key}\nwhere dt >= date_format(current_date - interval '366' day, '%Y-%m-%d')"])
      }
    },
    { for key, table in local.tables : "look_into_${key}" => {
      description = "Some rows of ${table.domain}.${table.name} of yesterday."
      query       = "select ${join(", ", [for column in table.columns : "\"${column.name}\""])}\nfrom ${aws_glue_catalog_database.processed.name}.${key}\nwhere dt = date_format(current_date - interval '1' day, '%Y-%m-%d')\nlimit 100"
    } },
  )
}

resource "aws_athena_named_query" "this" {
  for_each    = local.queries
  name        = each.key
  description = each.value.description
  workgroup   = aws_athena_workgroup.this.name
  database    = aws_glue_catalog_database.processed.name
  query       = each.value.query
}
