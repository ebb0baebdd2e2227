output "identifier" {
  description = "Name of the instance."
  value       = aws_db_instance.this.identifier
}

output "resource_id" {
  description = "Resource id of the instance, part of the ARNs in rds-db policies."
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
  value       = var.database
}

output "role" {
  description = "PostgreSQL role that owns the database."
  value       = var.role
}

output "master_secret_arn" {
  description = "ARN of the secret with the master user's name and password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "arn" {
  description = "ARN of the instance."
  value       = aws_db_instance.this.arn
}
