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
  subnet_ids               = ["subnet-1", "subnet-2"]
  security_group_id        = "sg-1"
  policy_arns = {
    read_input   = "arn:aws:iam::123456789012:policy/waybill-test-read-input"
    write_output = "arn:aws:iam::123456789012:policy/waybill-test-write-output"
  }
  artefacts_bucket  = "waybill-test-airflow-123456789012"
  lake_bucket       = "waybill-test-lake-123456789012"
  catalog_databases = ["waybill_processed"]
  services          = ["emr", "glue_job"]
  emr_maximum       = { vcpu = 16, memory_gib = 64, disk_gib = 200 }
}

run "spark" {
  command = apply

  assert {
    condition     = one(aws_glue_job.transform[0].command).script_location == "s3://waybill-test-airflow-123456789012/jobs/transform.py"
    error_message = "The job's code must come from the artefacts' bucket."
  }
  assert {
    condition = {
      for name in ["--table", "--output"] : name => aws_glue_job.transform[0].default_arguments[name]
    } == { "--table" = "lake.waybill_processed.shop_transactions", "--output" = "s3://waybill-test-lake-123456789012/spark/shop" }
    error_message = "The job must read a table of the lake, and write beside it."
  }
  assert {
    condition     = aws_glue_job.transform[0].max_retries == 0 && aws_glue_job.transform[0].security_configuration == aws_glue_security_configuration.this[0].name
    error_message = "Airflow retries; the job encrypts."
  }
  assert {
    condition = alltrue([
      one(one(aws_glue_security_configuration.this[0].encryption_configuration).s3_encryption).kms_key_arn == var.data_key_arn,
      one(one(aws_glue_security_configuration.this[0].encryption_configuration).cloudwatch_encryption).kms_key_arn == var.data_key_arn,
      one(one(aws_glue_security_configuration.this[0].encryption_configuration).job_bookmarks_encryption).kms_key_arn == var.data_key_arn,
    ])
    error_message = "Everything that a job writes must be encrypted with the data key."
  }
  assert {
    condition     = one(aws_emrserverless_application.spark[0].maximum_capacity).cpu == "16 vCPU" && one(aws_emrserverless_application.spark[0].maximum_capacity).memory == "64 GB"
    error_message = "Spark must not use more than the environment says."
  }
  assert {
    condition     = one(aws_emrserverless_application.spark[0].auto_stop_configuration).enabled
    error_message = "Idle machines must stop."
  }
  assert {
    condition     = one(aws_emrserverless_application.spark[0].network_configuration).subnet_ids == toset(var.subnet_ids)
    error_message = "Spark must run in the private network."
  }
}

run "role" {
  command = apply

  assert {
    condition     = aws_iam_role.jobs.permissions_boundary == var.permissions_boundary_arn
    error_message = "The role must be bounded."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.jobs.policy).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")] == ["Metrics"]
    error_message = "Only sending metrics may be allowed on all."
  }
  assert {
    condition = contains(one([for statement in jsondecode(aws_iam_role_policy.jobs.policy).Statement : statement.Resource if statement.Sid == "Catalog"]),
    "arn:aws:glue:eu-central-1:123456789012:table/waybill_processed/*")
    error_message = "Jobs must be able to register partitions."
  }
}

run "only_on_glue" {
  command = apply

  variables {
    services = ["glue_job"]
  }

  assert {
    condition     = length(aws_glue_job.transform) == 1 && length(aws_emrserverless_application.spark) == 0 && output.emr_application_id == null
    error_message = "Only what a domain uses must be there."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_policy.run.policy).Statement : statement.Sid] == ["HandRoleToSpark", "SparkOnGlue"] && one(jsondecode(aws_iam_role.jobs.assume_role_policy).Statement).Principal.Service == ["glue.amazonaws.com"]
    error_message = "Nobody needs rights for EMR."
  }
}

run "only_on_emr" {
  command = apply

  variables {
    services = ["emr"]
  }

  assert {
    condition     = length(aws_glue_job.transform) == 0 && length(aws_glue_security_configuration.this) == 0 && length(aws_emrserverless_application.spark) == 1 && output.glue_job_name == null
    error_message = "Only what a domain uses must be there."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_policy.run.policy).Statement : statement.Sid] == ["HandRoleToSpark", "SparkOnEmr"]
    error_message = "Nobody needs rights for a Glue job."
  }
}

run "starting_jobs" {
  command = apply

  assert {
    condition     = one([for statement in jsondecode(aws_iam_policy.run.policy).Statement : statement.Resource if statement.Sid == "HandRoleToSpark"]) == "arn:aws:iam::123456789012:role/waybill-test-spark"
    error_message = "Airflow may hand on the jobs' role only."
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_policy.run.policy).Statement : !contains(flatten([statement.Resource]), "*")])
    error_message = "Airflow may start these jobs only."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    services     = ["spark"]
    script_key   = "transform.py"
    glue_version = "4.0"
    glue_worker  = { type = "Standard", count = 1 }
    emr_release  = "emr-6.15.0"
    emr_maximum  = { vcpu = 16, memory_gib = 16, disk_gib = 200 }
  }

  expect_failures = [var.services, var.script_key, var.glue_version, var.glue_worker, var.emr_release, var.emr_maximum]
}
