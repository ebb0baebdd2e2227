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
  operations_emails  = ["data@example.com", "operations@example.com"]
  datasets = {
    messaging_traffic = { dataset = "traffic", pipeline = "messaging_monthly", freshness_hours = 768 }
    shop_clickstream  = { dataset = "clickstream", pipeline = "shop_daily", freshness_hours = 48 }
  }
  limits = {
    run_seconds              = 3600
    load_seconds_per_million = 30
    queue_age_seconds        = 900
    database_cpu_pct         = 80
    database_free_gib        = 10
  }
  budget_usd          = 500
  airflow_is_there    = true
  database_identifier = "waybill-test-warehouse"
  landed_queues       = { orders = { name = "waybill-test-orders", dead_name = "waybill-test-orders-dead" } }
  stream_name         = "waybill-test-events"
  athena_workgroup    = "waybill-test"
  bucket_names        = { raw = "waybill-test-raw-123456789012" }
}

run "metrics" {
  command = plan

  assert {
    condition     = output.metrics.namespace == "Waybill" && toset(output.metrics.dimensions) == toset(["Pipeline", "Dataset"])
    error_message = "Namespace and dimensions must be those of the application."
  }
  assert {
    condition = toset(output.metrics.names) == toset([
      "RowsIn", "RowsLoaded", "RowsRejected", "RowsDuplicate", "LoadSeconds", "FreshnessHours", "QualityFailures", "RunSeconds", "RunFailed",
    ])
    error_message = "The metrics must be those of the application."
  }
  assert {
    condition     = alltrue([for name in output.metrics.names : anytrue([for dashboard in aws_cloudwatch_dashboard.this : strcontains(dashboard.dashboard_body, "MetricName=\\\"${name}\\\"")])])
    error_message = "Every metric must be on a dashboard."
  }
}

run "dashboards" {
  command = plan

  assert {
    condition     = output.dashboard_names == tolist(["waybill-test-cost", "waybill-test-data-quality", "waybill-test-performance", "waybill-test-pipeline-health"])
    error_message = "There must be the four dashboards."
  }
  assert {
    condition     = alltrue([for dashboard in aws_cloudwatch_dashboard.this : alltrue([for widget in jsondecode(dashboard.dashboard_body).widgets : length(widget.properties.metrics) > 0])])
    error_message = "No widget may be empty."
  }
  assert {
    condition     = alltrue([for dashboard in aws_cloudwatch_dashboard.this : length(distinct([for widget in jsondecode(dashboard.dashboard_body).widgets : "${widget.x} ${widget.y}"])) == length(jsondecode(dashboard.dashboard_body).widgets)])
    error_message = "No widget may cover another."
  }
}

run "alarms" {
  command = apply

  assert {
    condition = output.alarm_names == sort([for alarm in [
      "run-failed", "quality-failures", "run-slow", "stale-messaging-traffic", "stale-shop-clickstream", "slow-load-messaging-traffic", "slow-load-shop-clickstream",
      "orders-queue-age", "orders-dead-letters", "database-cpu", "database-storage", "scheduler-heartbeat",
    ] : "waybill-test-${alarm}"])
    error_message = "There must be an alarm for everything that can go wrong."
  }
  assert {
    condition     = one(aws_cloudwatch_metric_alarm.application["run-failed"].metric_query).expression == "SELECT SUM(RunFailed) FROM \"Waybill\"" && aws_cloudwatch_metric_alarm.application["run-failed"].threshold == 1
    error_message = "One failed run, of whatever pipeline, must raise the alarm."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.application : one(alarm.metric_query).period * alarm.evaluation_periods <= 10800])
    error_message = "CloudWatch looks back three hours at most where it searches."
  }
  assert {
    condition = alltrue([
      aws_cloudwatch_metric_alarm.stale["stale-shop-clickstream"].threshold == 48,
      aws_cloudwatch_metric_alarm.stale["stale-shop-clickstream"].dimensions == tomap({ Pipeline = "shop_daily", Dataset = "clickstream" }),
      aws_cloudwatch_metric_alarm.stale["stale-shop-clickstream"].metric_name == "FreshnessHours",
      aws_cloudwatch_metric_alarm.stale["stale-shop-clickstream"].namespace == "Waybill",
    ])
    error_message = "Each dataset must be as fresh as its contract says."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.stale : length(alarm.insufficient_data_actions) == 1])
    error_message = "A freshness that is not measured must be told, too."
  }
  assert {
    condition = { for query in aws_cloudwatch_metric_alarm.slow_load["slow-load-messaging-traffic"].metric_query : query.id => join("", query.metric[*].metric_name) if query.return_data != true } == {
      seconds = "LoadSeconds", rows = "RowsIn"
    }
    error_message = "A load's speed must be its seconds by its rows."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.operations["database-storage"].threshold == 10737418240 && aws_cloudwatch_metric_alarm.operations["database-storage"].comparison_operator == "LessThanThreshold"
    error_message = "Free storage is measured in bytes, and too little of it is the fault."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.application : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:waybill-test-alerts"])]) && alltrue([for alarm in aws_cloudwatch_metric_alarm.operations : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:waybill-test-operations"])])
    error_message = "Data and machines must be told to those who look after them."
  }
}

run "silence" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.operations["scheduler-heartbeat"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.operations["database-cpu"].treat_missing_data == "breaching"
    error_message = "A scheduler or database that sends nothing must raise the alarm."
  }
}

run "silence_at_night" {
  command = plan

  variables {
    stops_at_night = true
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.operations["scheduler-heartbeat"].treat_missing_data == "notBreaching" && aws_cloudwatch_metric_alarm.operations["database-cpu"].treat_missing_data == "notBreaching"
    error_message = "Stopping at night must raise no alarm."
  }
}

run "before_airflow_is_there" {
  command = plan

  variables {
    airflow_is_there = false
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.operations), "scheduler-heartbeat")
    error_message = "A heart that does not beat yet must not raise an alarm."
  }
}

run "topics_and_budget" {
  command = apply

  assert {
    condition     = alltrue([for topic in aws_sns_topic.this : topic.kms_master_key_id == var.operations_key_arn])
    error_message = "Topics must be encrypted."
  }
  assert {
    condition     = alltrue([for policy in aws_sns_topic_policy.this : alltrue([for statement in jsondecode(policy.policy).Statement : can(statement.Condition)])])
    error_message = "Only this account's alarms and budgets may publish."
  }
  assert {
    condition = toset([for mail in aws_sns_topic_subscription.mail : "${mail.topic_arn} ${mail.endpoint}"]) == toset([
      "arn:aws:sns:eu-central-1:123456789012:waybill-test-alerts data@example.com",
      "arn:aws:sns:eu-central-1:123456789012:waybill-test-operations data@example.com",
      "arn:aws:sns:eu-central-1:123456789012:waybill-test-operations operations@example.com",
    ])
    error_message = "Everybody must be told what is for them."
  }
  assert {
    condition     = aws_budgets_budget.account.limit_amount == "500" && toset([for notification in aws_budgets_budget.account.notification : "${notification.notification_type} ${notification.threshold}"]) == toset(["ACTUAL 80", "FORECASTED 100"])
    error_message = "Money must be told of before it is spent."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    alert_emails = ["data"]
    budget_usd   = 0
    limits = {
      run_seconds              = 3600
      load_seconds_per_million = 30
      queue_age_seconds        = 900
      database_cpu_pct         = 180
      database_free_gib        = 10
    }
  }

  expect_failures = [var.alert_emails, var.budget_usd, var.limits]
}
