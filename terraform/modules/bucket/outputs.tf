# Known before the bucket is there, so that a plan shows whole policies; what uses them still waits for the bucket.
output "name" {
  description = "Name of the bucket."
  value       = var.name
  depends_on  = [aws_s3_bucket.this]
}

output "arn" {
  description = "ARN of the bucket."
  value       = local.arn
  depends_on  = [aws_s3_bucket.this]
}

output "regional_domain_name" {
  description = "Host name of the bucket in its region, for CloudFront."
  value       = aws_s3_bucket.this.bucket_regional_domain_name
}
