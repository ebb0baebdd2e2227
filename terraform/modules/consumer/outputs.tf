output "service" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "task_definition" {
  description = "ARN of the task definition of the service."
  value       = aws_ecs_task_definition.this.arn
}
