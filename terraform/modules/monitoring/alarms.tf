locals {
  silence = var.stops_at_night ? "notBreaching" : "breaching" # of databases and Airflow

  # Over all pipelines and datasets, also those that are added later. CloudWatch looks back three hours at most.
  application_alarms = {
    run-failed = {
      description = "A run failed. The message of the application names the run and the cause. Fix the cause, then clear the failed task."
      query       = "SELECT SUM(${local.metrics.run_failed}) FROM \"${local.namespace}\""
      period      = 300
      threshold   = 1
    }
    quality-errors = {
      description = "A check of severity error failed, and its run stopped. Data operations lists the failed checks. Correct the data, or the contract if its rule is wrong."
      query       = "SELECT SUM(${local.metrics.quality_errors}) FROM \"${local.namespace}\""
      period      = 300
      threshold   = 1
    }
    run-slow = {
      description = "The tasks of a run worked more than ${var.limits.work_seconds} s; waiting for files and approvals does not count. Compare on the performance dashboard: more rows, or fewer rows per second?"
      query       = "SELECT MAX(${local.metrics.work_seconds}) FROM \"${local.namespace}\""
      period      = 3600
      threshold   = var.limits.work_seconds
    }
  }

  # One for each dataset, since each has its own limit or its own usual speed.
  freshness_alarms = { for key, dataset in var.datasets : "stale-${replace(key, "_", "-")}" => dataset }
  slow_load_alarms = { for key, dataset in var.datasets : "slow-load-${replace(key, "_", "-")}" => dataset }

  # Whatever an alarm leaves out: it compares averages of five minutes, three in a row, and is silent without data.
  operations_defaults = { statistic = "Maximum", operator = "GreaterThanThreshold", periods = 3, missing = "notBreaching" }

  operations_alarms = { for name, alarm in merge(
    local.database_alarms, local.queue_alarms, local.airflow_alarms, local.broker_alarms, local.spark_alarms, local.stream_alarms
  ) : name => merge(local.operations_defaults, alarm) }

  database_alarms = merge(
    { for purpose, database in var.databases : "${purpose}-database-cpu" => {
      description = "The ${purpose} database has been busy for 15 minutes. Database Insights names the statement. End it, or use a larger instance class."
      namespace   = "AWS/RDS", metric = "CPUUtilization", statistic = "Average", dimensions = local.of_database[purpose]
      threshold   = var.limits.database_cpu_pct, missing = local.silence
    } },
    { for purpose, database in var.databases : "${purpose}-database-storage" => {
      description = "The ${purpose} database has less than ${local.free_gib[purpose]} GiB left, although its storage grows automatically. Raise its max_allocated_gib."
      namespace   = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum", dimensions = local.of_database[purpose]
      operator    = "LessThanThreshold", threshold = local.free_gib[purpose] * local.gib, periods = 1, missing = local.silence
    } },
    { for purpose, database in var.databases : "${purpose}-database-memory" => {
      description = "The ${purpose} database has had less than 5 % of its memory free for 15 minutes and may soon swap or restart. End idle sessions, or use a larger instance class."
      namespace   = "AWS/RDS", metric = "FreeableMemory", statistic = "Average", dimensions = local.of_database[purpose]
      operator    = "LessThanThreshold", threshold = floor(0.05 * local.memory_gib[purpose] * local.gib)
    } },
    { for purpose, database in var.databases : "${purpose}-database-connections" => {
      description = "The ${purpose} database has used three quarters of its connections for 15 minutes. pg_stat_activity shows who holds them. End idle sessions, or use a larger instance class."
      namespace   = "AWS/RDS", metric = "DatabaseConnections", dimensions = local.of_database[purpose]
      # By default RDS allows one connection for each 9,531,392 bytes of memory, at most 5,000.
      threshold = floor(0.75 * min(5000, local.memory_gib[purpose] * local.gib / 9531392))
    } },
    # A new instance has no credits; an hour suffices to earn some.
    { for purpose, database in var.databases : "${purpose}-database-credits" => {
      description = "The ${purpose} database has had no CPU credits for an hour: it uses more CPU than its class has, and each further hour is charged. Use a larger instance class, or one without credits."
      namespace   = "AWS/RDS", metric = "CPUCreditBalance", dimensions = local.of_database[purpose]
      operator    = "LessThanThreshold", threshold = 5, periods = 12
    } if startswith(database.instance_class, "db.t") },
  )

  queue_alarms = merge(
    { for pipeline, queue in var.landed_queues : "${pipeline}-queue-age" => {
      description = "Messages about landed ${pipeline} are not received. Check whether the DAG is paused or the triggerer is down. Every 15 minutes a run loads the files without messages."
      namespace   = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", dimensions = { QueueName = queue.name }
      threshold   = var.limits.queue_age_seconds
    } },
    { for pipeline, queue in var.landed_queues : "${pipeline}-queue-depth" => {
      description = "More than ${var.limits.queue_messages} messages about landed ${pipeline} have waited for 15 minutes: files arrive faster than they are received. Look for a program that sends the same files again and again."
      namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue.name }
      threshold   = var.limits.queue_messages
    } },
    { for pipeline, queue in var.landed_queues : "${pipeline}-dead-letters" => {
      description = "Messages about landed ${pipeline} failed repeatedly. Inspect them, fix the cause, and start a redrive."
      namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue.dead_name }
      threshold   = 0, periods = 1
    } },
  )

  airflow_alarms = { for name, alarm in merge({
    scheduler-heartbeat = {
      description = "Airflow's scheduler has been silent for 15 minutes, and nothing is scheduled. See the events of its ECS service and its log."
      namespace   = local.airflow_namespace, metric = local.airflow_metrics.scheduler_heartbeat, statistic = "Sum", dimensions = local.airflow_dimensions
      operator    = "LessThanThreshold", threshold = 1, missing = local.silence
    }
    triggerer-heartbeat = {
      description = "Airflow's triggerer has been silent for 15 minutes: waiting tasks and files that arrive start nothing. See the events of its ECS service and its log."
      namespace   = local.airflow_namespace, metric = local.airflow_metrics.triggerer_heartbeat, statistic = "Sum", dimensions = local.airflow_dimensions
      operator    = "LessThanThreshold", threshold = 1, missing = local.silence
    }
    dag-processor-heartbeat = {
      description = "Airflow's DAG processor has been silent for 15 minutes: changed DAGs are not read, and callbacks of runs are not called. See the events of its ECS service and its log."
      namespace   = local.airflow_namespace, metric = local.airflow_metrics.dag_processor_heartbeat, statistic = "Sum", dimensions = local.airflow_dimensions
      operator    = "LessThanThreshold", threshold = 1, missing = local.silence
    }
    dag-import-errors = {
      description = "A DAG file cannot be imported, and its DAG does not run. The start page of Airflow shows the error. Correct the file or the contract that it reads, or go back to the previous image."
      namespace   = local.airflow_namespace, metric = local.airflow_metrics.import_errors, dimensions = local.airflow_dimensions
      threshold   = 0
    }
    tasks-queued = {
      description = "For 30 minutes, tasks for half of all slots have been queued and not started. Check that the workers run, that their number grows, and that they reach the broker and the API server."
      namespace   = local.airflow_namespace, metric = local.airflow_metrics.queued_slots, dimensions = local.airflow_dimensions
      threshold   = 2 * local.airflow.slots, periods = 6 # most tasks occupy four slots of their pool
    }
    workers-saturated = {
      description = "For 30 minutes, tasks that could run have waited for a slot. Nothing is lost. If it happens outside backfills, raise the number of workers."
      namespace   = local.airflow_namespace, metric = local.airflow_metrics.starving_tasks, statistic = "Average", dimensions = local.airflow_dimensions
      operator    = "GreaterThanOrEqualToThreshold", threshold = 1, periods = 6
    }
    tasks-late = {
      description = "A task waited more than ${var.limits.task_wait_seconds} s for a slot. End or slow down a backfill, or raise the number of workers."
      namespace   = local.airflow_namespace, metric = local.airflow_metrics.scheduled_milliseconds, dimensions = local.airflow_dimensions
      threshold   = var.limits.task_wait_seconds * 1000, periods = 1
    }
    api-unhealthy = {
      description = "The load balancer has had no healthy API server for 15 minutes: the user interface is down, and tasks cannot report. See the events of the ECS service and its log."
      namespace   = "AWS/ApplicationELB", metric = "HealthyHostCount", dimensions = { LoadBalancer = local.airflow.load_balancer, TargetGroup = local.airflow.target_group }
      operator    = "LessThanThreshold", threshold = 1, missing = local.silence
    }
    },
    { for service in local.airflow.services : "${service}-memory" => {
      description = "The ECS service ${service} has used more than 90 % of its memory for 15 minutes. ECS ends a task that exceeds it. Raise the memory of the service."
      namespace   = "AWS/ECS", metric = "MemoryUtilization", dimensions = { ClusterName = var.name, ServiceName = service }
      threshold   = 90
    } },
  ) : name => alarm if var.airflow != null }

  # A request fails at the load balancer or behind it: the sum counts.
  api_alarms = { for name, alarm in {
    api-errors = {
      description = "The API server or its load balancer answered at least 10 requests in five minutes with an error 5xx. The log of the API server has the cause."
      metrics     = ["HTTPCode_ELB_5XX_Count", "HTTPCode_Target_5XX_Count"]
      threshold   = 10
    }
  } : name => alarm if var.airflow != null }

  broker_alarms = { for name, alarm in {
    broker-memory = {
      description = "The broker uses more than 80 % of its memory. A full broker refuses tasks. Look for tasks that no worker takes, or use a larger node."
      namespace   = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", dimensions = { CacheClusterId = "${coalesce(var.broker, "no")}-001" }
      threshold   = 80
    }
  } : name => alarm if var.broker != null }

  spark_alarms = { for name, alarm in {
    spark-failures = merge({
      description = "A Spark job failed. The log of the task of Airflow that started it names its run. Fix the cause, then clear that task."
      statistic   = "Sum", threshold = 0, periods = 1
      }, try(var.spark.runtime, "") == "glue" ? {
      namespace = "Glue", metric = "glue.error.ALL", dimensions = { JobName = try(var.spark.id, null), JobRunId = "ALL", Type = "count", ObservabilityGroup = "error" }
      } : {
      namespace = "AWS/EMRServerless", metric = "FailedJobs", dimensions = { ApplicationId = try(var.spark.id, null) }
    })
  } : name => alarm if var.spark != null }

  # Consumers run beside Airflow, so they are not missed before it runs.
  stream_alarms = { for name, alarm in merge(
    { for dataset, stream in var.streams : "stream-lag-${replace(dataset, "/[._]/", "-")}" => {
      description = "The consumers of the stream of ${dataset} have lagged by more than ${var.limits.stream_lag_seconds} s for five minutes: live numbers are late. Data operations names the shards. Add consumers, or shards if there is one for each."
      namespace   = local.namespace, metric = local.metrics.stream_lag_seconds, statistic = "Minimum", dimensions = local.of_stream[dataset]
      threshold   = var.limits.stream_lag_seconds, periods = 1
    } },
    { for dataset, stream in var.streams : "stream-silent-${replace(dataset, "/[._]/", "-")}" => {
      description = "The consumers of the stream of ${dataset} have sent no measurement for 15 minutes. See the events of their ECS service and their log. Nothing is lost while the stream keeps its events: ${stream.retention_hours} hours."
      namespace   = local.namespace, metric = local.metrics.stream_lag_seconds, statistic = "SampleCount", dimensions = local.of_stream[dataset]
      operator    = "LessThanThreshold", threshold = 1, missing = local.silence
    } },
    { for dataset, stream in var.streams : "stream-age-${replace(dataset, "/[._]/", "-")}" => {
      description = "Events of ${dataset} have waited in the stream for half of the ${stream.retention_hours} hours that it keeps them. Events that nobody reads in time are lost. Let consumers catch up, and keep events longer until then."
      namespace   = "AWS/Kinesis", metric = "GetRecords.IteratorAgeMilliseconds", dimensions = { StreamName = stream.name }
      threshold   = stream.retention_hours / 2 * 3600000, periods = 1
    } },
  ) : name => alarm if var.airflow != null }
  of_stream = { for dataset, stream in var.streams : dataset => {
    (local.dimensions.pipeline) = stream.pipeline, (local.dimensions.dataset) = split(".", dataset)[1]
  } }

  # What CloudTrail records, as filters of its log; see trail.tf.
  trail_alarms = {
    root-use = {
      description = "Somebody used the root user of the account. If nobody of you did, change its password and delete its access keys."
      pattern     = "$.userIdentity.type = \"Root\" && $.userIdentity.invokedBy NOT EXISTS && $.eventType != \"AwsServiceEvent\""
      threshold   = 1
    }
    failed-logins = {
      description = "At least five log-ins to the AWS console failed in five minutes. CloudTrail names users and addresses."
      pattern     = "$.eventName = \"ConsoleLogin\" && $.errorMessage = \"Failed authentication\""
      threshold   = 5
    }
    policy-changes = {
      description = "Somebody other than the deployment changed a role or a policy of IAM. CloudTrail names who and what. Undo it by a deployment."
      pattern     = "$.eventSource = \"iam.amazonaws.com\" && ($.eventName = \"Put*Policy\" || $.eventName = \"Delete*Policy\" || $.eventName = \"Attach*Policy\" || $.eventName = \"Detach*Policy\" || $.eventName = \"CreatePolicy*\" || $.eventName = \"SetDefaultPolicyVersion\" || $.eventName = \"UpdateAssumeRolePolicy\" || $.eventName = \"DeleteRolePermissionsBoundary\") && ${local.not_deployed}"
      threshold   = 1
    }
    key-changes = {
      description = "Somebody disabled a KMS key, scheduled its deletion or changed its policy. Without the key, data cannot be read. Cancel the deletion within 30 days, and enable the key."
      pattern     = "$.eventSource = \"kms.amazonaws.com\" && ($.eventName = \"DisableKey\" || $.eventName = \"ScheduleKeyDeletion\" || $.eventName = \"PutKeyPolicy\")"
      threshold   = 1
    }
    bucket-changes = {
      description = "Somebody other than the deployment changed who may reach a bucket. CloudTrail names who and what. Undo it by a deployment."
      pattern     = "$.eventSource = \"s3.amazonaws.com\" && ($.eventName = \"PutBucketPolicy\" || $.eventName = \"DeleteBucketPolicy\" || $.eventName = \"PutBucketAcl\" || $.eventName = \"*PublicAccessBlock\") && ${local.not_deployed}"
      threshold   = 1
    }
    trail-changes = {
      description = "Somebody stopped, deleted or changed the trail of CloudTrail. Start it again, and find out what happened meanwhile."
      pattern     = "$.eventSource = \"cloudtrail.amazonaws.com\" && ($.eventName = \"StopLogging\" || $.eventName = \"DeleteTrail\" || $.eventName = \"UpdateTrail\" || $.eventName = \"PutEventSelectors\")"
      threshold   = 1
    }
  }
  not_deployed = "($.userIdentity.sessionContext.sessionIssuer.userName NOT EXISTS || $.userIdentity.sessionContext.sessionIssuer.userName != \"${var.name}-github-deploy\")"

  airflow     = var.airflow == null ? { services = toset([]), slots = 0, load_balancer = "", target_group = "" } : var.airflow
  gib         = 1024 * 1024 * 1024
  of_database = { for purpose, database in var.databases : purpose => { DBInstanceIdentifier = database.identifier } }
  free_gib    = { for purpose, database in var.databases : purpose => max(2, floor(database.allocated_gib / 10)) }
  # GiB of the sizes of classes t and m; r has twice as much, and c half.
  sizes_gib = {
    "t.micro" = 1, "t.small" = 2, "t.medium" = 4, "t.large" = 8, "t.xlarge" = 16, "t.2xlarge" = 32
    "large"   = 8, "xlarge" = 16, "2xlarge" = 32, "4xlarge" = 64, "8xlarge" = 128, "12xlarge" = 192, "16xlarge" = 256
  }
  memory_gib = { for purpose, database in var.databases : purpose => (
    local.sizes_gib["${startswith(database.instance_class, "db.t") ? "t." : ""}${split(".", database.instance_class)[2]}"] *
    lookup({ r = 2, c = 0.5 }, substr(database.instance_class, 3, 1), 1)
  ) }
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

resource "aws_cloudwatch_metric_alarm" "api" {
  for_each            = local.api_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this["operations"].arn]
  ok_actions          = [aws_sns_topic.this["operations"].arn]

  metric_query {
    id          = "errors"
    expression  = "FILL(m0, 0) + FILL(m1, 0)"
    label       = "errors 5xx"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id = "m${metric_query.key}"
      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = local.airflow.load_balancer }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "trail" {
  for_each            = local.trail_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = local.trail_namespace
  metric_name         = aws_cloudwatch_log_metric_filter.trail[each.key].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching" # nobody did it
  alarm_actions       = [aws_sns_topic.this["operations"].arn]
}
