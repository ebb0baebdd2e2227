output "glue_job_name" {
  description = "Name of the Spark job on Glue."
  value       = aws_glue_job.transform.name
}

output "emr_application_id" {
  description = "Id of the Spark application on EMR Serverless."
  value       = aws_emrserverless_application.spark.id
}

output "emr_application_arn" {
  description = "ARN of the Spark application on EMR Serverless."
  value       = aws_emrserverless_application.spark.arn
}

output "role_arn" {
  description = "Role of the jobs."
  value       = "arn:aws:iam::${var.account_id}:role/${var.name}-spark"
  depends_on  = [aws_iam_role.jobs]
}

output "role_name" {
  description = "Name of the jobs' role."
  value       = aws_iam_role.jobs.name
}
