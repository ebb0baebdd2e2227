output "stream_name" {
  description = "Name of the stream."
  value       = aws_kinesis_stream.events.name
}

output "stream_arn" {
  description = "ARN of the stream."
  value       = local.arn
}

output "produce_policy_arn" {
  description = "Policy for what produces events."
  value       = aws_iam_policy.produce.arn
}

output "consume_policy_arn" {
  description = "Policy for what counts events."
  value       = aws_iam_policy.consume.arn
}

output "retention_hours" {
  description = "How long the stream keeps events, in hours."
  value       = var.retention_hours
}
