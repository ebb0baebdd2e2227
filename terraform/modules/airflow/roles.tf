# The execution role is ECS's: it pulls images, writes logs and reads the secrets of Airflow before a container starts.
# The task role is the application's. The bootstrap role is the only one that reads the master passwords. The books role
# reads the warehouse and lists files; its task also starts with it, so that whoever may pass it gets no secret.
locals {
  roles = {
    execution = "ECS: pulls images, writes logs, reads Airflow's secrets."
    airflow   = "The application: Airflow and its tasks."
    bootstrap = "Creates database roles and missing secret values."
    books     = "Prints the books: reads the warehouse, lists files."
  }
  role_arns = { for role in keys(local.roles) : role => "arn:aws:iam::${var.account_id}:role/${var.name}-${role}" }

  secret_arn = "arn:aws:secretsmanager:${var.region}:${var.account_id}:secret:"

  pull = [
    {
      Sid      = "LogIn"
      Effect   = "Allow"
      Action   = "ecr:GetAuthorizationToken"
      Resource = "*"
    },
    {
      Sid      = "PullImage"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = var.repository_arn
    },
  ]

  decrypt = {
    Sid       = "DecryptSecrets"
    Effect    = "Allow"
    Action    = "kms:Decrypt"
    Resource  = "arn:aws:kms:${var.region}:${var.account_id}:key/*"
    Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.name}-data" } }
  }
}

resource "aws_iam_role" "this" {
  for_each             = local.roles
  name                 = "${var.name}-${each.key}"
  description          = each.value
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:aws:ecs:${var.region}:${var.account_id}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "execution" {
  #checkov:skip=CKV_AWS_355:Logging in to ECR knows no resource
  name = "start-tasks"
  role = aws_iam_role.this["execution"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.pull, [
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${local.log_arn}/*:log-stream:*"
      },
      {
        Sid      = "ReadSecrets"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = "${local.secret_arn}${var.airflow_secret.name}-??????"
      },
      local.decrypt,
    ])
  })
}

resource "aws_iam_role_policy" "books" {
  #checkov:skip=CKV_AWS_355:Logging in to ECR knows no resource
  name = "books"
  role = aws_iam_role.this["books"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.pull, [
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${local.log_arn}/books:log-stream:*"
      },
      ], jsondecode(templatefile("${path.module}/policies/books.json.tftpl", {
        raw = "arn:aws:s3:::${var.settings["WAYBILL_RAW_BUCKET"]}"
    })).Statement)
  })
}

# What the containers themselves need on ECS; policy.tf has what the application needs. The policy for writing output
# allows the data key for S3.
resource "aws_iam_role_policy" "container" {
  name = "containers"
  role = aws_iam_role.this["airflow"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "TaskLogs"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = "arn:aws:s3:::${local.bucket}/logs/*"
      },
      {
        Sid       = "ListTaskLogs"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = "arn:aws:s3:::${local.bucket}"
        Condition = { StringLike = { "s3:prefix" = "logs/*" } }
      },
      {
        Sid      = "Metrics" # of the collector
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = ["${local.log_arn}/metrics", "${local.log_arn}/metrics:log-stream:*"]
      },
      {
        Sid      = "ProtectBusyTasks"
        Effect   = "Allow"
        Action   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
        Resource = "arn:aws:ecs:${var.region}:${var.account_id}:task/${var.name}/*"
      },
      ], !var.enable_execute_command ? [] : [{
        Sid      = "ExecuteCommand"
        Effect   = "Allow"
        Action   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
        Resource = "*"
        }], var.lineage_domain == null ? [] : [{
        Sid      = "SendLineage"
        Effect   = "Allow"
        Action   = "datazone:PostLineageEvent"
        Resource = "arn:aws:datazone:${var.region}:${var.account_id}:domain/${var.lineage_domain}"
    }])
  })
}

resource "aws_iam_role_policy" "bootstrap" {
  name = "bootstrap"
  role = aws_iam_role.this["bootstrap"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(jsondecode(templatefile("${path.module}/policies/bootstrap.json.tftpl", {
      name                 = var.name
      account_id           = var.account_id
      region               = var.region
      master_secret_arns   = jsonencode([var.warehouse.master_secret_arn, var.metadata.master_secret_arn])
      airflow_secret_name  = var.airflow_secret.name
      settings_secret_name = var.settings_secret_name
      })).Statement, var.broker == null ? [] : [{
      Sid    = "SetBrokerPassword"
      Effect = "Allow"
      Action = ["elasticache:DescribeUsers", "elasticache:ModifyUser"]
      Resource = [
        "arn:aws:elasticache:${var.region}:${var.account_id}:user:${var.broker.user}",
        "arn:aws:elasticache:${var.region}:${var.account_id}:usergroup:${var.name}-broker",
      ]
    }])
  })
}

resource "aws_iam_role_policy_attachment" "application" {
  for_each   = var.policy_arns
  role       = aws_iam_role.this["airflow"].name
  policy_arn = each.value
}
