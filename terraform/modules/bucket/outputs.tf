output "name" {
  description = "Name of the bucket; known only once the bucket is there, so that what uses it waits."
  value       = aws_s3_bucket.this.id
}

output "arn" {
  description = "ARN of the bucket."
  value       = local.arn
}

output "regional_domain_name" {
  description = "Host name of the bucket in its region, for CloudFront."
  value       = aws_s3_bucket.this.bucket_regional_domain_name
}
