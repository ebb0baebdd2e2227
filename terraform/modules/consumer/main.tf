# The consumers of one stream: an ECS service of the project's image beside Airflow. Its tasks share the shards of the
# stream by leases in the warehouse, so that their number may change at any time.
locals {
  service   = "stream-${replace(var.dataset, "/[._]/", "-")}"
  full_name = "${var.name}-${local.service}"
  role      = "${var.name}-stream-${substr(sha256(var.dataset), 0, 8)}" # a role's name has 64 characters at most
  task_arn  = "arn:aws:iam::${var.account_id}:role/${local.role}-task"
  start_arn = "arn:aws:iam::${var.account_id}:role/${local.role}-start" # ECS's: it starts tasks
  log_group = "/${var.name}/${local.service}"
  alive     = "/tmp/alive" # the file that a consumer touches every few seconds

  # The secret of the settings has the key by which consumers recognise people who were forgotten. The profile prod would
  # need settings of tasks.
  environment = merge({ for name, value in var.settings : name => value if name != "WAYBILL_PROFILE" }, {
    AWS_DEFAULT_REGION             = var.region
    AWS_RETRY_MODE                 = "standard"
    AWS_MAX_ATTEMPTS               = "5"
    AIRFLOW_CONN_WAYBILL_WAREHOUSE = var.warehouse_connection
    WAYBILL_METRICS                = "true"
    WAYBILL_STREAMS                = jsonencode({ (var.dataset) = var.stream_name })
  })

  container = {
    name                   = "consumer"
    image                  = var.image
    command                = ["waybill", "stream", "run", "--dataset", var.dataset, "--alive", local.alive]
    user                   = "50000:0"
    essential              = true
    readonlyRootFilesystem = true
    stopTimeout            = 60 # a consumer ends within 30 seconds
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    portMappings           = []
    environment            = [for name, value in local.environment : { name = name, value = value }]
    healthCheck            = { command = ["CMD-SHELL", "find ${local.alive} -mmin -1 | grep -q ."], interval = 30, timeout = 10, retries = 4, startPeriod = 60 }
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = local.log_group, awslogs-region = var.region, awslogs-stream-prefix = "consumer", mode = "non-blocking", max-buffer-size = "4m" }
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.data_key_arn
}

resource "aws_iam_role" "this" {
  for_each             = { task = "Consumers of the stream of ${var.dataset}.", start = "ECS: pulls the image of consumers and writes their log." }
  name                 = "${local.role}-${each.key}"
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

resource "aws_iam_role_policy" "start" {
  #checkov:skip=CKV_AWS_355:Logging in to ECR knows no resource
  name = "start-tasks"
  role = aws_iam_role.this["start"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
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
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${local.log_group}:log-stream:*"
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "consume" {
  role       = aws_iam_role.this["task"].name
  policy_arn = var.consume_policy_arn
}

# A test compares the file with the calls that the code makes.
resource "aws_iam_role_policy" "work" {
  #checkov:skip=CKV_AWS_355:PutMetricData knows no resource; a condition on the namespace bounds it
  #checkov:skip=CKV_AWS_290:As above
  name = "work"
  role = aws_iam_role.this["task"].id
  policy = jsonencode(jsondecode(templatefile("${path.module}/policies/consumer.json.tftpl", {
    name                 = var.name
    account_id           = var.account_id
    region               = var.region
    archive              = "arn:aws:s3:::${var.settings["WAYBILL_RAW_BUCKET"]}/${var.archive_prefix}"
    metrics_namespace    = var.metrics_namespace
    settings_secret_name = var.settings["WAYBILL_SECRET_ID"]
  })))
}

resource "aws_iam_role_policy" "warehouse" {
  name = "warehouse" # of its own: the id of a database is known only once it is there
  role = aws_iam_role.this["task"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Warehouse"
      Effect   = "Allow"
      Action   = "rds-db:connect"
      Resource = "arn:aws:rds-db:${var.region}:${var.account_id}:dbuser:${var.warehouse.resource_id}/${var.warehouse.role}"
    }]
  })
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.full_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.size.cpu)
  memory                   = tostring(var.size.memory)
  execution_role_arn       = local.start_arn
  task_role_arn            = local.task_arn
  container_definitions    = jsonencode([local.container])
  skip_destroy             = true # rolling back needs the revision before

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "tmp"
  }

  depends_on = [aws_iam_role.this]
}

resource "aws_ecs_service" "this" {
  name                               = local.service
  cluster                            = var.cluster
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.size.tasks
  platform_version                   = "LATEST"
  propagate_tags                     = "SERVICE"
  enable_ecs_managed_tags            = true
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  wait_for_steady_state              = true

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_iam_role_policy.start,
    aws_iam_role_policy.warehouse,
    aws_iam_role_policy.work,
    aws_iam_role_policy_attachment.consume,
  ]
}
