# The Celery broker: ElastiCache for Valkey. Only staging and prod need it; the LocalExecutor has no broker.
locals {
  name = "${var.name}-broker"
  user = "${var.name}-airflow"
}

resource "aws_elasticache_subnet_group" "this" {
  name       = local.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name   = local.name
  family = "valkey${split(".", var.engine_version)[0]}"

  # A full broker refuses messages. Evicted messages would be tasks that never start.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

# IAM authentication needs no password, so the state has none. No role may connect by IAM: the user is unusable until
# `waybill bootstrap` sets its password by ModifyUser. Valkey has no default user.
resource "aws_elasticache_user" "airflow" {
  user_id       = local.user
  user_name     = local.user
  engine        = "valkey"
  access_string = "on ~* &* +@all -@admin -@dangerous +info"

  authentication_mode {
    type = "iam"
  }

  lifecycle {
    ignore_changes = [authentication_mode]
  }
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = local.name
  engine        = "valkey"
  user_ids      = [aws_elasticache_user.airflow.user_id]
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = toset(["engine-log", "slow-log"])
  name              = "/${var.name}/broker/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV_AWS_31:Users authenticate by role-based access control, which excludes the AUTH token
  #checkov:skip=CKV2_AWS_50:A second node in another zone is a value of the environment: on in prod
  replication_group_id = local.name
  description          = "Celery broker of Airflow."
  engine               = "valkey"
  engine_version       = var.engine_version
  node_type            = var.node_type
  num_cache_clusters   = var.nodes
  port                 = 6379
  parameter_group_name = aws_elasticache_parameter_group.this.name

  automatic_failover_enabled = var.nodes > 1
  multi_az_enabled           = var.nodes > 1

  at_rest_encryption_enabled = true
  kms_key_id                 = var.key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [var.security_group_id]

  # Messages are not worth a backup: the scheduler sends tasks again that the broker has lost.
  snapshot_retention_limit   = 0
  maintenance_window         = "sun:03:30-sun:04:30" # UTC
  auto_minor_version_upgrade = true
  apply_immediately          = false

  dynamic "log_delivery_configuration" {
    for_each = aws_cloudwatch_log_group.this
    content {
      destination      = log_delivery_configuration.value.name
      destination_type = "cloudwatch-logs"
      log_format       = "json"
      log_type         = log_delivery_configuration.key
    }
  }
}
