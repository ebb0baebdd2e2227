locals {
  # A search finds what pipelines and datasets there are, also those that are added later.
  search = { for key, name in local.metrics : key => "SEARCH('Namespace=\"${local.namespace}\" MetricName=\"${name}\"', '%s', %d)" }

  database_metrics = { for name in ["CPUUtilization", "FreeStorageSpace", "FreeableMemory", "DatabaseConnections", "ReadLatency", "WriteLatency"] : name => [
    for purpose in sort(keys(var.databases)) : ["AWS/RDS", name, "DBInstanceIdentifier", var.databases[purpose].identifier]
  ] }

  # Each widget: a title, its expressions or metrics, a statistic and a period in seconds.
  boards = {
    pipeline-health = [
      { title = "Failed runs", expressions = [format(local.search.run_failed, "Sum", 3600)], period = 3600 },
      { title = "How long runs take (s)", expressions = [format(local.search.run_seconds, "Maximum", 3600)], period = 3600 },
      { title = "How long runs work (s)", expressions = [format(local.search.work_seconds, "Maximum", 3600)], period = 3600 },
      { title = "Age of the newest loaded period (h)", expressions = [format(local.search.freshness_hours, "Maximum", 21600)], period = 21600 },
      { title = "Messages about landed files", period = 300, metrics = concat([], [for queue in values(var.landed_queues) : [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.dead_name],
        ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.name],
      ]]...) },
      { title = "Airflow: heartbeats", stat = "Sum", period = 300, metrics = [for key in ["scheduler_heartbeat", "triggerer_heartbeat", "dag_processor_heartbeat"] :
        [local.airflow_namespace, local.airflow_metrics[key], "service.name", var.name]
      ] },
      { title = "Airflow: tasks", stat = "Maximum", period = 300, metrics = [for key in ["running_tasks", "queued_slots", "starving_tasks"] :
        [local.airflow_namespace, local.airflow_metrics[key], "service.name", var.name]
      ] },
    ]
    data-quality = concat([
      { title = "Rows in", expressions = [format(local.search.rows_in, "Sum", 86400)], period = 86400 },
      { title = "Rows loaded", expressions = [format(local.search.rows_loaded, "Sum", 86400)], period = 86400 },
      { title = "Rows rejected", expressions = [format(local.search.rows_rejected, "Sum", 86400)], period = 86400 },
      { title = "Rows that are duplicates", expressions = [format(local.search.rows_duplicate, "Sum", 86400)], period = 86400 },
      { title = "Rejected of all rows (%)", period = 86400, expressions = [
        "100 * SUM(${format(local.search.rows_rejected, "Sum", 86400)}) / SUM(${format(local.search.rows_in, "Sum", 86400)})",
      ] },
      { title = "Failed checks: errors", expressions = [format(local.search.quality_errors, "Sum", 3600)], period = 3600 },
      { title = "Failed checks: warnings", expressions = [format(local.search.quality_warnings, "Sum", 3600)], period = 3600 },
      ], [for widget in [
        { title = "Streams: repeated, late and rejected events", period = 3600, expressions = [
          for key in ["stream_repeated", "stream_late", "stream_rejected"] : format(local.search[key], "Sum", 3600)
        ] },
    ] : widget if length(var.streams) > 0])
    performance = concat([
      { title = "How long loads take (s)", expressions = [format(local.search.load_seconds, "Maximum", 3600)], period = 3600 },
      { title = "Rows for each second of loading", period = 3600, expressions = [
        "SUM(${format(local.search.rows_in, "Sum", 3600)}) / SUM(${format(local.search.load_seconds, "Sum", 3600)})",
      ] },
      { title = "Databases: CPU (%)", period = 300, metrics = local.database_metrics.CPUUtilization },
      { title = "Databases: free storage and memory (bytes)", period = 300, metrics = concat(local.database_metrics.FreeStorageSpace, local.database_metrics.FreeableMemory) },
      { title = "Databases: connections", period = 300, metrics = local.database_metrics.DatabaseConnections },
      { title = "Databases: latency (s)", period = 300, metrics = concat(local.database_metrics.ReadLatency, local.database_metrics.WriteLatency) },
      ], [for widget in [
        { title = "Streams: how far consumers lag (s)", expressions = [format(local.search.stream_lag_seconds, "Maximum", 60)], period = 60 },
        { title = "Streams: age of the oldest unread event (ms)", stat = "Maximum", period = 300, metrics = [for stream in values(var.streams) :
          ["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", stream.name]
        ] },
        { title = "Streams: events a second", period = 60, expressions = ["${format(local.search.stream_events, "Sum", 60)} / 60"] },
        { title = "Streams: how long a batch takes (s)", expressions = [format(local.search.stream_batch_seconds, "Maximum", 60)], period = 60 },
    ] : widget if length(var.streams) > 0])
    cost = concat([
      { title = "The account's charges this month (USD)", region = "us-east-1", period = 21600, metrics = [
        ["AWS/Billing", "EstimatedCharges", "Currency", "USD"],
      ] },
      { title = "By service (USD)", region = "us-east-1", period = 21600, expressions = [
        "SEARCH('{AWS/Billing,Currency,ServiceName} MetricName=\"EstimatedCharges\"', 'Maximum', 21600)",
      ] },
      { title = "What buckets hold (bytes)", period = 86400, metrics = [for purpose in sort(keys(var.bucket_names)) :
        ["AWS/S3", "BucketSizeBytes", "StorageType", "StandardStorage", "BucketName", var.bucket_names[purpose]]
      ] },
      { title = "What queries read (bytes)", period = 86400, metrics = [["AWS/Athena", "ProcessedBytes", "WorkGroup", var.athena_workgroup]] },
      { title = "What goes out by NAT (bytes)", period = 86400, expressions = [
        "SEARCH('{AWS/NATGateway,NatGatewayId} MetricName=\"BytesOutToDestination\"', 'Sum', 86400)",
      ] },
      ], [for widget in [
        { title = "What streams take (bytes)", period = 86400, metrics = [for stream in values(var.streams) :
          ["AWS/Kinesis", "IncomingBytes", "StreamName", stream.name]
        ] },
    ] : widget if length(var.streams) > 0])
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  for_each       = local.boards
  dashboard_name = "${var.name}-${each.key}"
  dashboard_body = jsonencode({
    widgets = [for index, widget in each.value : {
      type   = "metric"
      x      = (index % 2) * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = widget.title
        region  = try(widget.region, var.region)
        view    = "timeSeries"
        stat    = try(widget.stat, each.key == "cost" ? "Maximum" : "Average")
        period  = widget.period
        metrics = concat(try(widget.metrics, []), [for place, expression in try(widget.expressions, []) : [{ expression = expression, id = "e${place}" }]])
      }
    }]
  })
}
