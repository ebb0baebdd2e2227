locals {
  identifier = "${var.name}-${var.purpose}"
}

resource "aws_db_subnet_group" "this" {
  name       = local.identifier
  subnet_ids = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${local.identifier}-"
  family      = "postgres${split(".", var.engine_version)[0]}"

  dynamic "parameter" {
    for_each = {
      "log_statement"              = "ddl"
      "log_min_duration_statement" = "10000" # milliseconds
      "log_connections"            = "1"
      "log_disconnections"         = "1"
      "log_lock_waits"             = "1"
      "log_error_verbosity"        = "terse" # the details of an error may quote rows
      "timezone"                   = "UTC"
    }
    content {
      name  = parameter.key
      value = parameter.value
    }
  }

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name         = "shared_preload_libraries"
    value        = "pg_stat_statements"
    apply_method = "pending-reboot"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = toset(["postgresql", "upgrade"])
  name              = "/aws/rds/instance/${local.identifier}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

# When the instance was created. It makes the name of the final snapshot unique: names of snapshots stay taken.
resource "terraform_data" "created" {
  input = plantimestamp()
  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_157:Two zones are a value of the environment: on in prod
  #checkov:skip=CKV_AWS_293:Deletion protection is a value of the environment: on in staging and prod
  identifier     = local.identifier
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  db_name        = var.database

  storage_type          = "gp3"
  allocated_storage     = var.allocated_gib
  max_allocated_storage = var.max_allocated_gib
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  # RDS makes the password, keeps it in Secrets Manager and changes it; nobody sees it, nor does Terraform's state.
  username                            = "postgres"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.key_arn
  iam_database_authentication_enabled = true

  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [var.security_group_id]
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  multi_az               = var.multi_az

  backup_retention_period   = var.backup_days
  backup_window             = "01:00-02:00" # UTC; before the daily run
  maintenance_window        = "sun:02:30-sun:03:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = !var.keep_backups
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.keep_backups
  final_snapshot_identifier = var.keep_backups ? "${local.identifier}-${formatdate("YYYYMMDDhhmmss", terraform_data.created.input)}" : null

  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = false
  apply_immediately           = false

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.key_arn
  performance_insights_retention_period = var.insights_mode == "advanced" ? 465 : 7 # the only value of each mode
  database_insights_mode                = var.insights_mode
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.this]
}

# RDS rotates the secret that it manages; only the schedule is ours.
resource "aws_secretsmanager_secret_rotation" "master" {
  secret_id          = aws_db_instance.this.master_user_secret[0].secret_arn
  rotate_immediately = false
  rotation_rules {
    automatically_after_days = var.password_rotation_days
  }
}

resource "aws_iam_role" "monitoring" {
  name                 = "${local.identifier}-monitoring"
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "monitoring.rds.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
