mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name              = "waybill-test"
  account_id        = "123456789012"
  region            = "eu-central-1"
  data_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/data"
  contracts_dir     = "../../../include/contracts"
  domains_dir       = "../../../include/domains"
  raw_bucket        = "waybill-test-raw-123456789012"
  lake_bucket       = "waybill-test-lake-123456789012"
  crawler_role_name = "waybill-test-input-reader"
  crawler_role_arn  = "arn:aws:iam::123456789012:role/waybill-test-input-reader"
  scan_limit_gib    = 10
}

run "tables_of_the_projects_contracts" {
  command = plan

  assert {
    condition     = aws_glue_catalog_database.processed.name == "waybill_processed"
    error_message = "The processed zone's database must be waybill_processed."
  }
  assert {
    condition     = aws_glue_catalog_table.processed["messaging_traffic"].storage_descriptor[0].location == "s3://waybill-test-lake-123456789012/processed/messaging/traffic/"
    error_message = "A table must lie at processed/<domain>/<dataset>/."
  }
  assert {
    condition     = [for key in aws_glue_catalog_table.processed["messaging_traffic"].partition_keys : "${key.name} ${key.type}"] == ["dt string"]
    error_message = "A table must be partitioned by dt."
  }
  assert {
    condition = [for column in aws_glue_catalog_table.processed["messaging_traffic"].storage_descriptor[0].columns : "${column.name} ${column.type}"] == [
      "traffic_id bigint", "send_date date", "account_id int", "customer_id int", "channel_id int", "interactions_count int", "revenue_eur decimal(12,2)",
    ]
    error_message = "The columns of messaging_traffic must be those of its contract, in its order."
  }
  assert {
    condition = [for column in aws_glue_catalog_table.processed["messaging_channels"].storage_descriptor[0].columns : "${column.name} ${column.type}"] == [
      "channel_id int", "channel_name string", "channel_type string", "unit_price_eur decimal(10,4)",
    ]
    error_message = "The columns of messaging_channels must be those of its contract, in its order."
  }
  assert {
    condition = [for column in aws_glue_catalog_table.processed["shop_clickstream"].storage_descriptor[0].columns : "${column.name} ${column.type}"] == [
      "event_id string", "session_id string", "customer_id int", "event_type string", "page string", "product_id int", "ts timestamp", "device string",
    ]
    error_message = "The columns of shop_clickstream must be those of its contract, in its order."
  }
  assert {
    condition     = length([for key in keys(aws_glue_catalog_table.processed) : key if strcontains(key, "_report_")]) == 0
    error_message = "Reports live in PostgreSQL, not in the processed zone."
  }
  assert {
    condition     = output.datasets["messaging_traffic"] == { dataset = "traffic", pipeline = "messaging_monthly", freshness_hours = 768 } && output.datasets["shop_clickstream"] == { dataset = "clickstream", pipeline = "shop_daily", freshness_hours = 48 } && output.datasets["orders_lines"].pipeline == "orders_reports" && output.datasets["purchases_rates"].pipeline == "purchases_medallion"
    error_message = "A dataset may be one period and its latency old."
  }
  assert {
    condition     = length(aws_glue_crawler.raw.s3_target) == length(aws_glue_catalog_table.processed) && contains(aws_glue_crawler.raw.s3_target[*].path, "s3://waybill-test-raw-123456789012/raw/messaging/traffic/") && contains(aws_glue_crawler.raw.s3_target[*].path, "s3://waybill-test-raw-123456789012/datalake/bronze/")
    error_message = "The crawler must look at every dataset that arrives, where its manifest says."
  }
}

run "types" {
  command = plan

  variables {
    contracts_dir = "tests/contracts"
    domains_dir   = "tests/domains"
  }

  assert {
    condition = output.tables["fleet_trips"].columns == {
      trip_id    = "bigint"
      wheels     = "smallint"
      axles      = "int"
      driver     = "string"
      plate      = "string"
      token      = "string"
      toll_eur   = "decimal(12,2)"
      points     = "decimal(6,0)"
      ratio      = "decimal(38,10)"
      load_t     = "double"
      started_at = "timestamp"
      day        = "date"
      is_paid    = "boolean"
      stops      = "string"
      tags       = "array<string>"
    }
    error_message = "Every type of PostgreSQL must have its Hive type."
  }
  assert {
    condition     = keys(aws_glue_catalog_table.processed) == ["fleet_trips"]
    error_message = "A report arrives from nowhere and has no table in the processed zone."
  }
  assert {
    condition     = aws_glue_catalog_table.processed["fleet_trips"].description == "Every trip of every van. One row per trip." && aws_glue_catalog_table.processed["fleet_trips"].parameters["waybill.contract_version"] == "2.1.0"
    error_message = "A table must say what its contract says."
  }
  assert {
    condition     = aws_glue_catalog_table.processed["fleet_trips"].parameters["storage.location.template"] == "s3://waybill-test-lake-123456789012/lake/trips/trip_day=$${trip_day}/"
    error_message = "Athena must find a day's folder by its name, under the prefix of the manifest."
  }
  assert {
    condition     = output.datasets == { fleet_trips = { dataset = "trips", pipeline = "fleet_trips", freshness_hours = 30 } }
    error_message = "A daily dataset with six hours to deliver may be 30 hours old."
  }
}

run "unknown_type_is_named" {
  command = plan

  variables {
    contracts_dir = "tests/unknown"
    domains_dir   = "tests/domains"
  }

  expect_failures = [aws_glue_catalog_table.processed]
}

run "athena" {
  command = plan

  assert {
    condition     = one(aws_athena_workgroup.this.configuration).bytes_scanned_cutoff_per_query == 10737418240 && one(aws_athena_workgroup.this.configuration).enforce_workgroup_configuration
    error_message = "No query may read more than 10 GiB, whatever its client says."
  }
  assert {
    condition     = one(one(one(aws_athena_workgroup.this.configuration).result_configuration).encryption_configuration).encryption_option == "SSE_KMS"
    error_message = "Answers must be encrypted."
  }
  assert {
    condition     = alltrue([for key in keys(aws_glue_catalog_table.processed) : strcontains(aws_athena_named_query.this["rows_by_day"].query, "'${key}'")])
    error_message = "The overview must cover every table."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    contracts_dir    = "tests/contracts/fleet"
    domains_dir      = "tests"
    first_day        = "1 January 2020"
    crawler_schedule = "daily"
    scan_limit_gib   = 0
    database_prefix  = "Way-Bill"
  }

  expect_failures = [var.contracts_dir, var.domains_dir, var.first_day, var.crawler_schedule, var.scan_limit_gib, var.database_prefix]
}
