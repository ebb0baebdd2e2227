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

# Terraform creates the secrets below without a value, so that its state has none. `waybill bootstrap` writes what is
# missing.

# Keys and addresses of Airflow, a JSON object: FERNET_KEY, JWT_SECRET, SESSION_SECRET, DATABASE_URL, BROKER_URL,
# OIDC_CLIENT_SECRET.
resource "aws_secretsmanager_secret" "airflow" {
  #checkov:skip=CKV2_AWS_57:`waybill bootstrap --rotate` changes one value; a routine would log out users and break running tasks
  name                    = "${var.name}/airflow"
  description             = "Keys and addresses of Airflow."
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.secret_recovery_days
}

# Secret settings of the application, a JSON object: WAYBILL_MASK_KEY.
resource "aws_secretsmanager_secret" "settings" {
  #checkov:skip=CKV2_AWS_57:Another key gives other pseudonyms: changing it is a decision, not a routine
  name                    = "${var.name}/settings"
  description             = "Secret settings of the application."
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.secret_recovery_days
}

resource "aws_secretsmanager_secret_version" "connection" {
  for_each      = aws_secretsmanager_secret.connection
  secret_id     = each.value.id
  secret_string = var.connections[each.key]
}
