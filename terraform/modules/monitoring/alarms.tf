locals {
  silence = var.stops_at_night ? "notBreaching" : "breaching" # of databases and the scheduler

  # Over all pipelines and datasets, also those that are added later. CloudWatch looks back three hours at most.
  application_alarms = {
    run-failed = {
      description = "A run failed. The message of the application names the run and the cause; the run's page in Airflow has the log."
      query       = "SELECT SUM(${local.metrics.run_failed}) FROM \"${local.namespace}\""
      period      = 300
      threshold   = 1
    }
    quality-failures = {
      description = "A check of a contract failed: select * from waybill.check_result where not passed."
      query       = "SELECT SUM(${local.metrics.quality_failures}) FROM \"${local.namespace}\""
      period      = 300
      threshold   = 1
    }
    run-slow = {
      description = "A run took more than ${var.limits.run_seconds} s. Compare on the performance dashboard: more rows, or fewer rows per second?"
      query       = "SELECT MAX(${local.metrics.run_seconds}) FROM \"${local.namespace}\""
      period      = 3600
      threshold   = var.limits.run_seconds
    }
  }

  # One for each dataset, since each has its own limit or its own usual speed.
  freshness_alarms = { for key, dataset in var.datasets : "stale-${replace(key, "_", "-")}" => dataset }
  slow_load_alarms = { for key, dataset in var.datasets : "slow-load-${replace(key, "_", "-")}" => dataset }

  operations_alarms = merge({
    database-cpu = {
      description = "The database has been busy for 15 minutes. Performance Insights names the statement."
      namespace   = "AWS/RDS", metric = "CPUUtilization", statistic = "Average"
      dimensions  = { DBInstanceIdentifier = var.database_identifier }
      operator    = "GreaterThanThreshold", threshold = var.limits.database_cpu_pct, periods = 3, missing = local.silence
    }
    database-storage = {
      description = "The database is almost full, although its storage grows automatically. Raise max_allocated_gib."
      namespace   = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum"
      dimensions  = { DBInstanceIdentifier = var.database_identifier }
      operator    = "LessThanThreshold", threshold = var.limits.database_free_gib * 1024 * 1024 * 1024, periods = 1, missing = local.silence
    }
    }, {
    for pipeline, queue in var.landed_queues : "${pipeline}-queue-age" => {
      description = "Messages about landed ${pipeline} are not received. Check whether the DAG is paused or the triggerer is down. Every 15 minutes a run loads the files without messages."
      namespace   = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", statistic = "Maximum"
      dimensions  = { QueueName = queue.name }
      operator    = "GreaterThanThreshold", threshold = var.limits.queue_age_seconds, periods = 3, missing = "notBreaching"
    }
    }, {
    for pipeline, queue in var.landed_queues : "${pipeline}-dead-letters" => {
      description = "Messages about landed ${pipeline} failed repeatedly. Inspect them, fix the cause, and start a redrive."
      namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum"
      dimensions  = { QueueName = queue.dead_name }
      operator    = "GreaterThanThreshold", threshold = 0, periods = 1, missing = "notBreaching"
    }
    }, var.airflow_is_there ? {
    scheduler-heartbeat = {
      description = "Airflow's scheduler has been silent for 15 minutes."
      namespace   = "Airflow", metric = "airflow.scheduler_heartbeat", statistic = "Sum"
      dimensions  = { "service.name" = var.name }
      operator    = "LessThanThreshold", threshold = 1, periods = 3, missing = local.silence
    }
  } : {})
}

resource "aws_cloudwatch_metric_alarm" "application" {
  for_each            = local.application_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching" # nothing ran
  alarm_actions       = [aws_sns_topic.this["alerts"].arn]
  ok_actions          = [aws_sns_topic.this["alerts"].arn]

  metric_query {
    id          = "q"
    expression  = each.value.query
    period      = each.value.period
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "stale" {
  for_each                  = local.freshness_alarms
  alarm_name                = "${var.name}-${each.key}"
  alarm_description         = "The newest loaded period of ${each.value.dataset} is older than ${each.value.freshness_hours} h: check whether its files landed. Missing data means that the DAG operations_freshness did not run."
  namespace                 = local.namespace
  metric_name               = local.metrics.freshness_hours
  dimensions                = { (local.dimensions.pipeline) = each.value.pipeline, (local.dimensions.dataset) = each.value.dataset }
  statistic                 = "Maximum"
  period                    = 21600 # measured every 6 hours
  evaluation_periods        = 4
  datapoints_to_alarm       = 1
  comparison_operator       = "GreaterThanThreshold"
  threshold                 = each.value.freshness_hours
  treat_missing_data        = "missing"
  alarm_actions             = [aws_sns_topic.this["alerts"].arn]
  ok_actions                = [aws_sns_topic.this["alerts"].arn]
  insufficient_data_actions = [aws_sns_topic.this["alerts"].arn]
}

resource "aws_cloudwatch_metric_alarm" "slow_load" {
  for_each            = local.slow_load_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "Loading ${each.value.dataset} took more than ${var.limits.load_seconds_per_million} s for a million rows; loads of fewer than 100,000 rows do not count."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.limits.load_seconds_per_million
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this["operations"].arn]
  ok_actions          = [aws_sns_topic.this["operations"].arn]

  metric_query {
    id          = "seconds_per_million"
    expression  = "IF(rows >= 100000, 1000000 * seconds / rows, 0)"
    label       = "seconds per million rows"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = { seconds = local.metrics.load_seconds, rows = local.metrics.rows_in }
    content {
      id = metric_query.key
      metric {
        namespace   = local.namespace
        metric_name = metric_query.value
        dimensions  = { (local.dimensions.pipeline) = each.value.pipeline, (local.dimensions.dataset) = each.value.dataset }
        stat        = "Sum"
        period      = 3600
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "operations" {
  for_each            = local.operations_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this["operations"].arn]
  ok_actions          = [aws_sns_topic.this["operations"].arn]
}
