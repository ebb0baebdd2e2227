# Airflow sends its metrics to a collector beside it, the AWS Distro for OpenTelemetry, which writes them to CloudWatch:
# namespace Airflow, dimension `service.name`. CloudWatch charges each metric: only those listed here are sent.
locals {
  metrics_namespace = "Airflow"

  metrics = {
    "scheduler_heartbeat"          = "a heartbeat of a scheduler"
    "dag_processor_heartbeat"      = "a heartbeat of a DAG processor"
    "triggerer_heartbeat"          = "a heartbeat of a triggerer"
    "dag_processing.import_errors" = "DAG files that cannot be imported"
    "executor.queued_tasks"        = "tasks that the executor holds back"
    "executor.running_tasks"       = "tasks that the executor has and that have not ended"
    "pool.queued_slots"            = "slots of tasks that no worker has started yet"
    "scheduler.tasks.starving"     = "tasks that could run and wait for a slot of a pool"
    "task.scheduled_duration"      = "how long a task waited for a slot, in milliseconds"
  }

  collector = {
    name                   = "collector"
    image                  = var.collector_image
    essential              = false # Airflow runs without metrics
    readonlyRootFilesystem = true
    stopTimeout            = 30
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    environment = [
      { name = "AWS_REGION", value = var.region },
      { name = "AOT_CONFIG_CONTENT", value = jsonencode(local.collector_config) },
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = "${local.log_group}/collector", awslogs-region = var.region, awslogs-stream-prefix = "collector", mode = "non-blocking", max-buffer-size = "1m" }
    }
  }

  collector_config = { # JSON is YAML
    receivers  = { otlp = { protocols = { http = { endpoint = "127.0.0.1:4318" } } } }
    processors = { batch = { timeout = "60s" } }
    exporters = { awsemf = {
      region                           = var.region
      namespace                        = local.metrics_namespace
      log_group_name                   = "${local.log_group}/metrics"
      log_stream_name                  = "airflow"
      dimension_rollup_option          = "NoDimensionRollup"
      resource_to_telemetry_conversion = { enabled = true }
      metric_declarations = [{
        dimensions            = [["service.name"]]
        metric_name_selectors = [for name in sort(keys(local.metrics)) : "^airflow\\.${replace(name, ".", "\\.")}"]
      }]
    } }
    service = { pipelines = { metrics = { receivers = ["otlp"], processors = ["batch"], exporters = ["awsemf"] } } }
  }
}
