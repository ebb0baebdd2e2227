output "raw_bucket" {
  description = "Where files land: WAYBILL_RAW_BUCKET."
  value       = module.data_lake.bucket_names.raw
}

output "reports_bucket" {
  description = "Where reports go: WAYBILL_REPORTS_BUCKET."
  value       = module.data_lake.bucket_names.reports
}

output "lake_bucket" {
  description = "Bucket of the processed zone."
  value       = module.data_lake.bucket_names.lake
}

output "dashboard_bucket" {
  description = "Bucket of the dashboard's pages."
  value       = module.data_lake.bucket_names.dashboard
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = module.dashboard.url
}

output "airflow_bucket" {
  description = "Bucket for logs of tasks and the Spark script."
  value       = module.airflow.bucket
}

output "airflow_cluster" {
  description = "Name of the ECS cluster."
  value       = module.airflow.cluster
}

output "airflow_services" {
  description = "Task definition and number of tasks of each ECS service; empty without an image."
  value       = module.airflow.services
}

output "airflow_url" {
  description = "Address of Airflow's user interface; null without an image."
  value       = module.airflow.url
}

output "airflow_load_balancer" {
  description = "Name of the load balancer, the target of the DNS record of Airflow's host; null without an image."
  value       = module.airflow.load_balancer_dns_name
}

output "airflow_secret" {
  description = "Name of the secret with Airflow's keys and addresses."
  value       = module.security.airflow_secret.name
}

output "warehouse_host" {
  description = "Host of the warehouse."
  value       = module.warehouse.address
}

output "warehouse_port" {
  description = "Port of the warehouse."
  value       = module.warehouse.port
}

output "warehouse_database" {
  description = "Database of the warehouse."
  value       = module.warehouse.database
}

output "warehouse_role" {
  description = "PostgreSQL role of the application."
  value       = module.warehouse.role
}

output "private_subnet_ids" {
  description = "Subnets in which a machine reaches the warehouse."
  value       = module.network.private_subnet_ids
}

output "airflow_security_group_id" {
  description = "Security group with which a machine reaches the warehouse."
  value       = module.network.security_group_ids.airflow
}

output "landed_queues" {
  description = "Queues that tell of landed files, by pipeline: url, arn, name, and the dead-letter queue's dead_url, dead_arn and dead_name."
  value       = module.data_lake.landed_queues
}

output "settings_secret" {
  description = "Name of the secret with secret settings: WAYBILL_SECRET_ID."
  value       = module.security.settings_secret_name
}

output "alerts_topic_arn" {
  description = "Topic of alerts about data."
  value       = module.monitoring.topic_arns.alerts
}

output "image_repository_url" {
  description = "Where images are pushed to."
  value       = module.container_registry.repository_url
}

output "github_role_arns" {
  description = "Roles for GitHub's jobs: plan, publish, deploy."
  value       = module.ci.role_arns
}

output "athena_workgroup" {
  description = "Athena workgroup."
  value       = module.catalog.workgroup
}

output "streams" {
  description = "Kinesis stream of each dataset that has one."
  value       = { for dataset, stream in module.streaming : dataset => stream.stream_name }
}

output "stream_services" {
  description = "Task definition and number of tasks of the ECS service that reads each stream; empty without an image."
  value       = { for consumer in module.consumer : consumer.service => { task_definition = consumer.task_definition, tasks = var.stream_consumers.tasks } }
}

output "alarm_names" {
  description = "Names of all alarms."
  value       = module.monitoring.alarm_names
}

output "metrics" {
  description = "The application's metrics as dashboards and alarms use them."
  value       = module.monitoring.metrics
}
