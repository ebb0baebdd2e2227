locals {
  zones   = { for index, zone in var.availability_zones : zone => index }
  natted  = slice(var.availability_zones, 0, var.nat_gateways)
  has_nat = var.nat_gateways > 0
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# Nothing uses the group that every network has; without rules nothing can.
resource "aws_default_security_group" "unused" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-unused" }
}

resource "aws_flow_log" "this" {
  vpc_id               = aws_vpc.this.id
  traffic_type         = "ALL"
  log_destination_type = "s3"
  log_destination      = var.flow_logs_bucket_arn
  destination_options {
    file_format                = "parquet"
    hive_compatible_partitions = true
    per_hour_partition         = false
  }
}

resource "aws_subnet" "private" {
  for_each          = local.zones
  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 4, each.value)
  tags              = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table" "private" {
  for_each = local.zones
  vpc_id   = aws_vpc.this.id
  tags     = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table_association" "private" {
  for_each       = local.zones
  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

# ---- the way out, for PyPI and Slack; nothing comes in by it

resource "aws_internet_gateway" "this" {
  count  = local.has_nat ? 1 : 0
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each          = toset(local.natted)
  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 4, 8 + local.zones[each.key])
  tags              = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_route_table" "public" {
  count  = local.has_nat ? 1 : 0
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  count                  = local.has_nat ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_eip" "nat" {
  #checkov:skip=CKV2_AWS_19:The address belongs to a NAT gateway
  for_each = toset(local.natted)
  domain   = "vpc"
  tags     = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each      = toset(local.natted)
  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = { Name = "${var.name}-${each.key}" }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route" "out" {
  for_each               = local.has_nat ? local.zones : {}
  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[local.natted[each.value % var.nat_gateways]].id
}

# ---- AWS services without the Internet

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]
  tags              = { Name = "${var.name}-s3" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = var.interface_endpoints
  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.endpoints.id]
  tags                = { Name = "${var.name}-${each.key}" }
}

# ---- who may speak with whom

resource "aws_security_group" "airflow" {
  #checkov:skip=CKV2_AWS_5:It is attached to the Airflow environment, in another module
  name        = "${var.name}-airflow"
  description = "Airflow: scheduler, workers and web server."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-airflow" }
}

resource "aws_security_group" "jobs" {
  #checkov:skip=CKV2_AWS_5:It is attached to the Spark application, in another module
  name        = "${var.name}-jobs"
  description = "Spark jobs."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-jobs" }
}

resource "aws_security_group" "database" {
  #checkov:skip=CKV2_AWS_5:It is attached to the database, in another module
  name        = "${var.name}-database"
  description = "PostgreSQL: answers Airflow and Spark jobs, starts no connection."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-database" }
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Interface endpoints of AWS services."
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-endpoints" }
}

locals {
  workloads = { airflow = aws_security_group.airflow.id, jobs = aws_security_group.jobs.id }
}

# Airflow's parts, and Spark's driver and executors, speak with their like.
resource "aws_vpc_security_group_ingress_rule" "own" {
  for_each                     = local.workloads
  security_group_id            = each.value
  referenced_security_group_id = each.value
  ip_protocol                  = "-1"
  description                  = "Among themselves."
}

resource "aws_vpc_security_group_egress_rule" "own" {
  for_each                     = local.workloads
  security_group_id            = each.value
  referenced_security_group_id = each.value
  ip_protocol                  = "-1"
  description                  = "Among themselves."
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = local.workloads
  security_group_id = each.value
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
  description       = "AWS, PyPI and Slack."
}

resource "aws_vpc_security_group_egress_rule" "database" {
  for_each                     = local.workloads
  security_group_id            = each.value
  referenced_security_group_id = aws_security_group.database.id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
  description                  = "PostgreSQL."
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each                     = local.workloads
  security_group_id            = aws_security_group.database.id
  referenced_security_group_id = each.value
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
  description                  = "PostgreSQL, for ${each.key}."
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  cidr_ipv4         = var.cidr
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
  description       = "HTTPS from within the network."
}
