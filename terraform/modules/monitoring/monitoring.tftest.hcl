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

run "metrics" {
  command = plan

  assert {
    condition     = output.metrics.namespace == "Waybill" && toset(output.metrics.dimensions) == toset(["Pipeline", "Dataset"])
    error_message = "Namespace and dimensions must be those of the application."
  }
  assert {
    condition = toset(output.metrics.names) == toset([
      "RowsIn", "RowsLoaded", "RowsRejected", "RowsDuplicate", "LoadSeconds", "FreshnessHours", "QualityErrors", "QualityWarnings", "RunSeconds", "WorkSeconds", "RunFailed",
      "StreamLagSeconds", "StreamEvents", "StreamRepeated", "StreamLate", "StreamRejected", "StreamBatchSeconds",
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
      "run-failed", "quality-errors", "run-slow", "stale-messaging-traffic", "stale-shop-clickstream", "slow-load-messaging-traffic", "slow-load-shop-clickstream",
      "orders-queue-age", "orders-queue-depth", "orders-dead-letters",
      "warehouse-database-cpu", "warehouse-database-storage", "warehouse-database-memory", "warehouse-database-connections",
      "metadata-database-cpu", "metadata-database-storage", "metadata-database-memory", "metadata-database-connections", "metadata-database-credits",
      "scheduler-heartbeat", "triggerer-heartbeat", "dag-processor-heartbeat", "dag-import-errors", "tasks-queued", "tasks-late", "workers-saturated",
      "api-unhealthy", "api-errors", "api-server-memory", "worker-memory", "broker-memory", "spark-failures",
      "stream-lag-shop-clickstream", "stream-silent-shop-clickstream", "stream-age-shop-clickstream",
      "root-use", "failed-logins", "policy-changes", "key-changes", "bucket-changes", "trail-changes",
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
    condition = { for alarm in ["warehouse-database-storage", "metadata-database-storage", "warehouse-database-memory", "metadata-database-memory"] : alarm => aws_cloudwatch_metric_alarm.operations[alarm].threshold } == {
      warehouse-database-storage = 10737418240, metadata-database-storage = 2147483648, warehouse-database-memory = 429496729, metadata-database-memory = 214748364
    }
    error_message = "Free storage and memory are measured in bytes, and follow from the size of the instance."
  }
  assert {
    condition     = alltrue([for name, alarm in aws_cloudwatch_metric_alarm.operations : alarm.comparison_operator == "LessThanThreshold" if length(regexall("(storage|memory|credits)$", name)) == 1 && alarm.namespace == "AWS/RDS"])
    error_message = "Too little storage, memory or credits is the fault."
  }
  assert {
    condition     = [aws_cloudwatch_metric_alarm.operations["warehouse-database-connections"].threshold, aws_cloudwatch_metric_alarm.operations["metadata-database-connections"].threshold] == [675, 337]
    error_message = "Three quarters of the connections that RDS allows must raise the alarm."
  }
  assert {
    condition = alltrue([for alarm in ["scheduler-heartbeat", "triggerer-heartbeat", "dag-processor-heartbeat"] : alltrue([
      aws_cloudwatch_metric_alarm.operations[alarm].namespace == "Airflow",
      aws_cloudwatch_metric_alarm.operations[alarm].dimensions == tomap({ "service.name" = "waybill-test" }),
      aws_cloudwatch_metric_alarm.operations[alarm].treat_missing_data == "breaching",
    ])])
    error_message = "A component without a heartbeat must raise the alarm."
  }
  assert {
    condition     = alltrue([for name, alarm in aws_cloudwatch_metric_alarm.operations : alarm.evaluation_periods * 300 <= 10800 && length(alarm.alarm_description) <= 1024])
    error_message = "CloudWatch takes a description of 1024 characters."
  }
  assert {
    condition = alltrue([for name, filter in aws_cloudwatch_log_metric_filter.trail : alltrue([
      length(filter.pattern) <= 1024, filter.log_group_name == "/waybill-test/trail",
      aws_cloudwatch_metric_alarm.trail[name].metric_name == filter.metric_transformation[0].name,
      aws_cloudwatch_metric_alarm.trail[name].namespace == filter.metric_transformation[0].namespace,
    ])])
    error_message = "Each alarm on the trail must count what its filter finds."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.application : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:waybill-test-alerts"])]) && alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.operations), values(aws_cloudwatch_metric_alarm.api), values(aws_cloudwatch_metric_alarm.trail)) : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:waybill-test-operations"])])
    error_message = "Data and machines must be told to those who look after them."
  }
}

run "streams" {
  command = plan

  assert {
    condition = alltrue([for alarm in ["stream-lag-shop-clickstream", "stream-silent-shop-clickstream"] : alltrue([
      aws_cloudwatch_metric_alarm.operations[alarm].dimensions == tomap({ Pipeline = "shop_daily", Dataset = "clickstream" }),
      aws_cloudwatch_metric_alarm.operations[alarm].metric_name == "StreamLagSeconds",
      length(aws_cloudwatch_metric_alarm.operations[alarm].ok_actions) == 1,
    ])])
    error_message = "A lag, and its end, must be told for each stream."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.operations["stream-lag-shop-clickstream"].threshold == 60 && aws_cloudwatch_metric_alarm.operations["stream-lag-shop-clickstream"].statistic == "Minimum" && aws_cloudwatch_metric_alarm.operations["stream-lag-shop-clickstream"].evaluation_periods == 1
    error_message = "Consumers must have lagged for five minutes without a break."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.operations["stream-age-shop-clickstream"].threshold == 84 * 3600 * 1000
    error_message = "Half of the time that a stream keeps events must remain to act."
  }
}

run "without_streams" {
  command = plan

  variables {
    streams = {}
  }

  assert {
    condition     = !anytrue([for alarm in output.alarm_names : strcontains(alarm, "stream-")]) && !anytrue([for dashboard in aws_cloudwatch_dashboard.this : strcontains(dashboard.dashboard_body, "Stream")])
    error_message = "Without a stream, nothing waits for its consumers."
  }
}

run "silence" {
  command = plan

  assert {
    condition     = toset([for alarm in ["stream-silent-shop-clickstream", "scheduler-heartbeat", "triggerer-heartbeat", "dag-processor-heartbeat", "api-unhealthy", "warehouse-database-cpu", "metadata-database-cpu"] : aws_cloudwatch_metric_alarm.operations[alarm].treat_missing_data]) == toset(["breaching"])
    error_message = "A component or database that sends nothing must raise the alarm."
  }
}

run "silence_at_night" {
  command = plan

  variables {
    stops_at_night = true
  }

  assert {
    condition     = toset([for alarm in ["stream-silent-shop-clickstream", "scheduler-heartbeat", "triggerer-heartbeat", "dag-processor-heartbeat", "api-unhealthy", "warehouse-database-cpu", "metadata-database-cpu"] : aws_cloudwatch_metric_alarm.operations[alarm].treat_missing_data]) == toset(["notBreaching"])
    error_message = "Stopping at night must raise no alarm."
  }
}

run "without_what_is_not_there" {
  command = plan

  variables {
    airflow = null
    broker  = null
    spark   = null
  }

  assert {
    condition     = !anytrue([for alarm in output.alarm_names : can(regex("heartbeat|import|tasks|workers|api|broker|spark|stream-", alarm))])
    error_message = "What is not there must not raise an alarm."
  }
}

run "spark_on_emr" {
  command = plan

  variables {
    spark = { runtime = "emr", id = "00abc" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.operations["spark-failures"].namespace == "AWS/EMRServerless" && aws_cloudwatch_metric_alarm.operations["spark-failures"].dimensions == tomap({ ApplicationId = "00abc" })
    error_message = "A failed job on EMR Serverless must raise the alarm."
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
      work_seconds             = 3600
      load_seconds_per_million = 30
      queue_age_seconds        = 900
      queue_messages           = 1000
      task_wait_seconds        = 1800
      database_cpu_pct         = 180
    }
    databases = { warehouse = { identifier = "waybill-test-warehouse", instance_class = "m7g.large", allocated_gib = 100 } }
  }

  expect_failures = [var.alert_emails, var.budget_usd, var.limits, var.databases]
}
