output "metrics" {
  description = "The application's metrics as dashboards and alarms use them: namespace, dimensions, names."
  value = {
    namespace  = local.namespace
    dimensions = values(local.dimensions)
    names      = values(local.metrics)
  }
}

output "namespace" {
  description = "CloudWatch namespace of the application's metrics."
  value       = local.namespace
}

output "topic_arns" {
  description = "ARNs of the topics alerts and operations."
  value       = local.topic_arns
}

output "alarm_names" {
  description = "Names of all alarms."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.application : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.stale : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.slow_load : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.operations : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.api : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.trail : alarm.alarm_name],
  ))
}

output "dashboard_names" {
  description = "Names of the CloudWatch dashboards."
  value       = sort([for dashboard in aws_cloudwatch_dashboard.this : dashboard.dashboard_name])
}
