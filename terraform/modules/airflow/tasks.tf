# Task definitions. containers/airflow.cfg of the image has the settings that are the same everywhere.
locals {
  host = local.deployed ? var.address.host : null
  api  = local.celery ? "http://api-server:8080" : "http://127.0.0.1:8080"

  parallelism = local.celery ? var.max_workers * var.concurrency : var.concurrency

  environment = merge({
    AWS_DEFAULT_REGION                          = var.region
    AWS_RETRY_MODE                              = "standard"
    AWS_MAX_ATTEMPTS                            = "5"
    AIRFLOW__CORE__EXECUTOR                     = local.celery ? "CeleryExecutor" : "LocalExecutor"
    AIRFLOW__CORE__AUTH_MANAGER                 = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    AIRFLOW__CORE__PARALLELISM                  = tostring(local.parallelism)
    AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT = tostring(4 * (local.parallelism - 3) + 3) # see waybill.pools
    AIRFLOW__CORE__HOSTNAME_CALLABLE            = "airflow.utils.net.get_host_ip_address"
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL     = "${local.api}/execution/"
    AIRFLOW__API__BASE_URL                      = "https://${coalesce(local.host, "localhost")}"
    AIRFLOW__FAB__ENABLE_PROXY_FIX              = "True"
    FORWARDED_ALLOW_IPS                         = "*" # only the load balancer reaches port 8080
    AIRFLOW__CELERY__WORKER_CONCURRENCY         = tostring(var.concurrency)
    PGSSLMODE                                   = "require" # DATABASE_URL has no mode that all drivers accept
    AIRFLOW__LOGGING__REMOTE_LOGGING            = "True"
    AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER    = "s3://${local.bucket}/logs"
    AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID        = "aws_default"
    AIRFLOW__LOGGING__DELETE_LOCAL_LOGS         = "True"
    AIRFLOW__METRICS__OTEL_ON                   = "True"
    AIRFLOW__METRICS__LEGACY_NAMES_ON           = "False"
    AIRFLOW__METRICS__METRICS_ALLOW_LIST        = join(",", sort(keys(local.metrics)))
    OTEL_EXPORTER_OTLP_ENDPOINT                 = "http://127.0.0.1:4318"
    OTEL_EXPORTER_OTLP_PROTOCOL                 = "http/protobuf"
    OTEL_SERVICE_NAME                           = var.name
    AIRFLOW__SECRETS__BACKEND                   = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
    AIRFLOW__SECRETS__BACKEND_KWARGS = jsonencode({
      connections_prefix         = var.connections_prefix
      connections_lookup_pattern = "^(aws_default$|waybill_)" # no call for any other name
      variables_prefix           = null
      config_prefix              = null
    })
    # Of sums since the start of a process, the collector would lose the first value.
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE = "delta"
    }, var.lineage_domain == null ? {} : {
    AIRFLOW__OPENLINEAGE__TRANSPORT = jsonencode({
      type = "waybill.outputs.lineage_transport.NamesOnlyTransport"
      to   = { type = "amazon_datazone_api", domainId = var.lineage_domain, region = var.region }
    })
  }, var.settings)

  # Variables of a container, and the key of Airflow's secret that ECS injects.
  secrets = merge({
    AIRFLOW__CORE__FERNET_KEY           = "FERNET_KEY"
    AIRFLOW__API__SECRET_KEY            = "SESSION_SECRET"
    AIRFLOW__API_AUTH__JWT_SECRET       = "JWT_SECRET"
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN = "DATABASE_URL"
  }, local.celery ? { AIRFLOW__CELERY__BROKER_URL = "BROKER_URL" } : {})

  oidc = !local.deployed ? {} : {
    WAYBILL_OIDC_ISSUER       = var.oidc.issuer
    WAYBILL_OIDC_CLIENT_ID    = var.oidc.client_id
    WAYBILL_OIDC_GROUPS_CLAIM = var.oidc.groups_claim
    WAYBILL_OIDC_ROLES        = jsonencode(var.oidc.roles)
    WAYBILL_OIDC_TRUST_EMAIL  = tostring(var.oidc.trust_email)
  }

  healthy = ["CMD", "python", "-S", "/opt/waybill/containers/healthy.py"]

  # With Celery, `airflow jobs check` asks about this container: a new task that does not work fails its deployment. The
  # local executor shares one CPU, and healthy.py starts much faster.
  components = {
    api-server = {
      command     = ["airflow", "api-server", "--proxy-headers"]
      health      = concat(local.healthy, ["http://127.0.0.1:8080/execution/health"])
      environment = local.oidc
      secrets     = { WAYBILL_OIDC_CLIENT_SECRET = "OIDC_CLIENT_SECRET" } #checkov:skip=CKV_SECRET_6:The name of a key, not its value
    }
    scheduler = {
      command     = ["airflow", "scheduler"]
      health      = local.celery ? ["CMD-SHELL", "airflow jobs check --job-type SchedulerJob --local"] : concat(local.healthy, ["${local.api}/api/v2/monitor/health", "scheduler"])
      environment = {}
      secrets     = {}
    }
    dag-processor = {
      command     = ["airflow", "dag-processor"]
      health      = local.celery ? ["CMD-SHELL", "airflow jobs check --job-type DagProcessorJob --local"] : concat(local.healthy, ["${local.api}/api/v2/monitor/health", "dag_processor"])
      environment = {}
      secrets     = {}
    }
    triggerer = {
      command     = ["airflow", "triggerer"]
      health      = local.celery ? ["CMD-SHELL", "airflow jobs check --job-type TriggererJob --local"] : concat(local.healthy, ["${local.api}/api/v2/monitor/health", "triggerer"])
      environment = {}
      secrets     = {}
    }
    worker = {
      command     = ["airflow", "celery", "worker", "--pid", "/tmp/worker.pid"]
      health      = ["CMD-SHELL", "celery --app airflow.providers.celery.executors.celery_executor.app inspect ping --destination \"celery@$(hostname)\""]
      environment = {}
      secrets     = {}
    }
  }

  run_once = {
    bootstrap = {
      command = ["waybill", "bootstrap"]
      environment = {
        AWS_DEFAULT_REGION = var.region
        WAYBILL_BOOTSTRAP = jsonencode({
          airflow_secret  = var.airflow_secret.name
          settings_secret = var.settings_secret_name
          stored_by_hand  = values(local.components.api-server.secrets)
          broker          = var.broker == null ? null : { host = var.broker.host, port = var.broker.port, user_id = var.broker.user, user = var.broker.user }
          warehouse = {
            host         = var.warehouse.host
            port         = var.warehouse.port
            database     = var.warehouse.database
            owner        = var.warehouse.role
            admin_secret = var.warehouse.master_secret_arn
          }
          metadata = {
            host         = var.metadata.host
            port         = var.metadata.port
            database     = var.metadata.database
            owner        = var.metadata.role
            admin_secret = var.metadata.master_secret_arn
          }
        })
      }
      secrets = {}
    }
    migrate = {
      command     = ["sh", "-c", "waybill migrate && airflow db migrate"]
      environment = merge(local.environment, { AIRFLOW_CONN_WAYBILL_WAREHOUSE = var.warehouse_connection }) # for `waybill`
      secrets     = local.secrets
    }
    books = {
      command = ["timeout", "1500", "sh", "/opt/waybill/containers/books.sh"]
      # Only the profile prod needs the mask key, and with it the secret of the settings.
      environment = merge({ for name, value in var.settings : name => value if !contains(["WAYBILL_PROFILE", "WAYBILL_SECRET_ID"], name) }, {
        AWS_DEFAULT_REGION             = var.region
        AIRFLOW_CONN_WAYBILL_WAREHOUSE = var.reader_connection
      })
      secrets = {}
    }
  }

  # What all containers have in common.
  container = {
    image                  = var.image
    user                   = "50000:0"
    essential              = true
    readonlyRootFilesystem = !var.enable_execute_command # its agent writes to the root file system
    stopTimeout            = 120                         # seconds, the most that Fargate allows
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    mountPoints            = [for name, path in local.volumes : { sourceVolume = name, containerPath = path, readOnly = false }]
  }
  volumes = { tmp = "/tmp", logs = "/opt/airflow/logs" } # the image declares them, so that they belong to its user

  service_containers = { for service, components in local.services : service => [
    for component in components : merge(local.container, {
      name         = component
      command      = local.components[component].command
      environment  = [for name, value in merge(local.environment, local.components[component].environment) : { name = name, value = value }]
      secrets      = [for name, key in merge(local.secrets, local.components[component].secrets) : { name = name, valueFrom = "${var.airflow_secret.arn}:${key}::" }]
      portMappings = component == "api-server" ? [{ name = "api-server", containerPort = 8080, hostPort = 8080, protocol = "tcp", appProtocol = "http" }] : []
      dependsOn    = length(components) > 1 && component != "api-server" ? [{ containerName = "api-server", condition = "HEALTHY" }] : []
      healthCheck  = { command = local.components[component].health, interval = local.celery ? 60 : 30, timeout = 30, retries = 4, startPeriod = 180 }
      logConfiguration = {
        logDriver = "awslogs"
        options   = { awslogs-group = "${local.log_group}/${service}", awslogs-region = var.region, awslogs-stream-prefix = component, mode = "non-blocking", max-buffer-size = "4m" }
      }
    })
  ] }

  task_containers = { for task, what in local.run_once : task => [merge(local.container, {
    name         = task
    command      = what.command
    environment  = [for name, value in what.environment : { name = name, value = value }]
    secrets      = [for name, key in what.secrets : { name = name, valueFrom = "${var.airflow_secret.arn}:${key}::" }]
    portMappings = []
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = "${local.log_group}/${task}", awslogs-region = var.region, awslogs-stream-prefix = task }
    }
  })] }
}

resource "aws_ecs_task_definition" "service" {
  for_each                 = local.deployed ? local.services : {}
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.services[each.key].cpu)
  memory                   = tostring(var.services[each.key].memory)
  execution_role_arn       = local.role_arns.execution
  task_role_arn            = local.role_arns.airflow
  container_definitions    = jsonencode(concat(local.service_containers[each.key], [local.collector]))
  skip_destroy             = true # rolling back needs the revision before

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  ephemeral_storage {
    size_in_gib = var.ephemeral_gib
  }

  dynamic "volume" {
    for_each = local.volumes
    content {
      name = volume.key
    }
  }

  depends_on = [aws_iam_role.this]
}

resource "aws_ecs_task_definition" "run_once" {
  for_each                 = local.deployed ? local.tasks : []
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "2048"
  execution_role_arn       = each.key == "books" ? local.role_arns.books : local.role_arns.execution
  task_role_arn            = each.key == "migrate" ? local.role_arns.airflow : local.role_arns[each.key]
  container_definitions    = jsonencode(local.task_containers[each.key])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  dynamic "volume" {
    for_each = local.volumes
    content {
      name = volume.key
    }
  }

  depends_on = [aws_iam_role.this]
}
