mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                 = "waybill-test"
  region               = "eu-central-1"
  cidr                 = "10.40.0.0/18"
  availability_zones   = ["eu-central-1a", "eu-central-1b"]
  nat_gateways         = 1
  interface_endpoints  = ["logs", "secretsmanager"]
  allowed_cidrs        = ["203.0.113.0/24"]
  flow_logs_bucket_arn = "arn:aws:s3:::waybill-test-logs-123456789012"
}

run "private" {
  command = apply

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch != true]) && length(aws_subnet.private) == 2
    error_message = "There must be a private subnet in each zone."
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.map_public_ip_on_launch != true]) && length(aws_subnet.public) == 2
    error_message = "A load balancer needs a public subnet in two zones; nothing else in them gets a public address."
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
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["logs", "secretsmanager"]) && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "Each service with an endpoint must be reachable by its usual name."
  }
}

run "who_speaks_with_whom" {
  command = apply

  assert {
    condition = {
      for key, rule in aws_vpc_security_group_ingress_rule.flow : key => [rule.referenced_security_group_id, rule.security_group_id, rule.from_port, rule.to_port]
      } == {
      load_balancer_airflow = [aws_security_group.this["load_balancer"].id, aws_security_group.this["airflow"].id, 8080, 8080]
      airflow_warehouse     = [aws_security_group.this["airflow"].id, aws_security_group.this["warehouse"].id, 5432, 5432]
      airflow_metadata      = [aws_security_group.this["airflow"].id, aws_security_group.this["metadata"].id, 5432, 5432]
      airflow_broker        = [aws_security_group.this["airflow"].id, aws_security_group.this["broker"].id, 6379, 6379]
    }
    error_message = "These connections and no others may be opened. Spark jobs have no access to a database."
  }
  assert {
    condition = { for key, rule in aws_vpc_security_group_egress_rule.flow : key => [rule.security_group_id, rule.referenced_security_group_id, rule.to_port] } == {
      for key, rule in aws_vpc_security_group_ingress_rule.flow : key => [rule.referenced_security_group_id, rule.security_group_id, rule.to_port]
    }
    error_message = "Each connection must be allowed at both ends."
  }
  assert {
    condition = toset([for rule in concat(
      values(aws_vpc_security_group_ingress_rule.flow), values(aws_vpc_security_group_ingress_rule.own), values(aws_vpc_security_group_ingress_rule.users), [aws_vpc_security_group_ingress_rule.endpoints],
    ) : rule.cidr_ipv4 if rule.cidr_ipv4 != null]) == toset(["203.0.113.0/24", "10.40.0.0/18"])
    error_message = "Only listed networks may come in; no security group may be open."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.users : rule.security_group_id == aws_security_group.this["load_balancer"].id && rule.from_port == 443 && rule.to_port == 443])
    error_message = "Users must reach the load balancer by HTTPS, and nothing else."
  }
  assert {
    condition = length(setintersection([for name in ["warehouse", "metadata", "broker", "endpoints"] : aws_security_group.this[name].id], [for rule in concat(
      values(aws_vpc_security_group_egress_rule.own), values(aws_vpc_security_group_egress_rule.https), values(aws_vpc_security_group_egress_rule.flow), aws_vpc_security_group_egress_rule.smtp,
    ) : rule.security_group_id])) == 0
    error_message = "Databases and broker must not open connections."
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.smtp) == 0
    error_message = "Without mail, port 587 must be closed."
  }
}

run "mail" {
  command = apply

  variables {
    smtp = true
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.smtp[0].from_port == 587 && aws_vpc_security_group_egress_rule.smtp[0].security_group_id == aws_security_group.this["airflow"].id
    error_message = "Only Airflow may send mail."
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

run "refuses_bad_values" {
  command = plan

  variables {
    cidr                = "10.40.0.0/24"
    availability_zones  = ["eu-central-1a"]
    interface_endpoints = ["SQS"]
  }

  expect_failures = [var.cidr, var.availability_zones, var.interface_endpoints]
}

run "refuses_the_whole_internet" {
  command = plan

  variables {
    allowed_cidrs = ["203.0.113.0/24", "0.0.0.0/0"]
  }

  expect_failures = [var.allowed_cidrs]
}

run "refuses_more_gateways_than_zones" {
  command = plan

  variables {
    nat_gateways = 3
  }

  expect_failures = [var.nat_gateways]
}

run "refuses_no_gateway" {
  command = plan

  variables {
    nat_gateways = 0
  }

  expect_failures = [var.nat_gateways]
}
