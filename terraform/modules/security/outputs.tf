output "data_key_arn" {
  description = "Key that encrypts data."
  value       = aws_kms_key.this["data"].arn
}

output "operations_key_arn" {
  description = "Key that encrypts queues, topics, logs and trails."
  value       = aws_kms_key.this["operations"].arn
}

output "permissions_boundary_arn" {
  description = "Policy that bounds every role."
  value       = local.policy_arn.boundary
  depends_on  = [aws_iam_policy.boundary]
}

output "read_input_policy_arn" {
  description = "Policy that allows reading the raw zone."
  value       = local.policy_arn.read-input
  depends_on  = [aws_iam_policy.read_input]
}

output "write_output_policy_arn" {
  description = "Policy that allows writing lake, reports and dashboard."
  value       = local.policy_arn.write-output
  depends_on  = [aws_iam_policy.write_output]
}

output "input_reader_role_arn" {
  description = "Role that only reads the raw zone."
  value       = local.role_arn.input-reader
  depends_on  = [aws_iam_role.input_reader]
}

output "input_reader_role_name" {
  description = "Name of the role that only reads the raw zone."
  value       = aws_iam_role.input_reader.name
}

output "output_writer_role_arn" {
  description = "Role that only writes output."
  value       = local.role_arn.output-writer
  depends_on  = [aws_iam_role.output_writer]
}

output "connections_prefix" {
  description = "Where Airflow's secrets backend finds the connections."
  value       = "${var.name}/airflow/connections"
}

output "connection_secret_arns" {
  description = "ARNs of the connections' secrets, by connection id."
  value       = { for id, secret in aws_secretsmanager_secret.connection : id => secret.arn }
}

output "settings_secret_name" {
  description = "Secret with the application's secret settings: WAYBILL_SECRET_ID."
  value       = aws_secretsmanager_secret.settings.name
}

output "airflow_secret" {
  description = "Name and ARN of the secret with Airflow's keys and addresses."
  value       = { name = aws_secretsmanager_secret.airflow.name, arn = aws_secretsmanager_secret.airflow.arn }
}

output "trail_arn" {
  description = "ARN of the trail."
  value       = local.trail_arn
}

output "trail_log_group" {
  description = "Log group of CloudTrail."
  value       = aws_cloudwatch_log_group.trail.name
}
