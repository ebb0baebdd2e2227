# The whole platform of one environment. environments/<name>/ holds links to these files and the values that differ.
locals {
  name   = "waybill-${var.environment}"
  reader = "waybill_reader" # may read, and nothing else

  include_dir = coalesce(var.include_dir, "${local.root_dir}/include")
  domains_dir = "${local.include_dir}/domains"
  manifests   = { for path in fileset(local.domains_dir, "*.yaml") : trimsuffix(path, ".yaml") => yamldecode(file("${local.domains_dir}/${path}")) }
  # What is built only for domains whose manifest asks for it: a crawler, streams, and Spark as their engine.
  services = toset(flatten([for manifest in values(local.manifests) : try(manifest.services, [])]))
  # A stream for each dataset in `streams` of a domain that lists kinesis, and where consumers archive its events.
  streams = merge([for domain, manifest in local.manifests : {
    for dataset in keys(try(manifest.streams, {})) : "${domain}.${dataset}" => {
      pipeline = manifest.dag
      archive  = try(regex("^[^=]*/", manifest.prefixes.raw[dataset]), "raw/${domain}/${dataset}/")
    }
  } if contains(try(manifest.services, []), "kinesis")]...)
  on_spark = sort([for domain, manifest in local.manifests : domain if try(manifest.engine, "warehouse") == "spark"])
  # Where their tables have data, by the default layout or that of the manifest, and metadata.
  spark_prefixes = flatten([for domain in local.on_spark : concat(["processed/${domain}/", "processed/${domain}_"], [
    for pattern in values(try(local.manifests[domain].prefixes.processed, {})) : [regex("^[^=]*/", pattern), "${trimsuffix(regex("^[^=]*/", pattern), "/")}_quarantine/"]
  ])])

  # The code of the Spark job has a folder of its own for each content, so that runs under way keep theirs.
  root_dir = "${path.root}/../../.."
  code = sha256(join("", concat(
    [for path in sort(fileset("${local.root_dir}/plugins/waybill", "**/*.py")) : "${path} ${filesha256("${local.root_dir}/plugins/waybill/${path}")}"],
    [for path in ["requirements-spark.txt", "deploy/spark_code.py"] : filesha256("${local.root_dir}/${path}")],
  )))
  code_prefix = "spark/${substr(local.code, 0, 16)}"
  # Where files of a domain with a queue land: its own prefix, and those of its manifest that are elsewhere.
  arrivals = { for domain, manifest in local.manifests : domain => distinct(concat(["raw/${domain}/"], [
    for pattern in values(try(manifest.prefixes.raw, {})) : regex("^[^=]*/", pattern) if !startswith(pattern, "raw/${domain}/")
  ])) if try(manifest.queue, false) }

  # What contracts say about raw files: after how many days the bucket removes them, by the prefix of their dataset.
  contracts = [for path in fileset("${local.include_dir}/contracts", "*/*.yaml") : yamldecode(file("${local.include_dir}/contracts/${path}"))]
  raw_expiry = merge([for contract in local.contracts : {
    for sla in try(contract.slaProperties, []) :
    try(regex("^[^=]*/", local.manifests[contract.domain].prefixes.raw[contract.schema[0].name]), "raw/${contract.domain}/${contract.schema[0].name}/") => sla.value
    if sla.property == "retention" && try(sla.element, null) == "raw"
  }]...)

  policies = {
    read_input   = module.security.read_input_policy_arn
    write_output = module.security.write_output_policy_arn
  }
  # Rights for what single domains use.
  service_policies = length(module.compute) == 0 ? {} : { run_jobs = module.compute[0].run_policy_arn }

  spark_settings = merge([for spark in module.compute : merge({ WAYBILL_SPARK = var.spark.runtime, WAYBILL_SPARK_HOURS = tostring(var.spark.hours) }, var.spark.runtime == "glue" ? {
    WAYBILL_SPARK_JOB = spark.glue_job_name
    } : {
    WAYBILL_SPARK_APPLICATION = spark.emr_application_id
    WAYBILL_SPARK_ROLE        = spark.role_arn
    WAYBILL_SPARK_SCRIPT      = "${spark.code}/job.py"
    WAYBILL_SPARK_PARAMETERS  = "--py-files ${spark.code}/waybill.zip"
  })]...)

  stream_settings = length(local.streams) == 0 ? {} : {
    WAYBILL_STREAMS            = jsonencode({ for dataset, stream in module.streaming : dataset => stream.stream_name })
    WAYBILL_STREAM_LAG_SECONDS = tostring(var.limits.stream_lag_seconds)
  }

  # The image itself has WAYBILL_CODE_VERSION.
  settings = merge(local.spark_settings, local.stream_settings, {
    WAYBILL_PROFILE             = "prod"
    WAYBILL_SECRET_ID           = module.security.settings_secret_name
    WAYBILL_QUEUE_URLS          = jsonencode({ for domain, queue in module.data_lake.landed_queues : domain => queue.url })
    WAYBILL_DEAD_LETTER_URLS    = jsonencode({ for domain, queue in module.data_lake.landed_queues : domain => queue.dead_url })
    WAYBILL_RAW_BUCKET          = module.data_lake.bucket_names.raw
    WAYBILL_REPORTS_BUCKET      = module.data_lake.bucket_names.reports
    WAYBILL_LAKE_BUCKET         = module.data_lake.bucket_names.lake
    WAYBILL_LAKE_WAREHOUSE      = var.account_id # of Glue's Iceberg REST catalog
    WAYBILL_LAKE_DATABASE       = module.catalog.processed_database
    WAYBILL_TRAINING_DATABASE   = module.catalog.training_database
    WAYBILL_DASHBOARD_BUCKET    = module.data_lake.bucket_names.dashboard
    WAYBILL_TIMEZONE            = var.timezone
    WAYBILL_DUCKDB_MEMORY_LIMIT = var.airflow.duckdb_memory_limit
  })

  connections = {
    # No password: the role of the task signs a token. The certificate of the server is not verified, because the image has
    # no file of RDS's authorities; the connection never leaves the network.
    waybill_warehouse = jsonencode({
      conn_type = "postgres"
      host      = module.warehouse.address
      port      = module.warehouse.port
      schema    = module.warehouse.database
      login     = module.warehouse.role
      extra     = { iam = true, aws_conn_id = "aws_default", sslmode = "require" } # anything else would go to libpq
    })
    waybill_reader = jsonencode({
      conn_type = "postgres"
      host      = module.warehouse.address
      port      = module.warehouse.port
      schema    = module.warehouse.database
      login     = local.reader
      extra     = { iam = true, aws_conn_id = "aws_default", sslmode = "require", connect_timeout = 5 }
    })
    # Publishing takes the role that cannot see the raw zone.
    waybill_output = jsonencode({
      conn_type = "aws"
      extra     = { region_name = var.region, role_arn = "arn:aws:iam::${var.account_id}:role/${local.name}-output-writer" }
    })
    aws_default = jsonencode({
      conn_type = "aws"
      extra     = { region_name = var.region }
    })
    waybill_alerts_sns = jsonencode({
      conn_type = "aws"
      extra     = { region_name = var.region, topic_arn = module.monitoring.topic_arns.alerts }
    })
  }
}

module "security" {
  source = "../../modules/security"

  name               = local.name
  account_id         = var.account_id
  region             = var.region
  log_retention_days = var.retention.logs_days
  bucket_arns        = module.data_lake.bucket_arns
  logs_bucket_name   = module.data_lake.bucket_names.logs
  connections        = local.connections
  readers            = ["${local.name}-airflow"]
  writers            = ["${local.name}-airflow"]

  # Names of deleted secrets stay taken while they can be restored.
  secret_recovery_days = var.may_destroy_data ? 0 : 7
}

module "data_lake" {
  source = "../../modules/data_lake"

  name                        = local.name
  account_id                  = var.account_id
  region                      = var.region
  data_key_arn                = module.security.data_key_arn
  queue_key_arn               = module.security.operations_key_arn
  glacier_after_days          = var.retention.glacier
  raw_expire_after_days       = local.raw_expiry
  noncurrent_days             = var.retention.noncurrent_days
  log_expire_after_days       = var.retention.log_objects_days
  dashboard_distribution_arns = [module.dashboard.distribution_arn]
  arrivals                    = local.arrivals
  trail_arn                   = module.security.trail_arn
  force_destroy               = var.may_destroy_data
}

module "network" {
  source = "../../modules/network"

  name                 = local.name
  region               = var.region
  cidr                 = var.network.cidr
  availability_zones   = [for letter in var.availability_zones : "${var.region}${letter}"]
  nat_gateways         = var.network.nat_gateways
  interface_endpoints  = var.network.interface_endpoints
  smtp                 = var.network.smtp
  allowed_cidrs        = var.airflow_allowed_cidrs
  flow_logs_bucket_arn = module.data_lake.bucket_arns.logs
}

module "warehouse" {
  source = "../../modules/database"

  name                     = local.name
  purpose                  = "warehouse"
  database                 = "waybill"
  role                     = "waybill"
  key_arn                  = module.security.data_key_arn
  permissions_boundary_arn = module.security.permissions_boundary_arn
  log_retention_days       = var.retention.logs_days
  subnet_ids               = module.network.private_subnet_ids
  security_group_id        = module.network.security_group_ids.warehouse
  engine_version           = var.warehouse.engine_version
  instance_class           = var.warehouse.instance_class
  allocated_gib            = var.warehouse.allocated_gib
  max_allocated_gib        = var.warehouse.max_allocated_gib
  multi_az                 = var.warehouse.multi_az
  deletion_protection      = var.warehouse.deletion_protection
  backup_days              = var.warehouse.backup_days
  insights_mode            = var.warehouse.insights_mode
  keep_backups             = !var.may_destroy_data
}

# Airflow's own database: its load and its upgrades do not touch the warehouse.
module "metadata" {
  source = "../../modules/database"

  name                     = local.name
  purpose                  = "metadata"
  database                 = "airflow"
  role                     = "airflow"
  key_arn                  = module.security.data_key_arn
  permissions_boundary_arn = module.security.permissions_boundary_arn
  log_retention_days       = var.retention.logs_days
  subnet_ids               = module.network.private_subnet_ids
  security_group_id        = module.network.security_group_ids.metadata
  engine_version           = var.metadata.engine_version
  instance_class           = var.metadata.instance_class
  allocated_gib            = var.metadata.allocated_gib
  max_allocated_gib        = var.metadata.max_allocated_gib
  multi_az                 = var.metadata.multi_az
  deletion_protection      = var.metadata.deletion_protection
  backup_days              = var.metadata.backup_days
  insights_mode            = var.metadata.insights_mode
  keep_backups             = !var.may_destroy_data
}

module "broker" {
  source = "../../modules/broker"
  count  = var.broker == null ? 0 : 1

  name               = local.name
  key_arn            = module.security.data_key_arn
  log_retention_days = var.retention.logs_days
  subnet_ids         = module.network.private_subnet_ids
  security_group_id  = module.network.security_group_ids.broker
  node_type          = var.broker.node_type
  nodes              = var.broker.nodes
}

module "catalog" {
  source = "../../modules/catalog"

  name              = local.name
  account_id        = var.account_id
  region            = var.region
  data_key_arn      = module.security.data_key_arn
  contracts_dir     = "${local.include_dir}/contracts"
  domains_dir       = local.domains_dir
  raw_bucket        = module.data_lake.bucket_names.raw
  lake_bucket       = module.data_lake.bucket_names.lake
  crawler_role_name = module.security.input_reader_role_name
  crawler_role_arn  = module.security.input_reader_role_arn
  scan_limit_gib    = var.athena_scan_limit_gib
  force_destroy     = var.may_destroy_data
}

module "streaming" {
  source   = "../../modules/streaming"
  for_each = local.streams

  name         = local.name
  account_id   = var.account_id
  region       = var.region
  data_key_arn = module.security.data_key_arn
  dataset      = each.key
  shards       = var.stream_shards
}

module "consumer" {
  source   = "../../modules/consumer"
  for_each = var.image == null ? {} : local.streams

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  data_key_arn             = module.security.data_key_arn
  permissions_boundary_arn = module.security.permissions_boundary_arn
  log_retention_days       = var.retention.logs_days

  dataset              = each.key
  stream_name          = module.streaming[each.key].stream_name
  consume_policy_arn   = module.streaming[each.key].consume_policy_arn
  archive_prefix       = each.value.archive
  warehouse            = { role = module.warehouse.role, resource_id = module.warehouse.resource_id }
  warehouse_connection = local.connections.waybill_warehouse
  metrics_namespace    = module.monitoring.namespace
  settings             = local.settings

  image             = var.image
  repository_arn    = module.container_registry.repository_arn
  cluster           = module.airflow.cluster
  size              = var.stream_consumers
  architecture      = var.airflow.architecture
  spot              = var.airflow.spot
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = module.network.security_group_ids.airflow

  depends_on = [module.airflow] # which migrates the warehouse
}

module "compute" {
  source = "../../modules/compute"
  count  = length(local.on_spark) > 0 ? 1 : 0

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  data_key_arn             = module.security.data_key_arn
  permissions_boundary_arn = module.security.permissions_boundary_arn
  log_retention_days       = var.retention.logs_days
  subnet_ids               = module.network.private_subnet_ids
  security_group_id        = module.network.security_group_ids.jobs
  runtime                  = var.spark.runtime
  read_input_policy_arn    = module.security.read_input_policy_arn
  artefacts_bucket         = module.airflow.bucket
  code_prefix              = local.code_prefix
  lake_bucket              = module.data_lake.bucket_names.lake
  catalog_database         = module.catalog.processed_database
  domains                  = local.on_spark
  lake_prefixes            = local.spark_prefixes
  limit_hours              = var.spark.hours
  glue_worker              = var.spark.glue_worker
  emr_image                = var.spark.emr_image
  emr_maximum              = var.spark.emr_maximum

  depends_on = [terraform_data.spark_code] # a run that starts now needs the code
}

resource "terraform_data" "spark_code" {
  count            = length(local.on_spark) > 0 ? 1 : 0
  triggers_replace = "s3://${module.airflow.bucket}/${local.code_prefix}"

  provisioner "local-exec" {
    command = "${coalesce(var.upload_spark, "${local.root_dir}/deploy/upload-spark.sh")} ${self.triggers_replace}"
    environment = {
      AWS_REGION = var.region
    }
  }
}

module "airflow" {
  source = "../../modules/airflow"

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  data_key_arn             = module.security.data_key_arn
  permissions_boundary_arn = module.security.permissions_boundary_arn

  image          = var.image
  repository_arn = module.container_registry.repository_arn
  run_task       = coalesce(var.run_task, "${local.root_dir}/deploy/run-task.sh")

  executor           = var.airflow.executor
  services           = var.airflow.services
  concurrency        = var.airflow.concurrency
  max_workers        = var.airflow.max_workers
  architecture       = var.airflow.architecture
  spot               = var.airflow.spot
  container_insights = var.airflow.container_insights

  address                         = var.airflow_address
  oidc                            = var.oidc
  internal                        = var.airflow.internal
  deletion_protection             = !var.may_destroy_data
  vpc_id                          = module.network.vpc_id
  subnet_ids                      = module.network.private_subnet_ids
  public_subnet_ids               = module.network.public_subnet_ids
  security_group_id               = module.network.security_group_ids.airflow
  load_balancer_security_group_id = module.network.security_group_ids.load_balancer

  log_retention_days = var.retention.logs_days
  task_log_days      = var.retention.log_objects_days
  noncurrent_days    = var.retention.noncurrent_days
  logs_bucket        = module.data_lake.bucket_names.logs
  force_destroy      = var.may_destroy_data

  warehouse = {
    host              = module.warehouse.address
    port              = module.warehouse.port
    database          = module.warehouse.database
    role              = module.warehouse.role
    reader            = local.reader
    master_secret_arn = module.warehouse.master_secret_arn
    resource_id       = module.warehouse.resource_id
  }
  warehouse_connection = local.connections.waybill_warehouse
  reader_connection    = local.connections.waybill_reader
  metadata = {
    host              = module.metadata.address
    port              = module.metadata.port
    database          = module.metadata.database
    role              = module.metadata.role
    master_secret_arn = module.metadata.master_secret_arn
  }
  broker = var.broker == null ? null : { host = module.broker[0].address, port = module.broker[0].port, user = module.broker[0].user }

  airflow_secret         = module.security.airflow_secret
  settings_secret_name   = module.security.settings_secret_name
  connections_prefix     = module.security.connections_prefix
  policy_arns            = merge(local.policies, local.service_policies)
  landed_queue_arns      = [for queue in values(module.data_lake.landed_queues) : queue.arn]
  dead_letter_queue_arns = [for queue in values(module.data_lake.landed_queues) : queue.dead_arn]
  output_role_arn        = module.security.output_writer_role_arn
  alerts_topic_arn       = module.monitoring.topic_arns.alerts
  metrics_namespace      = module.monitoring.namespace
  catalog_database       = module.catalog.processed_database
  training_database      = module.catalog.training_database
  lineage_domain         = var.lineage_domain
  settings               = local.settings

  # Tasks that run once need the way out and the values of connections; the load balancer needs the policy of the bucket
  # for its logs.
  depends_on = [module.data_lake, module.network, module.security]
}

module "night" {
  source = "../../modules/night"
  count  = var.night == null || var.image == null ? 0 : 1

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  key_arn                  = module.security.operations_key_arn
  permissions_boundary_arn = module.security.permissions_boundary_arn
  cluster                  = module.airflow.cluster
  services = merge(
    { for service, size in var.airflow.services : service => size.tasks },
    { for consumer in module.consumer : consumer.service => var.stream_consumers.tasks },
  )
  databases = [module.warehouse.identifier, module.metadata.identifier]
  timezone  = var.night.timezone
  stop      = var.night.stop
  start     = var.night.start
}

module "container_registry" {
  source = "../../modules/container_registry"

  name         = local.name
  key_arn      = module.security.data_key_arn
  force_delete = var.may_destroy_data
}

module "dashboard" {
  source = "../../modules/dashboard"

  name               = local.name
  bucket_domain_name = module.data_lake.dashboard_domain_name
  logs_bucket_arn    = module.data_lake.bucket_arns.logs
  allowed_cidrs      = var.dashboard_allowed_cidrs
  certificate        = var.dashboard_certificate
}

module "monitoring" {
  source = "../../modules/monitoring"

  name                = local.name
  account_id          = var.account_id
  region              = var.region
  operations_key_arn  = module.security.operations_key_arn
  alert_emails        = var.alert_emails
  operations_emails   = var.operations_emails
  datasets            = module.catalog.datasets
  limits              = var.limits
  budget_usd          = var.budget_usd
  anomaly_usd         = var.anomaly_usd
  anomaly_monitor_arn = var.anomaly_monitor_arn
  airflow = var.image == null ? null : {
    services      = concat(keys(var.airflow.services), [for consumer in module.consumer : consumer.service])
    slots         = var.airflow.concurrency * var.airflow.max_workers
    load_balancer = module.airflow.load_balancer_arn_suffix
    target_group  = module.airflow.target_group_arn_suffix
  }
  databases = {
    warehouse = { identifier = module.warehouse.identifier, instance_class = var.warehouse.instance_class, allocated_gib = var.warehouse.allocated_gib }
    metadata  = { identifier = module.metadata.identifier, instance_class = var.metadata.instance_class, allocated_gib = var.metadata.allocated_gib }
  }
  broker          = one(module.broker[*].replication_group_id)
  spark           = length(module.compute) > 0 ? { runtime = var.spark.runtime, id = coalesce(module.compute[0].glue_job_name, module.compute[0].emr_application_id) } : null
  trail_log_group = module.security.trail_log_group
  landed_queues   = module.data_lake.landed_queues
  streams = { for dataset, stream in module.streaming : dataset => {
    name            = stream.stream_name
    pipeline        = local.streams[dataset].pipeline
    retention_hours = stream.retention_hours
  } }
  athena_workgroup = module.catalog.workgroup
  bucket_names     = module.data_lake.bucket_names
  stops_at_night   = var.night != null
}

module "ci" {
  source = "../../modules/ci"

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  environment              = var.environment
  permissions_boundary_arn = module.security.permissions_boundary_arn
  repository               = var.github_repository
  oidc_provider_is_there   = var.oidc_provider_is_there
  state_bucket             = var.state_bucket
  image_repository         = module.container_registry.repository_name
}
