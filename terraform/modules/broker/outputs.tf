output "address" {
  description = "Host name of the primary node."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "port" {
  description = "Port of the broker."
  value       = aws_elasticache_replication_group.this.port
}

output "user" {
  description = "Id and name of the broker's user. `waybill bootstrap` sets its password."
  value       = aws_elasticache_user.airflow.user_id
}

output "replication_group_id" {
  description = "Id of the replication group, the dimension of its metrics."
  value       = aws_elasticache_replication_group.this.replication_group_id
}
