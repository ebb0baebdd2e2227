output "schedules" {
  description = "Schedule expressions, by name."
  value       = { for name, schedule in aws_scheduler_schedule.this : name => schedule.schedule_expression }
}
