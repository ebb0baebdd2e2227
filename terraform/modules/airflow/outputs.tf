output "bucket" {
  description = "Name of the bucket for logs of tasks and the code of the Spark job."
  value       = module.bucket.name
}

output "cluster" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "services" {
  description = "Task definition and number of tasks of each ECS service; empty without an image."
  value = { for service, definition in aws_ecs_task_definition.service : service => {
    task_definition = definition.arn
    tasks           = var.services[service].tasks
  } }
  depends_on = [aws_ecs_service.front, aws_ecs_service.back, aws_ecs_service.worker]
}

output "url" {
  description = "Address of Airflow's user interface; null without an image."
  value       = local.deployed ? "https://${var.address.host}" : null
}

output "load_balancer_dns_name" {
  description = "Name of the load balancer, the target of the host's DNS record; null without an image."
  value       = one(aws_lb.this[*].dns_name)
}

output "load_balancer_arn_suffix" {
  description = "Suffix of the load balancer's ARN, the dimension of its metrics; null without an image."
  value       = one(aws_lb.this[*].arn_suffix)
}

output "target_group_arn_suffix" {
  description = "Suffix of the target group's ARN, the dimension of its metrics; null without an image."
  value       = one(aws_lb_target_group.this[*].arn_suffix)
}

output "role_name" {
  description = "Name of the application's role."
  value       = "${var.name}-airflow"
}

output "metrics_namespace" {
  description = "CloudWatch namespace of Airflow's metrics; their dimension is service.name."
  value       = local.metrics_namespace
}
