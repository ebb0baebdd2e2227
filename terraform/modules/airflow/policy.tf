# What the application may do beside reading input and writing output. Only calls that the code makes.
resource "aws_iam_role_policy" "work" {
  #checkov:skip=CKV_AWS_355:PutMetricData knows no resource; a condition on the namespace bounds it
  #checkov:skip=CKV_AWS_290:As above
  name = "work" # what the DAGs need, beside reading input and writing output
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Metrics"
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = [var.metrics_namespace, "AmazonMWAA"] } }
      },
      {
        Sid    = "Connections"
        Effect = "Allow"
        Action = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource = [
          "arn:aws:secretsmanager:${var.region}:${var.account_id}:secret:${var.connections_prefix}/*",
          "arn:aws:secretsmanager:${var.region}:${var.account_id}:secret:${var.settings_secret_name}-*",
        ]
      },
      {
        Sid      = "BecomeWriter"
        Effect   = "Allow"
        Action   = "sts:AssumeRole"
        Resource = var.output_role_arn
      },
      {
        Sid      = "Alerts"
        Effect   = "Allow"
        Action   = "sns:Publish"
        Resource = var.alerts_topic_arn
      },
      {
        Sid      = "Landed"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
        Resource = var.landed_queue_arns
      },
      {
        Sid      = "Stream"
        Effect   = "Allow"
        Action   = ["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"]
        Resource = var.stream_arn
      },
      {
        Sid    = "Partitions"
        Effect = "Allow"
        Action = [
          "glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartition", "glue:GetPartitions", "glue:BatchGetPartition",
          "glue:BatchCreatePartition", "glue:CreatePartition", "glue:UpdatePartition", "glue:BatchUpdatePartition",
        ]
        Resource = [
          "arn:aws:glue:${var.region}:${var.account_id}:catalog",
          "arn:aws:glue:${var.region}:${var.account_id}:database/${var.catalog_database}",
          "arn:aws:glue:${var.region}:${var.account_id}:table/${var.catalog_database}/*",
        ]
      },
      {
        Sid      = "SparkOnGlue"
        Effect   = "Allow"
        Action   = ["glue:StartJobRun", "glue:GetJob", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"]
        Resource = "arn:aws:glue:${var.region}:${var.account_id}:job/${var.spark.glue_job_name}"
      },
      {
        Sid       = "HandRoleToSpark"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = var.spark.role_arn
        Condition = { StringEquals = { "iam:PassedToService" = ["glue.amazonaws.com", "emr-serverless.amazonaws.com"] } }
      },
    ]
  })
}

resource "aws_iam_role_policy" "instances" {
  name = "instances" # of its own: their ids are known only once they are there
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Warehouse"
        Effect   = "Allow"
        Action   = "rds-db:connect"
        Resource = [for role in var.database_roles : "arn:aws:rds-db:${var.region}:${var.account_id}:dbuser:${var.database_resource_id}/${role}"]
      },
      {
        Sid      = "SparkOnEmr"
        Effect   = "Allow"
        Action   = ["emr-serverless:StartApplication", "emr-serverless:GetApplication", "emr-serverless:StartJobRun", "emr-serverless:GetJobRun", "emr-serverless:CancelJobRun"]
        Resource = [var.spark.emr_application_arn, "${var.spark.emr_application_arn}/jobruns/*"]
      },
    ]
  })
}
