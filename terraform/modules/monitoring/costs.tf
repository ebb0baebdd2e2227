# Charges that differ from what is usual. An account can have one monitor of its services, and AWS creates it for new
# accounts: then `anomaly_monitor_arn` names it.
resource "aws_ce_anomaly_monitor" "services" {
  count             = var.anomaly_usd != null && var.anomaly_monitor_arn == null ? 1 : 0
  name              = "${var.name}-services"
  monitor_type      = "DIMENSIONAL"
  monitor_dimension = "SERVICE"
}

resource "aws_ce_anomaly_subscription" "operations" {
  count            = var.anomaly_usd == null ? 0 : 1
  name             = "${var.name}-operations"
  frequency        = "IMMEDIATE" # the only one that goes to a topic
  monitor_arn_list = var.anomaly_monitor_arn == null ? aws_ce_anomaly_monitor.services[*].arn : [var.anomaly_monitor_arn]

  subscriber {
    type    = "SNS"
    address = aws_sns_topic.this["operations"].arn
  }

  threshold_expression {
    dimension {
      key           = "ANOMALY_TOTAL_IMPACT_ABSOLUTE"
      match_options = ["GREATER_THAN_OR_EQUAL"]
      values        = [tostring(var.anomaly_usd)]
    }
  }

  depends_on = [aws_sns_topic_policy.this]
}
