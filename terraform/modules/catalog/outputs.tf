output "processed_database" {
  description = "Glue database of the processed zone."
  value       = aws_glue_catalog_database.processed.name
}

output "training_database" {
  description = "Glue database of the training sets."
  value       = aws_glue_catalog_database.training.name
}

output "raw_database" {
  description = "Glue database of the raw zone; null if no domain asks for a crawler."
  value       = one(aws_glue_catalog_database.raw[*].name)
}

output "workgroup" {
  description = "Athena workgroup."
  value       = aws_athena_workgroup.this.name
}

output "datasets" {
  description = "What arrives, for alarms: the pipeline that ingests it, and how old its newest period may become, in hours (one period and the time to deliver)."
  value = { for key, dataset in local.datasets : key => {
    dataset         = dataset.name
    pipeline        = dataset.pipeline
    freshness_hours = local.hours[dataset.frequency] + dataset.latency_hours
  } if dataset.frequency != null }
}
