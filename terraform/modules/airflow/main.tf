# Airflow on ECS Fargate, from the image of this project. The local executor has one service, whose task runs all
# components. The Celery executor has a service for each component.
locals {
  bucket    = "${var.name}-airflow-${var.account_id}"
  cluster   = "arn:aws:ecs:${var.region}:${var.account_id}:cluster/${var.name}"
  celery    = var.executor == "celery"
  deployed  = var.image != null
  log_group = "/${var.name}/airflow"
  log_arn   = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${local.log_group}"

  # Components by service.
  services = local.celery ? {
    for component in ["api-server", "scheduler", "dag-processor", "triggerer", "worker"] : component => [component]
    } : {
    airflow = ["api-server", "scheduler", "dag-processor", "triggerer"]
  }
  tasks = toset(["bootstrap", "migrate", "books"]) # the first two run once for each image, the last on demand
}

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_65:Container Insights is a value of the environment: on with the Celery executor, whose autoscaling reads it
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_service_discovery_http_namespace" "this" {
  count       = local.celery ? 1 : 0
  name        = var.name
  description = "Service Connect: the API server of Airflow."
}

# One group for each kind of task; `metrics` holds the metrics that the collector writes. Without these groups, ECS
# keeps logs for ever.
resource "aws_cloudwatch_log_group" "this" {
  for_each          = setunion(keys(local.services), local.tasks, ["collector", "metrics"])
  name              = "${local.log_group}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.data_key_arn
}

resource "aws_cloudwatch_log_group" "insights" {
  count             = var.container_insights == "disabled" ? 0 : 1
  name              = "/aws/ecs/containerinsights/${var.name}/performance"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.data_key_arn
}

# logs/ holds the logs of Airflow's tasks, spark/ the code of the Spark job.
module "bucket" {
  source            = "../bucket"
  name              = local.bucket
  kms_key_arn       = var.data_key_arn
  access_log_bucket = var.logs_bucket
  noncurrent_days   = var.noncurrent_days
  expire_after_days = { "logs/" = var.task_log_days }
  force_destroy     = var.force_destroy
}
