mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                     = "waybill-test"
  purpose                  = "warehouse"
  database                 = "waybill"
  role                     = "waybill"
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
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection && aws_db_instance.this.backup_retention_period == 14
    error_message = "Standby, protection and backups must be as the environment says."
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

run "a_deleted_database_leaves_its_backups" {
  command = apply

  assert {
    condition     = !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups
    error_message = "By default, a deleted database must leave a final snapshot and its backups."
  }
  assert {
    condition     = can(regex("^waybill-test-warehouse-20[0-9]{12}$", aws_db_instance.this.final_snapshot_identifier))
    error_message = "The name of the final snapshot must contain the time of creation: a second snapshot with the same name fails."
  }
}

run "a_database_of_dev_leaves_nothing" {
  command = apply

  variables {
    keep_backups        = false
    deletion_protection = false
  }

  assert {
    condition     = aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == null && aws_db_instance.this.delete_automated_backups
    error_message = "Without keep_backups, deleting the database must need and leave no snapshot."
  }
}

run "insights" {
  command = plan

  variables {
    insights_mode = "advanced"
  }

  assert {
    condition     = aws_db_instance.this.database_insights_mode == "advanced" && aws_db_instance.this.performance_insights_retention_period == 465
    error_message = "Advanced insights must be kept for 465 days; RDS accepts no other period."
  }
}

run "metadata" {
  command = apply

  variables {
    purpose  = "metadata"
    database = "airflow"
    role     = "airflow"
  }

  assert {
    condition     = aws_db_instance.this.identifier == "waybill-test-metadata" && aws_db_instance.this.db_name == "airflow" && aws_iam_role.monitoring.name == "waybill-test-metadata-monitoring"
    error_message = "A second database must not share names with the first."
  }
  assert {
    condition     = aws_db_instance.this.database_insights_mode == "standard" && aws_db_instance.this.performance_insights_retention_period == 7
    error_message = "Insights must be free of charge by default."
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
    purpose           = "cache"
    insights_mode     = "full"
  }

  expect_failures = [var.engine_version, var.instance_class, var.max_allocated_gib, var.backup_days, var.subnet_ids, var.purpose, var.insights_mode]
}
