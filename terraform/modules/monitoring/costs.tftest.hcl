mock_provider "aws" {
  source = "../../mocks"
}

override_resource {
  target = aws_sns_topic.this["alerts"]
  values = { arn = "arn:aws:sns:eu-central-1:123456789012:waybill-test-alerts" }
}

override_resource {
  target = aws_sns_topic.this["operations"]
  values = { arn = "arn:aws:sns:eu-central-1:123456789012:waybill-test-operations" }
}

variables {
  name               = "waybill-test"
  account_id         = "123456789012"
  region             = "eu-central-1"
  operations_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/operations"
  alert_emails       = ["data@example.com"]
  operations_emails  = ["operations@example.com"]
  datasets           = {}
  limits = {
    work_seconds             = 3600
    load_seconds_per_million = 30
    queue_age_seconds        = 900
    queue_messages           = 1000
    task_wait_seconds        = 1800
    database_cpu_pct         = 80
  }
  budget_usd = 500
  airflow    = { services = ["api-server", "worker"], slots = 8, load_balancer = "app/waybill-test/1", target_group = "targetgroup/waybill-test/1" }
  databases = {
    warehouse = { identifier = "waybill-test-warehouse", instance_class = "db.m7g.large", allocated_gib = 100 }
    metadata  = { identifier = "waybill-test-metadata", instance_class = "db.t4g.medium", allocated_gib = 20 }
  }
  broker           = "waybill-test-broker"
  spark            = { runtime = "glue", id = "waybill-test-spark" }
  trail_log_group  = "/waybill-test/trail"
  landed_queues    = { orders = { name = "waybill-test-orders", dead_name = "waybill-test-orders-dead" } }
  streams          = { "shop.clickstream" = { name = "waybill-test-shop-clickstream", pipeline = "shop_daily", retention_hours = 168 } }
  athena_workgroup = "waybill-test"
  bucket_names     = { raw = "waybill-test-raw-123456789012" }
}

run "unusual_charges_go_to_operations" {
  command = apply

  variables {
    anomaly_usd = 20
  }

  assert {
    condition     = aws_ce_anomaly_monitor.services[0].monitor_dimension == "SERVICE" && one(aws_ce_anomaly_subscription.operations[0].threshold_expression[0].dimension[0].values) == "20"
    error_message = "Charges of all services from 20 dollars must alert."
  }
  assert {
    condition     = one(aws_ce_anomaly_subscription.operations[0].subscriber).address == "arn:aws:sns:eu-central-1:123456789012:waybill-test-operations"
    error_message = "Unusual charges must go to operations."
  }
  assert {
    condition     = anytrue([for statement in jsondecode(aws_sns_topic_policy.this["operations"].policy).Statement : contains(flatten([try(statement.Principal.Service, [])]), "costalerts.amazonaws.com")])
    error_message = "Cost Anomaly Detection must be allowed to publish."
  }
}

run "a_monitor_of_the_account_is_used" {
  command = plan

  variables {
    anomaly_usd         = 20
    anomaly_monitor_arn = "arn:aws:ce::123456789012:anomalymonitor/0123"
  }

  assert {
    condition     = length(aws_ce_anomaly_monitor.services) == 0 && aws_ce_anomaly_subscription.operations[0].monitor_arn_list == tolist(["arn:aws:ce::123456789012:anomalymonitor/0123"])
    error_message = "The monitor that is named must be used."
  }
}

run "no_limit_no_monitor" {
  command = plan

  assert {
    condition     = length(aws_ce_anomaly_monitor.services) + length(aws_ce_anomaly_subscription.operations) == 0
    error_message = "Without a limit, there must be no monitor."
  }
}

run "refuses_bad_charges" {
  command = plan

  variables {
    anomaly_usd         = 0
    anomaly_monitor_arn = "monitor"
  }

  expect_failures = [var.anomaly_usd, var.anomaly_monitor_arn]
}
