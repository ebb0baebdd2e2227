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
  read_input_policy_arn    = "arn:aws:iam::123456789012:policy/waybill-test-read-input"
  artefacts_bucket         = "waybill-test-airflow-123456789012"
  code_prefix              = "spark/0123456789abcdef"
  lake_bucket              = "waybill-test-lake-123456789012"
  catalog_database         = "waybill_processed"
  domains                  = ["clicks"]
  lake_prefixes            = ["processed/clicks/", "processed/clicks_"]
  runtime                  = "glue"
  emr_maximum              = { vcpu = 16, memory_gib = 64, disk_gib = 200 }
}

run "glue" {
  command = apply

  assert {
    condition     = one(aws_glue_job.spark[0].command).script_location == "s3://waybill-test-airflow-123456789012/spark/0123456789abcdef/job.py"
    error_message = "The script must come from the folder of this version of the code."
  }
  assert {
    condition = {
      for name in ["--extra-py-files", "--additional-python-modules", "--python-modules-installer-option", "--datalake-formats"] :
      name => aws_glue_job.spark[0].default_arguments[name]
      } == {
      "--extra-py-files"                  = "s3://waybill-test-airflow-123456789012/spark/0123456789abcdef/waybill.zip"
      "--additional-python-modules"       = "s3://waybill-test-airflow-123456789012/spark/0123456789abcdef/requirements.txt"
      "--python-modules-installer-option" = "-r"
      "--datalake-formats"                = "iceberg"
    }
    error_message = "The job must have the package, the locked versions of other packages, and Iceberg."
  }
  assert {
    condition     = aws_glue_job.spark[0].glue_version == "5.1" && aws_glue_job.spark[0].timeout == 480
    error_message = "The job must run the Spark that is tested, and end."
  }
  assert {
    condition     = aws_glue_job.spark[0].max_retries == 0 && aws_glue_job.spark[0].security_configuration == aws_glue_security_configuration.this[0].name
    error_message = "Airflow retries; the job encrypts."
  }
  assert {
    condition     = aws_glue_job.spark[0].default_arguments["--enable-observability-metrics"] == "true" && aws_glue_job.spark[0].default_arguments["--continuous-log-logGroup"] == output.log_group
    error_message = "The alarm needs the metrics, and people the log."
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
    condition     = length(aws_emrserverless_application.spark) == 0 && output.emr_application_id == null && output.glue_job_name == "waybill-test-spark"
    error_message = "Only the chosen runtime must be there."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_policy.run.policy).Statement : statement.Sid] == ["SparkOnGlue"] && one(jsondecode(aws_iam_role.jobs.assume_role_policy).Statement).Principal.Service == "glue.amazonaws.com"
    error_message = "Nobody needs rights for EMR."
  }
}

run "emr" {
  command = apply

  variables {
    runtime   = "emr"
    emr_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill-test-spark:7.13.0"
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
  assert {
    condition     = one(aws_emrserverless_application.spark[0].image_configuration).image_uri == var.emr_image && aws_emrserverless_application.spark[0].release_label == "emr-7.13.0"
    error_message = "The application must run the image, on the Spark that is tested."
  }
  assert {
    condition     = one(one(aws_emrserverless_application.spark[0].monitoring_configuration).cloudwatch_logging_configuration).log_group_name == output.log_group && contains([for statement in jsondecode(aws_iam_role_policy.jobs.policy).Statement : statement.Sid], "FindLogs")
    error_message = "Its logs must be in the group, which the role may find."
  }
  assert {
    condition     = length(aws_glue_job.spark) == 0 && length(aws_glue_security_configuration.this) == 0 && output.glue_job_name == null
    error_message = "Only the chosen runtime must be there."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_policy.run.policy).Statement : statement.Sid] == ["HandRoleToSpark", "SparkOnEmr"] && one(jsondecode(aws_iam_role.jobs.assume_role_policy).Statement).Principal.Service == "emr-serverless.amazonaws.com"
    error_message = "Nobody needs rights for a Glue job."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_policy.run.policy).Statement : statement.Resource if statement.Sid == "HandRoleToSpark"]) == "arn:aws:iam::123456789012:role/waybill-test-spark"
    error_message = "Airflow may hand on the jobs' role only."
  }
}

run "role" {
  command = apply

  assert {
    condition     = aws_iam_role.jobs.permissions_boundary == var.permissions_boundary_arn
    error_message = "The role must be bounded."
  }
  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.jobs.policy).Statement : statement.Sid => statement.Action if contains(["ReadOwnCode", "ListLake", "WriteLake", "CommitToTables"], statement.Sid) } == {
      ReadOwnCode    = "s3:GetObject"
      ListLake       = ["s3:ListBucket", "s3:GetBucketLocation"]
      WriteLake      = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
      CommitToTables = ["glue:GetCatalog", "glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"]
    }
    error_message = "Jobs may commit to tables, and neither create nor drop them."
  }
  assert {
    condition = alltrue([for action in flatten([for statement in jsondecode(aws_iam_role_policy.jobs.policy).Statement : statement.Action]) :
    contains(["s3", "glue", "logs", "cloudwatch", "kms"], split(":", action)[0])])
    error_message = "Jobs have no right to enter a database or to read a secret."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.jobs.policy).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")] == ["Metrics"]
    error_message = "Only sending metrics may be allowed on all."
  }
  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.jobs.policy).Statement : statement.Sid => flatten([statement.Resource]) if contains(["ReadOwnCode", "ListLake", "WriteLake", "CommitToTables"], statement.Sid) } == {
      ReadOwnCode = ["arn:aws:s3:::waybill-test-airflow-123456789012/spark/0123456789abcdef/*"]
      ListLake    = ["arn:aws:s3:::waybill-test-lake-123456789012"]
      WriteLake   = [for prefix in ["_spark/", "processed/clicks/", "processed/clicks_"] : "arn:aws:s3:::waybill-test-lake-123456789012/${prefix}*"]
      CommitToTables = [for resource in ["catalog", "database/waybill_processed", "table/waybill_processed/clicks_*"] :
      "arn:aws:glue:eu-central-1:123456789012:${resource}"]
    }
    error_message = "Jobs may write to the tables of domains on Spark, and read their own code; raw files are those of the attached policy."
  }
}

run "starting_jobs" {
  command = apply

  assert {
    condition     = one(jsondecode(aws_iam_policy.run.policy).Statement).Resource == "arn:aws:glue:eu-central-1:123456789012:job/${aws_glue_job.spark[0].name}"
    error_message = "Airflow may start the job, and hand on no role."
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_policy.run.policy).Statement : !contains(flatten([statement.Resource]), "*")])
    error_message = "Airflow may start these jobs only."
  }
}

run "emr_needs_an_image" {
  command = plan

  variables {
    runtime = "emr"
  }

  expect_failures = [var.emr_image]
}

run "refuses_bad_values" {
  command = plan

  variables {
    runtime     = "spark"
    code_prefix = "jobs"
    glue_worker = { type = "Standard", count = 1 }
    emr_release = "emr-7.10.0"
    emr_maximum = { vcpu = 16, memory_gib = 16, disk_gib = 200 }

    domains       = []
    lake_prefixes = ["processed/*"]
    limit_hours   = 200
  }

  expect_failures = [var.runtime, var.code_prefix, var.glue_worker, var.emr_release, var.emr_maximum, var.domains, var.lake_prefixes, var.limit_hours]
}
