# Airflow's connections, where its secrets backend looks for them. None holds a password: PostgreSQL and AWS are entered
# with the role of the machine.
resource "aws_secretsmanager_secret" "connection" {
  #checkov:skip=CKV2_AWS_57:There is nothing to rotate: the connections hold addresses, no passwords
  for_each                = var.connections
  name                    = "${var.name}/airflow/connections/${each.key}"
  description             = "Airflow connection ${each.key}."
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.secret_recovery_days
}

# What nobody else may see, such as the key of the pseudonyms: {"WAYBILL_MASK_KEY": "..."}. The value is put in by hand, so
# that it is not in Terraform's state.
resource "aws_secretsmanager_secret" "settings" {
  #checkov:skip=CKV2_AWS_57:Another key would give other pseudonyms: changing it is a decision, not a routine
  name                    = "${var.name}/settings"
  description             = "Settings of the application that are secret."
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.secret_recovery_days
}

resource "aws_secretsmanager_secret_version" "connection" {
  for_each      = aws_secretsmanager_secret.connection
  secret_id     = each.value.id
  secret_string = var.connections[each.key]
}
