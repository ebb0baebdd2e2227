# Filters of the log of CloudTrail, which has the events of all regions in one place: rules of EventBridge would have to
# be in us-east-1, too, where IAM and the console record theirs. Each event that matches counts 1.
locals {
  trail_namespace = "${var.name}-trail"
}

resource "aws_cloudwatch_log_metric_filter" "trail" {
  for_each       = local.trail_alarms
  name           = "${var.name}-${each.key}"
  log_group_name = var.trail_log_group
  pattern        = "{ ${each.value.pattern} }"

  metric_transformation {
    namespace = local.trail_namespace
    name      = "${var.name}-${each.key}"
    value     = "1"
  }
}
