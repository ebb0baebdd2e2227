output "glue_job_name" {
  description = "Name of the Spark job on Glue; null if Spark runs on EMR Serverless."
  value       = one(aws_glue_job.spark[*].name)
}

output "emr_application_id" {
  description = "Id of the Spark application on EMR Serverless; null if Spark runs on Glue."
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

output "log_group" {
  description = "Log group of the jobs."
  value       = aws_cloudwatch_log_group.spark.name
}

output "code" {
  description = "Address of the folder with job.py, waybill.zip and requirements.txt."
  value       = local.code
}
