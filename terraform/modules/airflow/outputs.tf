output "artefacts_bucket" {
  description = "Bucket for dags/, artefacts/ and jobs/."
  value       = module.bucket.name
}

output "artefacts_bucket_arn" {
  description = "ARN of the artefacts' bucket."
  value       = module.bucket.arn
}

output "scheduler_role_name" {
  description = "Name of Airflow's role."
  value       = aws_iam_role.scheduler.name
}

output "environment_name" {
  description = "Name of the Airflow environment; null before the artefacts are there."
  value       = one(aws_mwaa_environment.this[*].name)
}

output "webserver_url" {
  description = "Host of Airflow's user interface; null before the artefacts are there."
  value       = one(aws_mwaa_environment.this[*].webserver_url)
}
