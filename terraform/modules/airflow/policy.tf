# What the application may do, beside reading input and writing output, which are managed policies of the module
# `security`. A test compares the file with the calls that the code makes. roles.tf has what its containers need on ECS.
resource "aws_iam_role_policy" "work" {
  #checkov:skip=CKV_AWS_355:PutMetricData knows no resource; a condition on the namespace bounds it
  #checkov:skip=CKV_AWS_290:As above
  name = "work"
  role = aws_iam_role.this["airflow"].id
  policy = jsonencode(jsondecode(templatefile("${path.module}/policies/application.json.tftpl", {
    name                   = var.name
    account_id             = var.account_id
    region                 = var.region
    connections_prefix     = var.connections_prefix
    settings_secret_name   = var.settings_secret_name
    output_role_arn        = var.output_role_arn
    landed_queue_arns      = jsonencode(var.landed_queue_arns)
    dead_letter_queue_arns = jsonencode(var.dead_letter_queue_arns)
    alerts_topic_arn       = var.alerts_topic_arn
    metrics_namespace      = var.metrics_namespace
    catalog_database       = var.catalog_database
    training_database      = var.training_database
  })))
}

resource "aws_iam_role_policy" "instances" {
  for_each = { airflow = [var.warehouse.role, var.warehouse.reader], books = [var.warehouse.reader] }
  name     = "instances" # of its own: the id of a database is known only once it is there
  role     = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Warehouse"
        Effect   = "Allow"
        Action   = "rds-db:connect"
        Resource = [for role in each.value : "arn:aws:rds-db:${var.region}:${var.account_id}:dbuser:${var.warehouse.resource_id}/${role}"]
      },
    ]
  })
}
