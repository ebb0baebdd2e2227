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

run "datasets_of_the_projects_contracts" {
  command = plan

  assert {
    condition     = aws_glue_catalog_database.processed.name == "waybill_processed" && aws_glue_catalog_database.processed.location_uri == "s3://waybill-test-lake-123456789012/processed/"
    error_message = "The processed zone's database must be waybill_processed."
  }
  assert {
    condition     = output.training_database == "waybill_training" && aws_glue_catalog_database.training.location_uri == "s3://waybill-test-lake-123456789012/training/"
    error_message = "Training sets must have the database waybill_training, where their files lie."
  }
  assert {
    condition     = length([for key in keys(output.datasets) : key if strcontains(key, "_report_")]) == 0
    error_message = "Reports live in PostgreSQL and do not arrive."
  }
  assert {
    condition     = output.datasets["messaging_traffic"] == { dataset = "traffic", pipeline = "messaging_monthly", freshness_hours = 768 } && output.datasets["shop_clickstream"] == { dataset = "clickstream", pipeline = "shop_daily", freshness_hours = 48 } && output.datasets["orders_lines"].pipeline == "orders_reports" && output.datasets["purchases_rates"].pipeline == "purchases_medallion"
    error_message = "A dataset may be one period and its latency old."
  }
}

run "without_a_crawler" {
  command = plan

  variables {
    contracts_dir = "tests/include/contracts"
    domains_dir   = "tests/plain/domains"
  }

  assert {
    condition     = length(aws_glue_crawler.raw) + length(aws_glue_catalog_database.raw) + length(aws_iam_role_policy.crawler) + length(aws_glue_security_configuration.crawler) == 0 && output.raw_database == null
    error_message = "Without a domain that asks for it there must be no crawler, nor anything for it."
  }
  assert {
    condition     = output.datasets == { fleet_trips = { dataset = "trips", pipeline = "fleet_trips", freshness_hours = 30 } }
    error_message = "A daily dataset with six hours to deliver may be 30 hours old."
  }
}

run "with_a_crawler" {
  command = plan

  variables {
    contracts_dir = "tests/include/contracts"
    domains_dir   = "tests/include/domains"
  }

  assert {
    condition     = one(aws_glue_crawler.raw[0].s3_target[*].path) == "s3://waybill-test-raw-123456789012/landing/trips/" && output.raw_database == "waybill_raw"
    error_message = "The crawler must look at every dataset of the domains that ask for it, where their manifest says."
  }
  assert {
    condition     = contains(one([for statement in jsondecode(aws_iam_role_policy.crawler[0].policy).Statement : statement.Resource if statement.Sid == "RawTables"]), "arn:aws:glue:eu-central-1:123456789012:table/waybill_raw/*")
    error_message = "The crawler must own the tables of the raw zone."
  }
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
    condition     = strcontains(aws_athena_named_query.columns.query, "'waybill_processed'")
    error_message = "The query must list the tables of the processed zone."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    contracts_dir    = "tests/include/contracts/fleet"
    domains_dir      = "tests"
    crawler_schedule = "daily"
    scan_limit_gib   = 0
    database_prefix  = "Way-Bill"
  }

  expect_failures = [var.contracts_dir, var.domains_dir, var.crawler_schedule, var.scan_limit_gib, var.database_prefix]
}
