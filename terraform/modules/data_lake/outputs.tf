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

output "landed_queue" {
  description = "The queue that tells of landed files: url, arn, name, and its dead-letter queue's name."
  value = {
    url       = aws_sqs_queue.landed.url
    arn       = local.queue_arn.landed
    name      = aws_sqs_queue.landed.name
    dead_name = aws_sqs_queue.dead.name
  }
}
