# What makes this prod: sizes and safety. Nothing else differs between the environments.
environment = "prod"
timezone    = "UTC"

network = { cidr = "10.42.0.0/18", nat_gateways = 2, interface_endpoints = ["logs", "secretsmanager", "sqs"] }

warehouse = {
  engine_version      = "18"
  instance_class      = "db.m7g.xlarge"
  allocated_gib       = 500
  max_allocated_gib   = 4000
  multi_az            = true
  deletion_protection = true
  backup_days         = 35
  insights_mode       = "standard"
}

metadata = {
  engine_version      = "18"
  instance_class      = "db.t4g.medium"
  allocated_gib       = 50
  max_allocated_gib   = 200
  multi_az            = true
  deletion_protection = true
  backup_days         = 35
  insights_mode       = "standard"
}

airflow = {
  executor = "celery"
  services = {
    api-server    = { cpu = 1024, memory = 2048, tasks = 2 }
    scheduler     = { cpu = 1024, memory = 2048, tasks = 2 }
    dag-processor = { cpu = 512, memory = 2048, tasks = 2 }
    triggerer     = { cpu = 512, memory = 1024, tasks = 2 }
    worker        = { cpu = 2048, memory = 8192, tasks = 2 }
  }
  concurrency         = 4
  max_workers         = 10
  spot                = false
  container_insights  = "enabled"
  internal            = true
  duckdb_memory_limit = "1GB"
}

broker = { node_type = "cache.t4g.small", nodes = 2 }

retention = {
  logs_days        = 365
  log_objects_days = 731
  noncurrent_days  = 90
  glacier          = { raw = 90, lake = 365, reports = 365 }
}

spark = {
  glue_worker = { type = "G.2X", count = 8 }
  emr_maximum = { vcpu = 128, memory_gib = 512, disk_gib = 2000 }
}

stream_shards         = 0
stream_consumers      = { cpu = 512, memory = 2048, tasks = 2 }
athena_scan_limit_gib = 1000

limits = {
  work_seconds             = 3600
  load_seconds_per_million = 20
  queue_age_seconds        = 900
  queue_messages           = 1000
  task_wait_seconds        = 3600
  database_cpu_pct         = 75
}

budget_usd       = 2000
anomaly_usd      = 100
may_destroy_data = false
