# At night, services have no tasks and databases are stopped. EventBridge Scheduler calls the APIs of ECS and RDS itself.
# Services stop before databases and start after them. RDS starts a stopped database after seven days; the next evening
# stops it again.
locals {
  services  = { for service, tasks in var.services : "service-${service}" => { service = service, tasks = tasks } }
  databases = { for database in var.databases : "database-${database}" => database }

  calls = merge(
    { for key, one in local.services : "stop-${key}" => {
      api   = "ecs:updateService"
      cron  = "${var.stop.minute} ${var.stop.hour} * * ? *"
      input = { Cluster = var.cluster, Service = one.service, DesiredCount = 0 }
    } },
    { for key, database in local.databases : "stop-${key}" => {
      api   = "rds:stopDBInstance"
      cron  = "${var.stop.minute + 15} ${var.stop.hour} * * ? *" # tasks have ended
      input = { DbInstanceIdentifier = database }
    } },
    { for key, database in local.databases : "start-${key}" => {
      api   = "rds:startDBInstance"
      cron  = "${var.start.minute} ${var.start.hour} ? * ${var.start.days} *"
      input = { DbInstanceIdentifier = database }
    } },
    { for key, one in local.services : "start-${key}" => {
      api   = "ecs:updateService"
      cron  = "${var.start.minute + 20} ${var.start.hour} ? * ${var.start.days} *" # databases are available
      input = { Cluster = var.cluster, Service = one.service, DesiredCount = one.tasks }
    } },
  )
}

resource "aws_scheduler_schedule_group" "this" {
  name = "${var.name}-night"
}

resource "aws_scheduler_schedule" "this" {
  for_each                     = local.calls
  name                         = "${var.name}-${each.key}"
  group_name                   = aws_scheduler_schedule_group.this.name
  kms_key_arn                  = var.key_arn
  schedule_expression          = "cron(${each.value.cron})"
  schedule_expression_timezone = var.timezone

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:aws:scheduler:::aws-sdk:${each.value.api}"
    role_arn = aws_iam_role.this.arn
    input    = jsonencode(each.value.input)

    # Stopping what is stopped fails at once and needs no second try.
    retry_policy {
      maximum_retry_attempts       = 3
      maximum_event_age_in_seconds = 900
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = "${var.name}-night"
  description          = "EventBridge Scheduler: stops and starts services and databases."
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:aws:scheduler:${var.region}:${var.account_id}:schedule-group/${var.name}-night" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "stop-and-start"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Services"
        Effect   = "Allow"
        Action   = "ecs:UpdateService"
        Resource = [for service in keys(var.services) : "arn:aws:ecs:${var.region}:${var.account_id}:service/${var.cluster}/${service}"]
      },
      {
        Sid      = "Databases"
        Effect   = "Allow"
        Action   = ["rds:StartDBInstance", "rds:StopDBInstance"]
        Resource = [for database in var.databases : "arn:aws:rds:${var.region}:${var.account_id}:db:${database}"]
      },
      {
        Sid       = "ReadSchedules"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
        Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.name}-operations" } }
      },
    ]
  })
}
