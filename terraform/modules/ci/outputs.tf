output "role_arns" {
  description = "Roles for GitHub's jobs: plan, publish, deploy."
  value       = { for purpose, role in aws_iam_role.github : purpose => role.arn }
}
