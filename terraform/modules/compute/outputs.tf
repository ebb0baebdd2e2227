output "glue_job_name" {
  description = "Name of the Spark job on Glue; null if no domain uses it."
  value       = one(aws_glue_job.transform[*].name)
}

output "emr_application_id" {
  description = "Id of the Spark application on EMR Serverless; null if no domain uses it."
  value       = one(aws_emrserverless_application.spark[*].id)
}

output "role_arn" {
  description = "Role of the jobs."
  value       = local.role_arn
  depends_on  = [aws_iam_role.jobs]
}

output "run_policy_arn" {
  description = "Policy for what starts jobs."
  value       = aws_iam_policy.run.arn
}
