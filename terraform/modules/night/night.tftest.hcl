mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                     = "waybill-test"
  account_id               = "123456789012"
  region                   = "eu-central-1"
  key_arn                  = "arn:aws:kms:eu-central-1:123456789012:key/operations"
  permissions_boundary_arn = "arn:aws:iam::123456789012:policy/waybill-test-boundary"
  cluster                  = "waybill-test"
  services                 = { airflow = 2 }
  databases                = ["waybill-test-warehouse", "waybill-test-metadata"]
  timezone                 = "Europe/Berlin"
  stop                     = { hour = 20 }
  start                    = { hour = 6, minute = 30 }
}

run "evening_and_morning" {
  command = apply

  assert {
    condition = output.schedules == {
      stop-service-airflow                  = "cron(0 20 * * ? *)"
      stop-database-waybill-test-warehouse  = "cron(15 20 * * ? *)"
      stop-database-waybill-test-metadata   = "cron(15 20 * * ? *)"
      start-database-waybill-test-warehouse = "cron(30 6 ? * MON-FRI *)"
      start-database-waybill-test-metadata  = "cron(30 6 ? * MON-FRI *)"
      start-service-airflow                 = "cron(50 6 ? * MON-FRI *)"
    }
    error_message = "Services must stop before databases, each evening, and start after them, on working days."
  }
  assert {
    condition     = alltrue([for schedule in aws_scheduler_schedule.this : schedule.schedule_expression_timezone == "Europe/Berlin" && schedule.kms_key_arn == var.key_arn && length(schedule.name) <= 64])
    error_message = "Times must be in the time zone of the business, and schedules encrypted."
  }
}

run "calls" {
  command = apply

  assert {
    condition = { for name, schedule in aws_scheduler_schedule.this : name => "${one(schedule.target).arn} ${one(schedule.target).input}" if strcontains(name, "airflow") } == {
      stop-service-airflow  = "arn:aws:scheduler:::aws-sdk:ecs:updateService {\"Cluster\":\"waybill-test\",\"DesiredCount\":0,\"Service\":\"airflow\"}"
      start-service-airflow = "arn:aws:scheduler:::aws-sdk:ecs:updateService {\"Cluster\":\"waybill-test\",\"DesiredCount\":2,\"Service\":\"airflow\"}"
    }
    error_message = "Services must have no task by night, and all of their tasks by day."
  }
  assert {
    condition = toset([for name, schedule in aws_scheduler_schedule.this : "${one(schedule.target).arn} ${one(schedule.target).input}" if strcontains(name, "warehouse")]) == toset([
      "arn:aws:scheduler:::aws-sdk:rds:stopDBInstance {\"DbInstanceIdentifier\":\"waybill-test-warehouse\"}",
      "arn:aws:scheduler:::aws-sdk:rds:startDBInstance {\"DbInstanceIdentifier\":\"waybill-test-warehouse\"}",
    ])
    error_message = "Databases must stop and start."
  }
}

run "role" {
  command = apply

  assert {
    condition     = aws_iam_role.this.permissions_boundary == var.permissions_boundary_arn && length(one(jsondecode(aws_iam_role.this.assume_role_policy).Statement).Condition) == 2
    error_message = "The role must have the boundary, and only these schedules may take it."
  }
  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid => statement.Resource } == {
      Services      = ["arn:aws:ecs:eu-central-1:123456789012:service/waybill-test/airflow"]
      Databases     = ["arn:aws:rds:eu-central-1:123456789012:db:waybill-test-metadata", "arn:aws:rds:eu-central-1:123456789012:db:waybill-test-warehouse"]
      ReadSchedules = "arn:aws:kms:eu-central-1:123456789012:key/*"
    }
    error_message = "The role may stop and start these services and databases only."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    stop  = { hour = 24 }
    start = { hour = 6, minute = 50, days = "weekdays" }
  }

  expect_failures = [var.stop, var.start]
}
