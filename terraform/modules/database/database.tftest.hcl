mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                     = "waybill-test"
  key_arn                  = "arn:aws:kms:eu-central-1:123456789012:key/data"
  permissions_boundary_arn = "arn:aws:iam::123456789012:policy/waybill-test-boundary"
  log_retention_days       = 30
  subnet_ids               = ["subnet-1", "subnet-2"]
  security_group_id        = "sg-1"
  instance_class           = "db.t4g.medium"
  allocated_gib            = 50
  max_allocated_gib        = 200
  multi_az                 = true
  deletion_protection      = true
  backup_days              = 14
}

run "safe" {
  command = apply

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.key_arn && aws_db_instance.this.performance_insights_kms_key_id == var.key_arn
    error_message = "Storage, backups and insights must be encrypted with the data key."
  }
  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.vpc_security_group_ids == toset(["sg-1"])
    error_message = "The database must be private."
  }
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null && aws_db_instance.this.iam_database_authentication_enabled
    error_message = "No password may be known to Terraform; the application connects by IAM."
  }
  assert {
    condition     = one(aws_secretsmanager_secret_rotation.master.rotation_rules).automatically_after_days == 30 && aws_secretsmanager_secret_rotation.master.secret_id == output.master_secret_arn
    error_message = "The master password must change every 30 days."
  }
  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "Connections without TLS must be refused."
  }
  assert {
    condition     = aws_db_parameter_group.this.family == "postgres18"
    error_message = "The parameters must be of the version's family."
  }
  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection && aws_db_instance.this.backup_retention_period == 14 && !aws_db_instance.this.skip_final_snapshot
    error_message = "Standby, protection and backups must be as the environment says, and a last snapshot always."
  }
  assert {
    condition     = aws_db_instance.this.performance_insights_enabled && aws_db_instance.this.monitoring_interval == 60
    error_message = "Performance must be watched."
  }
  assert {
    condition     = aws_iam_role.monitoring.permissions_boundary == var.permissions_boundary_arn
    error_message = "Every role must be bounded."
  }
  assert {
    condition     = alltrue([for log in aws_cloudwatch_log_group.this : log.retention_in_days == 30 && log.kms_key_id == var.key_arn])
    error_message = "Logs must be encrypted and end."
  }
}

run "exact_version" {
  command = plan

  variables {
    engine_version = "16.9"
  }

  assert {
    condition     = aws_db_parameter_group.this.family == "postgres16" && aws_db_instance.this.engine_version == "16.9"
    error_message = "An exact version must keep its family."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    engine_version    = "13"
    instance_class    = "t4g.medium"
    max_allocated_gib = 50
    backup_days       = 0
    subnet_ids        = ["subnet-1"]
  }

  expect_failures = [var.engine_version, var.instance_class, var.max_allocated_gib, var.backup_days, var.subnet_ids]
}
