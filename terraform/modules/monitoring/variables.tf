variable "name" {
  description = "Prefix of every name, such as waybill-dev."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "The name must be 4 to 24 lower-case letters, digits and hyphens: bucket names are built from it."
  }
}

variable "account_id" {
  description = "The AWS account's number."
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

variable "operations_key_arn" {
  description = "Key that encrypts the topics."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/", var.operations_key_arn))
    error_message = "This must be the ARN of a KMS key."
  }
}

variable "alert_emails" {
  description = "Who is notified of failed, late and wrong data; each address must be confirmed in a mail from AWS."
  type        = set(string)
  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "These must be mail addresses."
  }
}

variable "operations_emails" {
  description = "Who is notified of infrastructure, queues and cost; each address must be confirmed in a mail from AWS."
  type        = set(string)
  validation {
    condition     = alltrue([for address in var.operations_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "These must be mail addresses."
  }
}

variable "datasets" {
  description = "What arrives: dataset, the pipeline that takes it in, and how old its newest period may become, in hours."
  type = map(object({
    dataset         = string
    pipeline        = string
    freshness_hours = number
  }))
  validation {
    condition     = alltrue([for dataset in values(var.datasets) : dataset.freshness_hours > 0])
    error_message = "An age must be above 0 hours."
  }
}

variable "limits" {
  description = "From where on an alarm goes off: the seconds that the tasks of a run work, a load's seconds for a million rows, the age of a message about a landed file in seconds, how many such messages wait, the seconds that a task waits for a slot, the CPU of a database in percent, and the seconds that consumers of a stream lag."
  type = object({
    work_seconds             = number
    load_seconds_per_million = number
    queue_age_seconds        = number
    queue_messages           = number
    task_wait_seconds        = number
    database_cpu_pct         = number
    stream_lag_seconds       = optional(number, 60)
  })
  validation {
    condition     = alltrue([for limit in values(var.limits) : limit > 0]) && var.limits.database_cpu_pct <= 100
    error_message = "Limits must be above 0, and the CPU's at most 100."
  }
}

variable "budget_usd" {
  description = "What the account may cost in a month, in US dollars."
  type        = number
  validation {
    condition     = var.budget_usd > 0
    error_message = "The budget must be above 0."
  }
}

variable "airflow" {
  description = "Airflow: the names of its ECS services in the cluster of the environment's name, how many tasks all workers run at once, and the suffixes of the ARNs of its load balancer and target group. Null: it does not run yet."
  type        = object({ services = set(string), slots = number, load_balancer = string, target_group = string })
  validation {
    condition     = var.airflow == null ? true : length(var.airflow.services) > 0 && var.airflow.slots > 0
    error_message = "Airflow that runs has at least one service and one slot."
  }
}

variable "stops_at_night" {
  description = "Whether services and databases stop at night. Then their silence raises no alarm."
  type        = bool
  default     = false
}

variable "databases" {
  description = "Identifier, instance class and allocated storage in GiB of each database, by its purpose."
  type        = map(object({ identifier = string, instance_class = string, allocated_gib = number }))
  validation {
    condition     = alltrue([for database in values(var.databases) : can(regex("^db\\.(t[0-9]g?\\.(micro|small|medium|large|xlarge|2xlarge)|[cmr][0-9][a-z]*\\.(large|xlarge|2xlarge|4xlarge|8xlarge|12xlarge|16xlarge))$", database.instance_class))])
    error_message = "The limits of memory and connections follow from the instance class, which must be a size of the families t, m, r or c."
  }
}

variable "broker" {
  description = "Id of the replication group of the Celery broker; null: there is none."
  type        = string
}

variable "spark" {
  description = "What runs Spark: glue and the name of the job, or emr and the id of the application; null: there is none."
  type        = object({ runtime = string, id = string })
}

variable "trail_log_group" {
  description = "Log group of CloudTrail."
  type        = string
}

variable "landed_queues" {
  description = "Queues that tell of landed files, by pipeline, with the name of the dead-letter queue."
  type        = map(object({ name = string, dead_name = string }))
}

variable "streams" {
  description = "Name of the Kinesis stream of each dataset, such as billing.payments, the pipeline of its domain, and how many hours it keeps events."
  type        = map(object({ name = string, pipeline = string, retention_hours = number }))
}

variable "athena_workgroup" {
  description = "Name of the Athena workgroup."
  type        = string
}

variable "bucket_names" {
  description = "Names of the buckets, for their size."
  type        = map(string)
}

variable "anomaly_usd" {
  description = "US dollars from which an unusual charge alerts; null: unusual charges do not alert."
  type        = number
  default     = null
  validation {
    condition     = var.anomaly_usd == null ? true : var.anomaly_usd > 0
    error_message = "The charge must be above 0 dollars."
  }
}

variable "anomaly_monitor_arn" {
  description = "ARN of the account's monitor of its services at Cost Anomaly Detection (there can be only one); null: it is created."
  type        = string
  default     = null
  validation {
    condition     = var.anomaly_monitor_arn == null ? true : can(regex("^arn:aws:ce::[0-9]{12}:anomalymonitor/", var.anomaly_monitor_arn))
    error_message = "This must be the ARN of a monitor of Cost Anomaly Detection."
  }
}
