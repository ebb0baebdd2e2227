# What makes this staging: sizes and safety. Nothing else differs between the environments.
environment = "staging"
timezone    = "UTC"

network = { cidr = "10.41.0.0/18", nat_gateways = 1, interface_endpoints = [] }

warehouse = {
  engine_version      = "18"
  instance_class      = "db.t4g.large"
  allocated_gib       = 100
  max_allocated_gib   = 500
  multi_az            = false
  deletion_protection = true
  backup_days         = 7
  insights_mode       = "standard"
}

metadata = {
  engine_version      = "18"
  instance_class      = "db.t4g.small"
  allocated_gib       = 20
  max_allocated_gib   = 100
  multi_az            = false
  deletion_protection = true
  backup_days         = 7
  insights_mode       = "standard"
}

airflow = {
  executor = "celery"
  services = {
    api-server    = { cpu = 512, memory = 2048, tasks = 1 }
    scheduler     = { cpu = 512, memory = 2048, tasks = 1 }
    dag-processor = { cpu = 512, memory = 2048, tasks = 1 }
    triggerer     = { cpu = 256, memory = 1024, tasks = 1 }
    worker        = { cpu = 1024, memory = 4096, tasks = 1 }
  }
  concurrency         = 4
  max_workers         = 3
  spot                = false
  container_insights  = "enabled"
  internal            = true
  duckdb_memory_limit = "160MB"
}

broker = { node_type = "cache.t4g.micro", nodes = 1 }

retention = {
  logs_days        = 90
  log_objects_days = 180
  noncurrent_days  = 30
  glacier          = { raw = 90, lake = null, reports = 90 }
}

spark = {
  glue_worker = { type = "G.1X", count = 4 }
  emr_maximum = { vcpu = 32, memory_gib = 128, disk_gib = 400 }
}

stream_shards         = 1
stream_consumers      = { cpu = 512, memory = 2048, tasks = 1 }
athena_scan_limit_gib = 100

limits = {
  work_seconds             = 3600
  load_seconds_per_million = 30
  queue_age_seconds        = 3600
  queue_messages           = 1000
  task_wait_seconds        = 3600
  database_cpu_pct         = 80
}

budget_usd       = 600
anomaly_usd      = 50
may_destroy_data = false
