# ---- which account: terraform.tfvars, not in version control

variable "account_id" {
  description = "The AWS account's number; best an account for each environment."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An AWS account has a number of 12 digits."
  }
}

variable "region" {
  description = "The AWS region, such as eu-central-1."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region must be written like eu-central-1."
  }
}

variable "availability_zones" {
  description = "Last letters of the availability zones to use."
  type        = list(string)
  default     = ["a", "b"]
  validation {
    condition     = length(var.availability_zones) >= 2 && alltrue([for zone in var.availability_zones : can(regex("^[a-f]$", zone))])
    error_message = "Give at least two letters from a to f."
  }
}

variable "owner" {
  description = "Who answers for the resources: the tag Owner."
  type        = string
  validation {
    condition     = length(var.owner) > 0 && length(var.owner) <= 256
    error_message = "An owner must be named."
  }
}

variable "cost_center" {
  description = "Who pays: the tag CostCenter."
  type        = string
  validation {
    condition     = length(var.cost_center) > 0 && length(var.cost_center) <= 256
    error_message = "A cost centre must be named."
  }
}

variable "alert_emails" {
  description = "Who is notified of failed, late and wrong data."
  type        = set(string)
  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "At least one address is required."
  }
}

variable "operations_emails" {
  description = "Who is notified of infrastructure, queues and cost."
  type        = set(string)
  validation {
    condition     = length(var.operations_emails) > 0
    error_message = "At least one address is required."
  }
}

variable "dashboard_allowed_cidrs" {
  description = "Networks from which the dashboard may be opened."
  type        = set(string)
  validation {
    condition     = length(var.dashboard_allowed_cidrs) > 0
    error_message = "Without a network nobody sees the dashboard."
  }
}

variable "dashboard_certificate" {
  description = "Own host name of the dashboard and its certificate (in us-east-1); null: CloudFront's name."
  type        = object({ host = string, acm_arn = string })
  default     = null
}

variable "github_repository" {
  description = "GitHub repository whose jobs may enter, as owner/name."
  type        = string
}

variable "oidc_provider_is_there" {
  description = "Whether the account knows GitHub's OIDC provider already (there can be only one); if not, it is made."
  type        = bool
  default     = false
}

variable "anomaly_monitor_arn" {
  description = "ARN of the account's monitor of its services at Cost Anomaly Detection (there can be only one); null: it is created."
  type        = string
  default     = null
}

variable "state_bucket" {
  description = "Bucket of Terraform's state."
  type        = string
}

variable "airflow_allowed_cidrs" {
  description = "IPv4 CIDR blocks from which users reach Airflow."
  type        = set(string)
}

variable "airflow_address" {
  description = "Host name of Airflow, ARN of its certificate in this region and, optionally, the Route 53 zone for its record. Required with an image."
  type        = object({ host = string, certificate_arn = string, zone_id = optional(string) })
  default     = null
}

variable "oidc" {
  description = "OpenID Connect issuer for log-in to Airflow: its URL, the client, the claim with a user's groups, the role of each group (admin, operator or viewer), and whether its addresses are verified although it never sends email_verified. Required with an image."
  type        = object({ issuer = string, client_id = string, groups_claim = optional(string, "groups"), trust_email = optional(bool, false), roles = map(string) })
  default     = null
}

# ---- what runs

variable "image" {
  description = "Image of Airflow with its digest: repository@sha256:… . Null before the first image is pushed; then there is no Airflow."
  type        = string
  default     = null
}

variable "run_task" {
  description = "Command that runs a task once and waits for its end; null: deploy/run-task.sh."
  type        = string
  default     = null
}

variable "upload_spark" {
  description = "Command that uploads the code of the Spark job to an address; null: deploy/upload-spark.sh."
  type        = string
  default     = null
}

# ---- how large and how safe: settings.auto.tfvars of the environment, in version control

variable "environment" {
  description = "Name of the environment: dev, staging or prod."
  type        = string
  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "The environment must be dev, staging or prod."
  }
}

variable "timezone" {
  description = "Business time zone: WAYBILL_TIMEZONE."
  type        = string
  default     = "UTC"
  validation {
    condition     = can(regex("^[A-Za-z_]+(/[A-Za-z_+-]+)*$", var.timezone))
    error_message = "Write the zone like UTC or Europe/Berlin."
  }
}

variable "network" {
  description = "CIDR block, number of NAT gateways, AWS services with an interface endpoint, and whether Airflow may send mail on port 587."
  type        = object({ cidr = string, nat_gateways = number, interface_endpoints = set(string), smtp = optional(bool, false) })
}

variable "warehouse" {
  description = "The warehouse: PostgreSQL version, instance class, storage in GiB, standby, deletion protection, days of backups, mode of Database Insights."
  type = object({
    engine_version      = string
    instance_class      = string
    allocated_gib       = number
    max_allocated_gib   = number
    multi_az            = bool
    deletion_protection = bool
    backup_days         = number
    insights_mode       = string
  })
  validation {
    condition     = var.environment != "prod" || (var.warehouse.multi_az && var.warehouse.deletion_protection && var.warehouse.backup_days >= 14)
    error_message = "In prod, the database needs a standby, deletion protection and at least 14 days of backups."
  }
}

variable "metadata" {
  description = "The metadata database of Airflow: PostgreSQL version, instance class, storage in GiB, standby, deletion protection, days of backups, mode of Database Insights."
  type = object({
    engine_version      = string
    instance_class      = string
    allocated_gib       = number
    max_allocated_gib   = number
    multi_az            = bool
    deletion_protection = bool
    backup_days         = number
    insights_mode       = string
  })
  validation {
    condition     = var.environment != "prod" || (var.metadata.multi_az && var.metadata.deletion_protection && var.metadata.backup_days >= 14)
    error_message = "In prod, the database needs a standby, deletion protection and at least 14 days of backups."
  }
}

variable "airflow" {
  description = "Airflow: executor, size of its services, tasks that run at once, maximum of workers, CPU architecture, Spot, Container Insights, load balancer, memory for validating a file."
  type = object({
    executor            = string
    services            = map(object({ cpu = number, memory = number, tasks = number }))
    concurrency         = number
    max_workers         = optional(number, 1)
    architecture        = optional(string, "ARM64")
    spot                = bool
    container_insights  = string
    internal            = bool
    duckdb_memory_limit = string
  })
  validation {
    condition     = can(regex("^[0-9]+(MB|GB)$", var.airflow.duckdb_memory_limit))
    error_message = "Write the memory limit like 160MB or 1GB."
  }
  validation {
    condition     = var.environment != "prod" || (alltrue([for service in values(var.airflow.services) : service.tasks >= 2]) && !var.airflow.spot)
    error_message = "In prod, each service needs two tasks, in two zones, and no service runs on Spot."
  }
}

variable "lineage_domain" {
  description = "Domain of Amazon DataZone (SageMaker Catalog) in this account and region that gets the lineage events of runs, such as dzd_4f8xample. Null sends none."
  type        = string
  default     = null
}

variable "broker" {
  description = "The Celery broker: node type and number of nodes. Null with the local executor."
  type        = object({ node_type = string, nodes = number })
  validation {
    condition     = var.environment != "prod" || try(var.broker.nodes, 0) >= 2
    error_message = "In prod, the broker needs two nodes."
  }
}

variable "night" {
  description = "When services and databases stop (each day) and start (on listed days). Null: they run all the time."
  type = object({
    timezone = optional(string, "UTC")
    stop     = object({ hour = number, minute = optional(number, 0) })
    start    = object({ hour = number, minute = optional(number, 0), days = optional(string, "MON-FRI") })
  })
  default = null
  validation {
    condition     = var.night == null || var.environment == "dev"
    error_message = "Only dev may stop at night: elsewhere, files that arrive at night are loaded at night."
  }
}

variable "retention" {
  description = "Days: CloudWatch logs, access logs and trails, replaced versions, and when zones move to Glacier (null: never)."
  type = object({
    logs_days        = number
    log_objects_days = number
    noncurrent_days  = number
    glacier          = object({ raw = optional(number), lake = optional(number), reports = optional(number) })
  })
}

variable "include_dir" {
  description = "Folder with contracts/ and domains/; null: the project's include/."
  type        = string
  default     = null
}

variable "spark" {
  description = "Where Spark runs, if a domain has it as its engine: glue or emr; emr needs an image. And the most that jobs may use: hours, workers of a Glue job, and all of EMR Serverless."
  type = object({
    runtime     = optional(string, "glue")
    hours       = optional(number, 8)
    emr_image   = optional(string)
    glue_worker = object({ type = string, count = number })
    emr_maximum = object({ vcpu = number, memory_gib = number, disk_gib = number })
  })
}

variable "stream_shards" {
  description = "Shards of each Kinesis stream, if a domain has one; 0: on demand."
  type        = number
}

variable "stream_consumers" {
  description = "CPU units, memory in MiB and number of the consumers of each stream: as many as shards, or fewer."
  type        = object({ cpu = number, memory = number, tasks = number })
  validation {
    condition     = var.environment != "prod" || var.stream_consumers.tasks >= 2
    error_message = "In prod, each stream needs two consumers, in two zones."
  }
}

variable "athena_scan_limit_gib" {
  description = "How much a query may read, in GiB."
  type        = number
}

variable "limits" {
  description = "From where on alarms go off; see the monitoring module."
  type = object({
    work_seconds             = number
    load_seconds_per_million = number
    queue_age_seconds        = number
    queue_messages           = number
    task_wait_seconds        = number
    database_cpu_pct         = number
    stream_lag_seconds       = optional(number, 60)
  })
}

variable "budget_usd" {
  description = "What the account may cost in a month, in US dollars."
  type        = number
}

variable "anomaly_usd" {
  description = "US dollars from which an unusual charge alerts; null: unusual charges do not alert."
  type        = number
  default     = null
}

variable "may_destroy_data" {
  description = "Whether `terraform destroy` deletes buckets and images that are not empty; never in prod."
  type        = bool
  default     = false
  validation {
    condition     = !(var.may_destroy_data && var.environment == "prod")
    error_message = "Data of prod is not destroyed by a command."
  }
}
