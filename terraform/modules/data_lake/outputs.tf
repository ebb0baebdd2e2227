output "bucket_names" {
  description = "Names of the buckets: raw, lake, reports, dashboard, logs."
  value       = merge({ for purpose, bucket in module.bucket : purpose => bucket.name }, { logs = module.logs.name })
}

output "bucket_arns" {
  description = "ARNs of the buckets: raw, lake, reports, dashboard, logs."
  value       = merge({ for purpose, bucket in module.bucket : purpose => bucket.arn }, { logs = module.logs.arn })
}

output "dashboard_domain_name" {
  description = "Host name of the dashboard's bucket, for CloudFront."
  value       = module.bucket["dashboard"].regional_domain_name
}

output "landed_queues" {
  description = "The queues that tell of landed files, by pipeline: url, arn, name, and the dead-letter queue's dead_url, dead_arn and dead_name."
  value = { for pipeline, queue in aws_sqs_queue.landed : pipeline => {
    url       = "https://sqs.${var.region}.amazonaws.com/${var.account_id}/${local.queue_names[pipeline]}"
    arn       = local.queue_arns[pipeline]
    name      = queue.name
    dead_url  = "https://sqs.${var.region}.amazonaws.com/${var.account_id}/${local.queue_names["${pipeline}-dead"]}"
    dead_arn  = local.queue_arns["${pipeline}-dead"]
    dead_name = aws_sqs_queue.dead[pipeline].name
  } }
}
