mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "waybill-test"
  key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/data"
  log_retention_days = 30
  subnet_ids         = ["subnet-1", "subnet-2"]
  security_group_id  = "sg-1"
}

run "encrypted_and_authenticated" {
  command = apply

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "Connections without TLS must be refused."
  }
  assert {
    condition     = tobool(aws_elasticache_replication_group.this.at_rest_encryption_enabled) && aws_elasticache_replication_group.this.kms_key_id == var.key_arn
    error_message = "Data at rest must be encrypted with the data key."
  }
  assert {
    condition     = aws_elasticache_replication_group.this.user_group_ids == toset(["waybill-test-broker"]) && aws_elasticache_user_group.this.user_ids == toset(["waybill-test-airflow"])
    error_message = "Only the user of Airflow may log in."
  }
  assert {
    condition     = aws_elasticache_user.airflow.passwords == null && aws_elasticache_user.airflow.no_password_required == null && aws_elasticache_replication_group.this.auth_token == null
    error_message = "The state must not hold a password, and no user may enter without one."
  }
  assert {
    condition     = one(aws_elasticache_user.airflow.authentication_mode).type == "iam" && aws_elasticache_user.airflow.user_id == aws_elasticache_user.airflow.user_name
    error_message = "Before bootstrap, nobody may be able to log in. IAM authentication needs the same id and name."
  }
  assert {
    condition     = strcontains(aws_elasticache_user.airflow.access_string, " -@admin -@dangerous")
    error_message = "The user must not administer the broker."
  }
  assert {
    condition     = aws_elasticache_replication_group.this.security_group_ids == toset(["sg-1"])
    error_message = "The broker must be in its own security group."
  }
}

run "no_message_is_evicted" {
  command = apply

  assert {
    condition     = aws_elasticache_parameter_group.this.family == "valkey8" && one(aws_elasticache_parameter_group.this.parameter).value == "noeviction"
    error_message = "A full broker must refuse messages instead of evicting them."
  }
}

run "logs_end" {
  command = apply

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 30 && group.kms_key_id == var.key_arn])
    error_message = "Logs must be encrypted and expire."
  }
  assert {
    condition     = toset([for delivery in aws_elasticache_replication_group.this.log_delivery_configuration : delivery.destination]) == toset(["/waybill-test/broker/engine-log", "/waybill-test/broker/slow-log"])
    error_message = "The broker must write its logs to these groups."
  }
}

run "one_node" {
  command = apply

  assert {
    condition     = aws_elasticache_replication_group.this.num_cache_clusters == 1 && !aws_elasticache_replication_group.this.automatic_failover_enabled
    error_message = "One node has no failover; ElastiCache refuses it."
  }
}

run "two_nodes_fail_over" {
  command = apply

  variables {
    nodes = 2
  }

  assert {
    condition     = aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "The second node must be in another zone and take over."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    nodes          = 0
    node_type      = "t4g.micro"
    engine_version = "7.2"
    subnet_ids     = ["subnet-1"]
  }

  expect_failures = [var.nodes, var.node_type, var.engine_version, var.subnet_ids]
}
