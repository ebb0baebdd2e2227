mock_provider "aws" {
  source = "../../mocks"
}

variables {
  account_id              = "123456789012"
  region                  = "eu-central-1"
  owner                   = "data-platform"
  cost_center             = "4711"
  alert_emails            = ["data@example.com"]
  operations_emails       = ["operations@example.com"]
  dashboard_allowed_cidrs = ["203.0.113.0/24"]
  github_repository       = "example/waybill"
  state_bucket            = "waybill-state-123456789012"
  airflow_allowed_cidrs   = ["203.0.113.0/24"]
}

run "prod_survives_a_zone_and_a_mistake" {
  command = plan

  assert {
    condition     = var.environment == "prod" && !var.may_destroy_data && var.warehouse.multi_az && var.warehouse.deletion_protection && var.warehouse.backup_days == 35
    error_message = "Prod must have a standby, protection, and backups as long as there are."
  }
  assert {
    condition     = var.network.nat_gateways == length(var.availability_zones) && alltrue([for service in values(var.airflow.services) : service.tasks >= 2]) && var.broker.nodes == 2
    error_message = "Prod must go on working when a zone fails."
  }
  assert {
    condition     = var.airflow.internal && var.retention.log_objects_days >= 365
    error_message = "Prod's user interface must be private, and its logs kept for a year."
  }
}

run "prod_without_a_standby_is_refused" {
  command = plan

  variables {
    warehouse = {
      engine_version      = "18"
      instance_class      = "db.m7g.xlarge"
      allocated_gib       = 500
      max_allocated_gib   = 4000
      multi_az            = false
      deletion_protection = true
      backup_days         = 35
      insights_mode       = "standard"
    }
  }

  expect_failures = [var.warehouse]
}

run "prod_never_stops" {
  command = plan

  variables {
    night = { stop = { hour = 20 }, start = { hour = 6 } }
  }

  expect_failures = [var.night]
}

run "prod_with_one_task_is_refused" {
  command = plan

  variables {
    broker = { node_type = "cache.t4g.small", nodes = 1 }
  }

  expect_failures = [var.broker]
}

run "prods_data_cannot_be_destroyed" {
  command = plan

  variables {
    may_destroy_data = true
  }

  expect_failures = [var.may_destroy_data]
}
