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

run "dev_is_cheap_and_can_be_thrown_away" {
  command = plan

  assert {
    condition     = var.environment == "dev" && var.may_destroy_data && !var.warehouse.multi_az && !var.warehouse.deletion_protection && var.network.nat_gateways == 1
    error_message = "Dev must be small and removable."
  }
  assert {
    condition     = var.airflow.executor == "local" && var.broker == null && var.airflow.spot && var.night != null && length(var.network.interface_endpoints) == 0
    error_message = "Dev must have one service on Spot, no broker and no interface endpoints, and stop at night."
  }
}
