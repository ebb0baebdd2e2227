mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                            = "waybill-test"
  account_id                      = "123456789012"
  region                          = "eu-central-1"
  data_key_arn                    = "arn:aws:kms:eu-central-1:123456789012:key/data"
  permissions_boundary_arn        = "arn:aws:iam::123456789012:policy/waybill-test-boundary"
  image                           = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill-test@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  repository_arn                  = "arn:aws:ecr:eu-central-1:123456789012:repository/waybill-test"
  run_task                        = "true" # a command that succeeds; the script of deploy/ is not run
  executor                        = "celery"
  concurrency                     = 4
  max_workers                     = 6
  container_insights              = "enabled"
  address                         = { host = "airflow.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1", zone_id = "Z1" }
  oidc                            = { issuer = "https://login.example.com", client_id = "waybill", roles = { operators = "operator", admins = "admin" } }
  deletion_protection             = true
  vpc_id                          = "vpc-1"
  subnet_ids                      = ["subnet-1", "subnet-2"]
  public_subnet_ids               = ["subnet-3", "subnet-4"]
  security_group_id               = "sg-airflow"
  load_balancer_security_group_id = "sg-load-balancer"
  log_retention_days              = 30
  task_log_days                   = 90
  noncurrent_days                 = 14
  logs_bucket                     = "waybill-test-logs-123456789012"
  broker                          = { host = "broker.example.com", port = 6379, user = "waybill-test-airflow" }
  airflow_secret                  = { name = "waybill-test/airflow", arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-AbCdEf" }
  settings_secret_name            = "waybill-test/settings"
  connections_prefix              = "waybill-test/airflow/connections"
  landed_queue_arns               = ["arn:aws:sqs:eu-central-1:123456789012:waybill-test-orders"]
  dead_letter_queue_arns          = ["arn:aws:sqs:eu-central-1:123456789012:waybill-test-orders-dead"]
  output_role_arn                 = "arn:aws:iam::123456789012:role/waybill-test-output-writer"
  alerts_topic_arn                = "arn:aws:sns:eu-central-1:123456789012:waybill-test-alerts"
  metrics_namespace               = "Waybill"
  catalog_database                = "waybill_processed"
  training_database               = "waybill_training"
  settings                        = { WAYBILL_PROFILE = "prod", WAYBILL_SECRET_ID = "waybill-test/settings", WAYBILL_RAW_BUCKET = "raw", WAYBILL_TIMEZONE = "Europe/Berlin" }

  policy_arns = {
    read_input   = "arn:aws:iam::123456789012:policy/waybill-test-read-input"
    write_output = "arn:aws:iam::123456789012:policy/waybill-test-write-output"
  }
  services = {
    api-server    = { cpu = 512, memory = 2048, tasks = 2 }
    scheduler     = { cpu = 1024, memory = 2048, tasks = 2 }
    dag-processor = { cpu = 512, memory = 2048, tasks = 1 }
    triggerer     = { cpu = 512, memory = 1024, tasks = 1 }
    worker        = { cpu = 2048, memory = 8192, tasks = 2 }
  }
  warehouse = {
    host              = "warehouse.example.com"
    port              = 5432
    database          = "waybill"
    role              = "waybill"
    reader            = "waybill_reader"
    master_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-warehouse"
    resource_id       = "db-TEST"
  }
  reader_connection    = "{\"conn_type\": \"postgres\", \"login\": \"waybill_reader\", \"extra\": {\"iam\": true}}"
  warehouse_connection = "{\"conn_type\": \"postgres\", \"host\": \"warehouse.example.com\", \"extra\": {\"iam\": true}}"
  metadata = {
    host              = "metadata.example.com"
    port              = 5432
    database          = "airflow"
    role              = "airflow"
    master_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-metadata"
  }
}

run "containers" {
  command = apply

  assert {
    condition     = toset(flatten([for containers in merge(local.service_containers, local.task_containers) : containers[*].image])) == toset([var.image])
    error_message = "Every container of the project must run the image with its digest."
  }
  assert {
    condition = alltrue(flatten([for definition in merge(aws_ecs_task_definition.service, aws_ecs_task_definition.run_once) : [
      for container in jsondecode(definition.container_definitions) : container.readonlyRootFilesystem && container.linuxParameters.initProcessEnabled && container.linuxParameters.capabilities.drop == ["ALL"]
    ]]))
    error_message = "Containers must have a read-only root file system, an init process and no capabilities."
  }
  assert {
    condition = alltrue(flatten([for definition in merge(aws_ecs_task_definition.service, aws_ecs_task_definition.run_once) : [
      for container in jsondecode(definition.container_definitions) : container.stopTimeout == 120 && container.user == "50000:0" if container.name != "collector"
    ]]))
    error_message = "Tasks must have the 120 seconds that Fargate allows to stop, and must not run as root."
  }
  assert {
    condition     = alltrue([for containers in local.service_containers : alltrue([for container in containers : length(container.healthCheck.command) > 0])])
    error_message = "ECS must know whether a container of a service is healthy."
  }
  assert {
    condition = alltrue([for definition in merge(aws_ecs_task_definition.service, aws_ecs_task_definition.run_once) :
    one(definition.runtime_platform).cpu_architecture == "ARM64" && definition.network_mode == "awsvpc"])
    error_message = "Tasks must run on ARM64 by default, with their own network interface."
  }
  assert {
    condition     = alltrue([for definition in aws_ecs_task_definition.service : one(definition.ephemeral_storage).size_in_gib == 30 && definition.skip_destroy])
    error_message = "Storage must be bounded, and the revision before must remain for rolling back."
  }
  assert {
    condition     = { for name, definition in aws_ecs_task_definition.service : name => "${definition.cpu} ${definition.memory}" } == { for name, service in var.services : name => "${service.cpu} ${service.memory}" }
    error_message = "Each service must have its size."
  }
  assert {
    condition     = toset([for container in jsondecode(aws_ecs_task_definition.service["scheduler"].container_definitions) : container.image]) == toset([var.image, var.collector_image])
    error_message = "A collector of metrics must run beside Airflow."
  }
}

run "configuration" {
  command = apply

  assert {
    condition = alltrue([for name, value in {
      AIRFLOW__CORE__EXECUTOR                     = "CeleryExecutor"
      AIRFLOW__CORE__PARALLELISM                  = "24"
      AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT = "87"
      AIRFLOW__CORE__EXECUTION_API_SERVER_URL     = "http://api-server:8080/execution/"
      AIRFLOW__API__BASE_URL                      = "https://airflow.example.com"
      AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER    = "s3://waybill-test-airflow-123456789012/logs"
      PGSSLMODE                                   = "require"
      WAYBILL_RAW_BUCKET                          = "raw"
    } : contains(local.service_containers.worker[0].environment, { name = name, value = value })])
    error_message = "Workers must have the settings of Airflow and of the application."
  }
  assert {
    condition = jsondecode(local.environment.AIRFLOW__SECRETS__BACKEND_KWARGS) == {
      connections_prefix = "waybill-test/airflow/connections", connections_lookup_pattern = "^(aws_default$|waybill_)", variables_prefix = null, config_prefix = null
    }
    error_message = "Connections must come from Secrets Manager."
  }
  assert {
    condition     = jsondecode(local.oidc.WAYBILL_OIDC_ROLES) == { operators = "operator", admins = "admin" } && local.oidc.WAYBILL_OIDC_ISSUER == "https://login.example.com"
    error_message = "Users must log in at the issuer."
  }
  assert {
    condition     = !contains(keys(local.environment), "AIRFLOW__OPENLINEAGE__TRANSPORT") && !strcontains(aws_iam_role_policy.container.policy, "datazone")
    error_message = "Without a domain, nothing about lineage is sent, and nobody may send it."
  }
  assert {
    condition     = !strcontains(local.environment.AIRFLOW__CORE__AUTH_MANAGER, "simple")
    error_message = "The simple auth manager is for one machine."
  }
}

run "lineage_is_sent_only_if_a_domain_is_named" {
  command = apply

  variables {
    lineage_domain = "dzd_4f8xample"
  }
  assert {
    condition = jsondecode(local.environment.AIRFLOW__OPENLINEAGE__TRANSPORT) == {
      type = "waybill.outputs.lineage_transport.NamesOnlyTransport", to = { type = "amazon_datazone_api", domainId = "dzd_4f8xample", region = "eu-central-1" }
    }
    error_message = "Events must go to the domain, and only by the transport that keeps values back."
  }
  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.container.policy).Statement : statement.Resource if statement.Action == "datazone:PostLineageEvent"] == [
      "arn:aws:datazone:eu-central-1:123456789012:domain/dzd_4f8xample"
    ]
    error_message = "Airflow may send events to this domain and to no other."
  }
}

run "secrets_are_injected_by_key" {
  command = apply

  assert {
    condition = { for secret in local.service_containers.worker[0].secrets : secret.name => secret.valueFrom } == {
      AIRFLOW__CORE__FERNET_KEY           = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-AbCdEf:FERNET_KEY::"
      AIRFLOW__API__SECRET_KEY            = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-AbCdEf:SESSION_SECRET::"
      AIRFLOW__API_AUTH__JWT_SECRET       = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-AbCdEf:JWT_SECRET::"
      AIRFLOW__DATABASE__SQL_ALCHEMY_CONN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-AbCdEf:DATABASE_URL::"
      AIRFLOW__CELERY__BROKER_URL         = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-AbCdEf:BROKER_URL::"
    }
    error_message = "ECS must inject single keys of the secret; Terraform must never see a value."
  }
  assert {
    condition     = [for service, containers in local.service_containers : service if contains(containers[0].secrets[*].name, "WAYBILL_OIDC_CLIENT_SECRET")] == ["api-server"]
    error_message = "Only the API server may know the secret of the OIDC client."
  }
  assert {
    condition = length([for name in flatten([for containers in merge(local.service_containers, local.task_containers) : containers[0].environment[*].name]) :
    name if can(regex("PASSWORD|FERNET|JWT|SECRET_KEY|SQL_ALCHEMY|BROKER_URL|CLIENT_SECRET|MASK_KEY", name))]) == 0
    error_message = "No secret may be a plain variable."
  }
  assert {
    condition     = length(local.task_containers.bootstrap[0].secrets) == 0 && jsondecode({ for one in local.task_containers.bootstrap[0].environment : one.name => one.value }.WAYBILL_BOOTSTRAP).warehouse.admin_secret == var.warehouse.master_secret_arn
    error_message = "Bootstrap must be told where the master passwords are, not what they are."
  }
  assert {
    condition     = jsondecode({ for one in local.task_containers.bootstrap[0].environment : one.name => one.value }.WAYBILL_BOOTSTRAP).stored_by_hand == ["OIDC_CLIENT_SECRET"]
    error_message = "Bootstrap must fail without the secret of the log-in client: no task could start."
  }
}

run "roles_are_apart" {
  command = apply

  assert {
    condition     = alltrue([for role in aws_iam_role.this : role.permissions_boundary == var.permissions_boundary_arn])
    error_message = "Every role must have the boundary."
  }
  assert {
    condition = alltrue([for role in aws_iam_role.this : one(jsondecode(role.assume_role_policy).Statement).Condition == {
      StringEquals = { "aws:SourceAccount" = "123456789012" }, ArnLike = { "aws:SourceArn" = "arn:aws:ecs:eu-central-1:123456789012:*" }
    }])
    error_message = "Only tasks of this account may take a role."
  }
  assert {
    condition = alltrue([for name, definition in merge(aws_ecs_task_definition.service, aws_ecs_task_definition.run_once) :
    definition.execution_role_arn == "arn:aws:iam::123456789012:role/waybill-test-execution" && definition.task_role_arn != definition.execution_role_arn if name != "books"])
    error_message = "The role that starts tasks must not be the role of the tasks."
  }
  assert {
    condition = { for name, definition in merge(aws_ecs_task_definition.service, aws_ecs_task_definition.run_once) : name => definition.task_role_arn if definition.task_role_arn != "arn:aws:iam::123456789012:role/waybill-test-airflow" } == {
      bootstrap = "arn:aws:iam::123456789012:role/waybill-test-bootstrap"
      books     = "arn:aws:iam::123456789012:role/waybill-test-books"
    }
    error_message = "Only bootstrap and books may have their roles."
  }
  assert {
    condition = [for name, policy in {
      execution = aws_iam_role_policy.execution, containers = aws_iam_role_policy.container, work = aws_iam_role_policy.work, instances = aws_iam_role_policy.instances["airflow"], bootstrap = aws_iam_role_policy.bootstrap, books = aws_iam_role_policy.books
      } : name if anytrue([for statement in jsondecode(policy.policy).Statement : anytrue([for resource in flatten([statement.Resource]) : strcontains(resource, "secret:rds!") || endswith(resource, "secret:*")])
    ])] == ["bootstrap"]
    error_message = "Only bootstrap may read the master passwords."
  }
  assert {
    condition     = aws_ecs_task_definition.run_once["books"].execution_role_arn == aws_ecs_task_definition.run_once["books"].task_role_arn && length(local.task_containers.books[0].secrets) == 0
    error_message = "The task of the books must reach no secret, not even when it starts."
  }
  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.books.policy).Statement : statement.Sid => statement.Resource } == {
      LogIn     = "*"
      PullImage = var.repository_arn
      WriteLogs = "arn:aws:logs:eu-central-1:123456789012:log-group:/waybill-test/airflow/books:log-stream:*"
      ListRaw   = "arn:aws:s3:::raw"
    }
    error_message = "Printing the books needs the names of files, and none of their contents."
  }
  assert {
    condition     = one(jsondecode(aws_iam_role_policy.instances["books"].policy).Statement).Resource == ["arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-TEST/waybill_reader"]
    error_message = "Printing the books must only read the warehouse."
  }
  assert {
    condition     = { for one in local.task_containers.books[0].environment : one.name => one.value } == { AWS_DEFAULT_REGION = "eu-central-1", AIRFLOW_CONN_WAYBILL_WAREHOUSE = var.reader_connection, WAYBILL_RAW_BUCKET = "raw", WAYBILL_TIMEZONE = "Europe/Berlin" }
    error_message = "The task of the books must not need the settings' secret."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement : statement.Resource if statement.Sid == "ReadSecrets"]) == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-??????"
    error_message = "The execution role may read one secret."
  }
  assert {
    condition = alltrue([for policy in [aws_iam_role_policy.container, aws_iam_role_policy.work, aws_iam_role_policy.instances["airflow"]] : alltrue([
      for statement in jsondecode(policy.policy).Statement : !contains(flatten([statement.Resource]), "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow-??????")
    ])])
    error_message = "The application gets its secrets from ECS and may not read the secret itself."
  }
  assert {
    condition = toset([for statement in flatten([for policy in [aws_iam_role_policy.execution, aws_iam_role_policy.container, aws_iam_role_policy.work, aws_iam_role_policy.instances["airflow"], aws_iam_role_policy.bootstrap, aws_iam_role_policy.books] : jsondecode(policy.policy).Statement]) :
    statement.Sid if contains(flatten([statement.Resource]), "*")]) == toset(["LogIn", "SendMetrics"])
    error_message = "Only calls without a resource may be allowed on all resources."
  }
  assert {
    condition = alltrue([for policy in [aws_iam_role_policy.execution, aws_iam_role_policy.container, aws_iam_role_policy.work, aws_iam_role_policy.instances["airflow"], aws_iam_role_policy.bootstrap, aws_iam_role_policy.books] :
    alltrue([for action in flatten([for statement in jsondecode(policy.policy).Statement : statement.Action]) : !endswith(action, ":*")])])
    error_message = "No service may be allowed as a whole."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.bootstrap.policy).Statement : statement.Resource[0] if statement.Sid == "SetBrokerPassword"]) == "arn:aws:elasticache:eu-central-1:123456789012:user:waybill-test-airflow"
    error_message = "Bootstrap may change one user of the broker."
  }
  assert {
    condition     = toset([for attachment in aws_iam_role_policy_attachment.application : attachment.policy_arn]) == toset(values(var.policy_arns))
    error_message = "Airflow must read input and write output by the policies that everybody has."
  }
}

run "services" {
  command = apply

  assert {
    condition     = toset(concat(aws_ecs_service.front[*].name, [for service in aws_ecs_service.back : service.name], aws_ecs_service.worker[*].name)) == toset(["api-server", "scheduler", "dag-processor", "triggerer", "worker"])
    error_message = "Each component must be a service."
  }
  assert {
    condition = alltrue([for service in concat(aws_ecs_service.front, values(aws_ecs_service.back), aws_ecs_service.worker) :
    one(service.deployment_circuit_breaker).enable && one(service.deployment_circuit_breaker).rollback && service.deployment_minimum_healthy_percent == 100])
    error_message = "A deployment that fails must be rolled back, and must not stop what runs."
  }
  assert {
    condition = alltrue([for service in concat(aws_ecs_service.front, values(aws_ecs_service.back), aws_ecs_service.worker) :
    one(service.network_configuration).assign_public_ip == false && one(service.network_configuration).subnets == toset(["subnet-1", "subnet-2"]) && one(service.network_configuration).security_groups == toset(["sg-airflow"])])
    error_message = "Tasks must be in the private network."
  }
  assert {
    condition     = alltrue([for service in concat(aws_ecs_service.front, values(aws_ecs_service.back), aws_ecs_service.worker) : service.enable_execute_command == false && one(service.capacity_provider_strategy).capacity_provider == "FARGATE"])
    error_message = "By default, nobody may open a shell in a container, and no task runs on Spot."
  }
  assert {
    condition     = one(one(one(aws_ecs_service.front[0].service_connect_configuration).service).client_alias).dns_name == "api-server" && alltrue([for service in concat(values(aws_ecs_service.back), aws_ecs_service.worker) : one(service.service_connect_configuration).enabled])
    error_message = "All services must reach the API server by its name."
  }
  assert {
    condition     = { for service, values in output.services : service => values.tasks } == { for service, values in var.services : service => values.tasks } && aws_ecs_service.back["scheduler"].desired_count == 2
    error_message = "Each service must have its number of tasks."
  }
}

run "workers_scale_by_queue_depth" {
  command = apply

  assert {
    condition     = aws_appautoscaling_target.worker[0].min_capacity == 2 && aws_appautoscaling_target.worker[0].max_capacity == 6
    error_message = "There must be 2 to 6 workers."
  }
  assert {
    condition     = one(aws_appautoscaling_policy.worker[0].target_tracking_scaling_policy_configuration).target_value == 4
    error_message = "Each worker must get as many tasks as it runs at once."
  }
  assert {
    condition = toset([for query in one(one(aws_appautoscaling_policy.worker[0].target_tracking_scaling_policy_configuration).customized_metric_specification).metrics : one(one(query.metric_stat).metric).metric_name if length(query.metric_stat) > 0]) == toset([
      "airflow.executor.queued_tasks", "airflow.executor.running_tasks", "RunningTaskCount",
    ])
    error_message = "Workers must follow the waiting and running tasks."
  }
  assert {
    condition     = one([for query in one(one(aws_appautoscaling_policy.worker[0].target_tracking_scaling_policy_configuration).customized_metric_specification).metrics : query.expression if query.return_data]) == "2 * (queued + running) / IF(workers > 0, workers, 1)"
    error_message = "Two schedulers measure their own tasks: the queue depth must count both."
  }
  assert {
    condition = alltrue([for name in ["executor.queued_tasks", "executor.running_tasks"] :
    contains(split(",", local.environment.AIRFLOW__METRICS__METRICS_ALLOW_LIST), name) && contains(local.collector_config.exporters.awsemf.metric_declarations[0].metric_name_selectors, "^airflow\\.${replace(name, ".", "\\.")}")])
    error_message = "Airflow and the collector must send the metrics that autoscaling reads."
  }
}

run "load_balancer" {
  command = apply

  assert {
    condition     = aws_lb.this[0].internal && aws_lb.this[0].subnets == toset(["subnet-1", "subnet-2"]) && aws_lb.this[0].security_groups == toset(["sg-load-balancer"])
    error_message = "By default, the load balancer must be private."
  }
  assert {
    condition     = aws_lb_listener.https[0].protocol == "HTTPS" && strcontains(aws_lb_listener.https[0].ssl_policy, "TLS13") && aws_lb_listener.https[0].certificate_arn == var.address.certificate_arn
    error_message = "Airflow must be served by TLS only."
  }
  assert {
    condition     = one(aws_lb_target_group.this[0].health_check).path == "/api/v2/monitor/health" && aws_lb_target_group.this[0].target_type == "ip"
    error_message = "The load balancer must ask Airflow whether it is healthy."
  }
  assert {
    condition     = aws_route53_record.this[0].name == "airflow.example.com" && output.url == "https://airflow.example.com"
    error_message = "With a zone, Airflow must have its record."
  }
  assert {
    condition     = one(aws_lb.this[0].access_logs).enabled && aws_lb.this[0].enable_deletion_protection && aws_lb.this[0].drop_invalid_header_fields
    error_message = "Requests must be logged, and the load balancer protected."
  }
}

run "logs_end" {
  command = apply

  assert {
    condition     = alltrue([for group in concat(values(aws_cloudwatch_log_group.this), aws_cloudwatch_log_group.insights) : group.retention_in_days == 30 && group.kms_key_id == var.data_key_arn])
    error_message = "Logs must be encrypted and expire."
  }
  assert {
    condition = toset(flatten([for definition in merge(aws_ecs_task_definition.service, aws_ecs_task_definition.run_once) : [
      for container in jsondecode(definition.container_definitions) : container.logConfiguration.options.awslogs-group
    ]])) == setsubtract([for group in aws_cloudwatch_log_group.this : group.name], ["/waybill-test/airflow/metrics"])
    error_message = "Containers must write to these groups: ECS would keep other logs for ever."
  }
}

run "local_executor" {
  command = apply

  variables {
    executor           = "local"
    broker             = null
    services           = { airflow = { cpu = 1024, memory = 6144, tasks = 1 } }
    container_insights = "disabled"
    spot               = true
    internal           = false
  }

  assert {
    condition     = aws_ecs_service.front[*].name == ["airflow"] && length(aws_ecs_service.back) + length(aws_ecs_service.worker) + length(aws_appautoscaling_target.worker) + length(aws_service_discovery_http_namespace.this) == 0
    error_message = "The local executor must have one service."
  }
  assert {
    condition     = toset([for container in jsondecode(aws_ecs_task_definition.service["airflow"].container_definitions) : container.name]) == toset(["api-server", "scheduler", "dag-processor", "triggerer", "collector"])
    error_message = "All components must run in one task."
  }
  assert {
    condition     = alltrue([for container in local.service_containers.airflow : container.dependsOn == (container.name == "api-server" ? [] : [{ containerName = "api-server", condition = "HEALTHY" }])])
    error_message = "The other components must wait for the API server."
  }
  assert {
    condition     = local.environment.AIRFLOW__CORE__EXECUTOR == "LocalExecutor" && local.environment.AIRFLOW__CORE__EXECUTION_API_SERVER_URL == "http://127.0.0.1:8080/execution/" && !contains(keys(local.secrets), "AIRFLOW__CELERY__BROKER_URL")
    error_message = "The local executor needs no broker."
  }
  assert {
    condition     = one(aws_ecs_service.front[0].capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    error_message = "The service must run on Spot."
  }
  assert {
    condition     = !aws_lb.this[0].internal && aws_lb.this[0].subnets == toset(["subnet-3", "subnet-4"])
    error_message = "An internet-facing load balancer must be in the public subnets."
  }
  assert {
    condition     = length([for statement in jsondecode(aws_iam_role_policy.bootstrap.policy).Statement : statement if statement.Sid == "SetBrokerPassword"]) == 0
    error_message = "Without a broker, bootstrap may change none."
  }
}

run "without_an_image" {
  command = plan

  variables {
    image   = null
    address = null
    oidc    = null
  }

  assert {
    condition     = length(aws_ecs_task_definition.service) + length(aws_ecs_task_definition.run_once) + length(aws_ecs_service.front) + length(aws_ecs_service.back) + length(aws_lb.this) + length(terraform_data.bootstrap) == 0
    error_message = "The first apply must create everything but Airflow."
  }
  assert {
    condition     = output.url == null && output.services == {} && output.bucket == "waybill-test-airflow-123456789012"
    error_message = "Without an image, there must be no address of Airflow."
  }
}

run "refuses_a_password" {
  command = plan

  variables {
    warehouse_connection = "{\"conn_type\": \"postgres\", \"password\": \"secret\"}"
  }

  expect_failures = [var.warehouse_connection]
}

run "refuses_a_tag" {
  command = plan

  variables {
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill-test:1a2b3c4"
  }

  expect_failures = [var.image]
}

run "refuses_airflow_without_log_in_and_certificate" {
  command = plan

  variables {
    address = null
    oidc    = null
  }

  expect_failures = [var.address, var.oidc]
}

run "refuses_bad_values" {
  command = plan

  variables {
    concurrency     = 2
    collector_image = "public.ecr.aws/aws-observability/aws-otel-collector:latest"
    ephemeral_gib   = 10
    architecture    = "arm"
    settings        = { RAW_BUCKET = "x" }
    subnet_ids      = ["subnet-1"]
    services        = { airflow = { cpu = 1000, memory = 6000, tasks = 0 } }
    oidc            = { issuer = "https://login.example.com", client_id = "waybill", roles = { admins = "root" } }
  }

  expect_failures = [var.concurrency, var.collector_image, var.ephemeral_gib, var.architecture, var.settings, var.subnet_ids, var.services, var.oidc]
}

run "refuses_celery_without_a_broker" {
  command = plan

  variables {
    broker = null
  }

  expect_failures = [var.executor]
}

run "refuses_celery_without_the_number_of_workers" {
  command = plan

  variables {
    container_insights = "disabled"
  }

  expect_failures = [var.container_insights]
}

run "refuses_another_executor" {
  command = plan

  variables {
    executor = "sequential"
  }

  expect_failures = [var.executor]
}

run "refuses_a_maximum_below_the_minimum" {
  command = plan

  variables {
    max_workers = 1
  }

  expect_failures = [var.max_workers]
}
