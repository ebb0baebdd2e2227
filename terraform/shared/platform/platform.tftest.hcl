# What holds in every environment; what is particular to one is tested beside it.
mock_provider "aws" {
  source = "../../mocks"
}

variables {
  account_id              = "123456789012"
  region                  = "eu-central-1"
  owner                   = "data-platform"
  cost_center             = "4711"
  alert_emails            = ["data@example.com"]
  operations_emails       = ["operations@example.com"]
  dashboard_allowed_cidrs = ["203.0.113.0/24"]
  github_repository       = "example/waybill"
  state_bucket            = "waybill-state-123456789012"
  airflow_allowed_cidrs   = ["203.0.113.0/24"]
  run_task                = "true" # a command that succeeds; the script of deploy/ is not run
  upload_spark            = "true"
}

run "without_an_image" {
  command = apply

  assert {
    condition     = output.airflow_url == null && output.airflow_services == {} && output.airflow_bucket == "waybill-${var.environment}-airflow-123456789012"
    error_message = "The first apply must create everything but Airflow."
  }
  assert {
    condition     = !contains(output.alarm_names, "waybill-${var.environment}-scheduler-heartbeat")
    error_message = "Before Airflow runs, nobody waits for its heartbeat."
  }
}

run "with_an_image" {
  command = apply

  variables {
    image           = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    airflow_address = { host = "airflow.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" }
    oidc            = { issuer = "https://login.example.com", client_id = "waybill", roles = { admins = "admin" } }
  }

  assert {
    condition     = output.airflow_url == "https://airflow.example.com" && contains(output.alarm_names, "waybill-${var.environment}-scheduler-heartbeat")
    error_message = "The second apply must create Airflow, and watch it."
  }
  assert {
    condition     = toset(keys(output.airflow_services)) == toset(keys(var.airflow.services)) && (var.airflow.executor == "celery") == (length(module.broker) == 1)
    error_message = "Each service must be there, and a broker only with Celery."
  }
  assert {
    condition     = output.raw_bucket == "waybill-${var.environment}-raw-123456789012" && output.reports_bucket == "waybill-${var.environment}-reports-123456789012"
    error_message = "The buckets must carry the environment's name."
  }
  assert {
    condition     = output.metrics.namespace == "Waybill" && length(output.metrics.names) == 17
    error_message = "The metrics must be those of the application."
  }
  assert {
    condition     = toset(keys(local.connections)) == toset(["waybill_warehouse", "waybill_reader", "waybill_output", "aws_default", "waybill_alerts_sns"])
    error_message = "The application's connections must be there."
  }
  assert {
    condition = {
      for key, value in jsondecode(local.connections.waybill_warehouse) : key => value if key != "extra"
    } == { conn_type = "postgres", host = "warehouse.mock.eu-central-1.rds.amazonaws.com", port = 5432, schema = "waybill", login = "waybill" }
    error_message = "The warehouse's connection must lead to the database, without a password."
  }
  assert {
    condition     = jsondecode(local.connections.waybill_warehouse).extra == { iam = true, aws_conn_id = "aws_default", sslmode = "require" }
    error_message = "The warehouse must be entered by IAM and TLS."
  }
  assert {
    condition     = jsondecode(local.connections.waybill_alerts_sns).extra.topic_arn == "arn:aws:sns:eu-central-1:123456789012:waybill-${var.environment}-alerts" && output.alerts_topic_arn == jsondecode(local.connections.waybill_alerts_sns).extra.topic_arn
    error_message = "Alerts must go to the topic of alerts."
  }
}

run "airflow_is_told_where_everything_is" {
  command = apply

  assert {
    condition = output.landed_queues.orders.url == "https://sqs.eu-central-1.amazonaws.com/123456789012/waybill-${var.environment}-orders" && (
      output.landed_queues.purchases.name == "waybill-${var.environment}-purchases"
    )
    error_message = "Orders and purchases must have a queue each."
  }
  assert {
    condition     = jsondecode(local.connections.waybill_output).extra.role_arn == "arn:aws:iam::123456789012:role/waybill-${var.environment}-output-writer"
    error_message = "Publishing must take the role that cannot see the raw zone."
  }
  assert {
    condition     = jsondecode(local.connections.waybill_reader).login == "waybill_reader" && output.settings_secret == "waybill-${var.environment}/settings"
    error_message = "The views must read with their own role, and the secret settings must have a name."
  }
}

run "nothing_is_built_that_no_domain_uses" {
  command = plan

  variables {
    include_dir = "../../modules/catalog/tests/plain"
  }

  assert {
    condition     = length(output.streams) == 0 && length(output.stream_services) == 0 && length(module.compute) == 0 && module.catalog.raw_database == null
    error_message = "No manifest asks for a crawler, a stream or Spark: there must be none."
  }
  assert {
    condition     = length(local.spark_settings) == 0 && length(local.stream_settings) == 0 && length(terraform_data.spark_code) == 0
    error_message = "Without Spark and streams, Airflow has no settings for them, and no code is uploaded."
  }
  assert {
    condition     = length(local.service_policies) == 0
    error_message = "Airflow needs no rights for services that are not there."
  }
}

run "what_a_domain_uses_is_built" {
  command = apply

  variables {
    include_dir = "../../modules/catalog/tests/include"
  }

  assert {
    condition     = output.streams == { "taxi.rides" = "waybill-${var.environment}-taxi-rides" } && module.compute[0].glue_job_name == "waybill-${var.environment}-spark" && module.compute[0].emr_application_id == null && module.catalog.raw_database == "waybill_raw"
    error_message = "What a manifest asks for must be there."
  }
  assert {
    condition     = toset(keys(local.service_policies)) == toset(["run_jobs"])
    error_message = "Airflow must have the rights for Spark. It does not read streams."
  }
  assert {
    condition     = jsondecode(local.settings.WAYBILL_STREAMS) == output.streams && local.settings.WAYBILL_STREAM_LAG_SECONDS == "60" && length(output.stream_services) == 0
    error_message = "Airflow must supervise the stream. Without an image, nothing reads it."
  }
  assert {
    condition     = local.streams == { "taxi.rides" = { pipeline = "taxi_daily", archive = "landing/rides/" } }
    error_message = "A domain without kinesis must have no stream, and consumers must archive where the batch looks."
  }
  assert {
    condition     = local.raw_expiry == { "landing/trips/" = 400 }
    error_message = "Raw files must expire where their dataset's files land, as its contract says."
  }
  assert {
    condition     = terraform_data.spark_code[0].triggers_replace == module.compute[0].code && can(regex("^s3://waybill-${var.environment}-airflow-123456789012/spark/[0-9a-f]{16}$", module.compute[0].code))
    error_message = "The job must have the code of this version."
  }
  assert {
    condition     = local.spark_settings == { WAYBILL_SPARK = "glue", WAYBILL_SPARK_HOURS = "8", WAYBILL_SPARK_JOB = "waybill-${var.environment}-spark" }
    error_message = "Airflow must know which job it starts."
  }
  assert {
    condition     = local.on_spark == tolist(["fleet"]) && local.spark_prefixes == ["processed/fleet/", "processed/fleet_", "lake/trips/", "lake/trips_quarantine/"]
    error_message = "Jobs may write where the tables of domains on Spark lie."
  }
}

run "a_stream_has_consumers_once_there_is_an_image" {
  command = apply

  variables {
    include_dir     = "../../modules/catalog/tests/include"
    image           = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    airflow_address = { host = "airflow.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" }
    oidc            = { issuer = "https://login.example.com", client_id = "waybill", roles = { admins = "admin" } }
  }

  assert {
    condition     = { for service, size in output.stream_services : service => size.tasks } == { stream-taxi-rides = var.stream_consumers.tasks }
    error_message = "Each stream must have a service beside Airflow."
  }
  assert {
    condition     = alltrue([for alarm in ["lag", "silent", "age"] : contains(output.alarm_names, "waybill-${var.environment}-stream-${alarm}-taxi-rides")]) && contains(output.alarm_names, "waybill-${var.environment}-stream-taxi-rides-memory")
    error_message = "The stream and its service must be watched."
  }
}

run "spark_on_emr" {
  command = apply

  variables {
    include_dir = "../../modules/catalog/tests/include"
    spark = {
      runtime     = "emr"
      hours       = 2
      emr_image   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/spark:7.13.0"
      glue_worker = { type = "G.1X", count = 2 }
      emr_maximum = { vcpu = 16, memory_gib = 64, disk_gib = 200 }
    }
  }

  assert {
    condition = local.spark_settings == {
      WAYBILL_SPARK             = "emr"
      WAYBILL_SPARK_HOURS       = "2"
      WAYBILL_SPARK_APPLICATION = module.compute[0].emr_application_id
      WAYBILL_SPARK_ROLE        = "arn:aws:iam::123456789012:role/waybill-${var.environment}-spark"
      WAYBILL_SPARK_SCRIPT      = "${module.compute[0].code}/job.py"
      WAYBILL_SPARK_PARAMETERS  = "--py-files ${module.compute[0].code}/waybill.zip"
    }
    error_message = "Airflow must know the application, its role and its code."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    account_id              = "1234"
    region                  = "Frankfurt"
    owner                   = ""
    alert_emails            = []
    dashboard_allowed_cidrs = []
    timezone                = "UTC'"
  }

  expect_failures = [var.account_id, var.region, var.owner, var.alert_emails, var.dashboard_allowed_cidrs, var.timezone]
}
