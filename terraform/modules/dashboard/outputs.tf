output "distribution_arn" {
  description = "ARN of the distribution, for the bucket's policy."
  value       = aws_cloudfront_distribution.this.arn
}

output "url" {
  description = "Where the dashboard is."
  value       = "https://${var.certificate == null ? aws_cloudfront_distribution.this.domain_name : var.certificate.host}/"
}
