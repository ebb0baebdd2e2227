mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                 = "waybill-test"
  region               = "eu-central-1"
  cidr                 = "10.40.0.0/18"
  availability_zones   = ["eu-central-1a", "eu-central-1b"]
  nat_gateways         = 1
  flow_logs_bucket_arn = "arn:aws:s3:::waybill-test-logs-123456789012"
}

run "private" {
  command = apply

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch != true]) && length(aws_subnet.private) == 2
    error_message = "There must be a private subnet in each zone."
  }
  assert {
    condition     = length(setintersection([for subnet in aws_subnet.private : subnet.cidr_block], [for subnet in aws_subnet.public : subnet.cidr_block])) == 0
    error_message = "Public and private subnets must not share addresses."
  }
  assert {
    condition     = length(aws_default_security_group.unused.ingress) == 0 && length(aws_default_security_group.unused.egress) == 0
    error_message = "The network's default group must allow nothing."
  }
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.log_destination == "arn:aws:s3:::waybill-test-logs-123456789012"
    error_message = "All connections must be recorded."
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.s3.route_table_ids) == 2
    error_message = "Every private subnet must reach S3 without the Internet."
  }
  assert {
    condition     = alltrue([for service in ["sqs", "logs", "monitoring", "kms", "secretsmanager", "sns", "ecr.api", "ecr.dkr", "airflow.api", "airflow.env"] : aws_vpc_endpoint.interface[service].private_dns_enabled])
    error_message = "What Airflow needs must be reachable by its usual name."
  }
}

run "who_speaks_with_whom" {
  command = apply

  assert {
    condition = alltrue([for rule in aws_vpc_security_group_ingress_rule.database :
    rule.from_port == 5432 && rule.to_port == 5432 && rule.cidr_ipv4 == null && rule.security_group_id == aws_security_group.database.id])
    error_message = "Only groups, not addresses, may reach PostgreSQL."
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.database : rule.referenced_security_group_id]) == toset([aws_security_group.airflow.id, aws_security_group.jobs.id])
    error_message = "Airflow and jobs, and nobody else, may reach PostgreSQL."
  }
  assert {
    condition = alltrue([for rule in concat(values(aws_vpc_security_group_ingress_rule.own), values(aws_vpc_security_group_ingress_rule.database)) :
    rule.cidr_ipv4 != "0.0.0.0/0"]) && aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.40.0.0/18"
    error_message = "Nothing may come in from the Internet."
  }
  assert {
    condition = length(setintersection([aws_security_group.database.id], [for rule in concat(
      values(aws_vpc_security_group_egress_rule.own), values(aws_vpc_security_group_egress_rule.https), values(aws_vpc_security_group_egress_rule.database),
    ) : rule.security_group_id])) == 0
    error_message = "The database must not start connections."
  }
}

run "one_nat_gateway_serves_both_zones" {
  command = apply

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.out) == 2
    error_message = "Both private subnets must have a way out by the one gateway."
  }
}

run "a_nat_gateway_for_each_zone" {
  command = apply

  variables {
    nat_gateways = 2
  }

  assert {
    condition     = length(distinct([for route in aws_route.out : route.nat_gateway_id])) == 2
    error_message = "Each zone must have its own way out."
  }
}

run "without_the_internet" {
  command = apply

  variables {
    nat_gateways = 0
  }

  assert {
    condition     = length(aws_internet_gateway.this) + length(aws_nat_gateway.this) + length(aws_subnet.public) + length(aws_route.out) == 0
    error_message = "Without NAT there must be no way to the Internet."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    cidr               = "10.40.0.0/24"
    availability_zones = ["eu-central-1a"]
  }

  expect_failures = [var.cidr, var.availability_zones]
}

run "refuses_more_gateways_than_zones" {
  command = plan

  variables {
    nat_gateways = 3
  }

  expect_failures = [var.nat_gateways]
}
