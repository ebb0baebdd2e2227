# One apply runs bootstrap, then migrate, then changes the services. A task that fails ends the apply, and the services
# keep running the image they have.
resource "terraform_data" "bootstrap" {
  count            = local.deployed ? 1 : 0
  triggers_replace = [aws_ecs_task_definition.run_once["bootstrap"].arn]

  provisioner "local-exec" {
    command = "${var.run_task} ${var.name} ${aws_ecs_task_definition.run_once["bootstrap"].arn}"
    environment = {
      AWS_REGION = var.region
    }
  }

  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_ecs_cluster_capacity_providers.this,
    aws_iam_role_policy.bootstrap,
    aws_iam_role_policy.execution,
  ]
}

resource "terraform_data" "migrate" {
  count            = local.deployed ? 1 : 0
  triggers_replace = [aws_ecs_task_definition.run_once["migrate"].arn]

  provisioner "local-exec" {
    command = "${var.run_task} ${var.name} ${aws_ecs_task_definition.run_once["migrate"].arn}"
    environment = {
      AWS_REGION = var.region
    }
  }

  depends_on = [
    aws_iam_role_policy.container,
    aws_iam_role_policy.instances,
    aws_iam_role_policy.work,
    aws_iam_role_policy_attachment.application,
    terraform_data.bootstrap,
  ]
}

locals {
  front = local.celery ? "api-server" : "airflow" # the service that answers HTTP
  back  = setsubtract(keys(local.services), [local.front, "worker"])
}

# Clients of Service Connect know only servers that exist when they start, so this service is first.
resource "aws_ecs_service" "front" {
  count                              = local.deployed ? 1 : 0
  name                               = local.front
  cluster                            = aws_ecs_cluster.this.arn
  task_definition                    = aws_ecs_task_definition.service[local.front].arn
  desired_count                      = var.services[local.front].tasks
  platform_version                   = "LATEST"
  propagate_tags                     = "SERVICE"
  enable_ecs_managed_tags            = true
  enable_execute_command             = var.enable_execute_command
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 300
  wait_for_steady_state              = true

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this[0].arn
    container_name   = "api-server"
    container_port   = 8080
  }

  dynamic "service_connect_configuration" {
    for_each = aws_service_discovery_http_namespace.this
    content {
      enabled   = true
      namespace = service_connect_configuration.value.arn
      service {
        port_name = "api-server"
        client_alias {
          dns_name = "api-server"
          port     = 8080
        }
      }
    }
  }

  depends_on = [aws_lb_listener.https, terraform_data.migrate]
}

resource "aws_ecs_service" "back" {
  for_each                           = local.deployed ? local.back : []
  name                               = each.key
  cluster                            = aws_ecs_cluster.this.arn
  task_definition                    = aws_ecs_task_definition.service[each.key].arn
  desired_count                      = var.services[each.key].tasks
  platform_version                   = "LATEST"
  propagate_tags                     = "SERVICE"
  enable_ecs_managed_tags            = true
  enable_execute_command             = var.enable_execute_command
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  wait_for_steady_state              = true

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  service_connect_configuration {
    enabled   = true
    namespace = aws_service_discovery_http_namespace.this[0].arn
  }

  depends_on = [aws_ecs_service.front]
}

# Its number of tasks belongs to autoscaling.
resource "aws_ecs_service" "worker" {
  count                              = local.deployed && local.celery ? 1 : 0
  name                               = "worker"
  cluster                            = aws_ecs_cluster.this.arn
  task_definition                    = aws_ecs_task_definition.service["worker"].arn
  desired_count                      = var.services["worker"].tasks
  platform_version                   = "LATEST"
  propagate_tags                     = "SERVICE"
  enable_ecs_managed_tags            = true
  enable_execute_command             = var.enable_execute_command
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  wait_for_steady_state              = false # a deployment waits for protected tasks, up to hours

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  service_connect_configuration {
    enabled   = true
    namespace = aws_service_discovery_http_namespace.this[0].arn
  }

  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [aws_ecs_service.front]
}

# As many workers as the waiting and running tasks need: queue depth divided by workers, held at their concurrency. Each
# scheduler measures the tasks that it has sent; their average times their number is the queue depth.
resource "aws_appautoscaling_target" "worker" {
  count              = local.deployed && local.celery ? 1 : 0
  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.worker[0].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.services["worker"].tasks
  max_capacity       = var.max_workers
}

resource "aws_appautoscaling_policy" "worker" {
  count              = local.deployed && local.celery ? 1 : 0
  name               = "${var.name}-queue-depth"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.worker[0].service_namespace
  resource_id        = aws_appautoscaling_target.worker[0].resource_id
  scalable_dimension = aws_appautoscaling_target.worker[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.concurrency
    scale_out_cooldown = 60
    scale_in_cooldown  = 600

    customized_metric_specification {
      dynamic "metrics" {
        for_each = { queued = "executor.queued_tasks", running = "executor.running_tasks" }
        content {
          id          = metrics.key
          return_data = false
          metric_stat {
            stat = "Average"
            metric {
              namespace   = local.metrics_namespace
              metric_name = "airflow.${metrics.value}"
              dimensions {
                name  = "service.name"
                value = var.name
              }
            }
          }
        }
      }
      metrics {
        id          = "workers"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.this.name
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.worker[0].name
            }
          }
        }
      }
      metrics {
        id          = "tasks_per_worker"
        label       = "Waiting and running tasks for each worker"
        expression  = "${var.services["scheduler"].tasks} * (queued + running) / IF(workers > 0, workers, 1)"
        return_data = true
      }
    }
  }
}
