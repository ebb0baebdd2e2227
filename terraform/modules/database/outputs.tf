output "identifier" {
  description = "Name of the instance."
  value       = aws_db_instance.this.identifier
}

output "resource_id" {
  description = "AWS's id of the instance, which permissions to connect name."
  value       = aws_db_instance.this.resource_id
}

output "address" {
  description = "Host name."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port."
  value       = aws_db_instance.this.port
}

output "database" {
  description = "Name of the database."
  value       = local.database
}

output "role" {
  description = "PostgreSQL role that the application connects as, by IAM instead of a password."
  value       = local.role
}

output "master_secret_arn" {
  description = "ARN of the secret that holds the master's name and password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
