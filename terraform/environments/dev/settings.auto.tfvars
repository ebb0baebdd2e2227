# What makes this dev: sizes and safety. Nothing else differs between the environments.
environment = "dev"
timezone    = "UTC"

network = { cidr = "10.40.0.0/18", nat_gateways = 1, interface_endpoints = [] }

warehouse = {
  engine_version      = "18"
  instance_class      = "db.t4g.small"
  allocated_gib       = 20
  max_allocated_gib   = 100
  multi_az            = false
  deletion_protection = false
  backup_days         = 7
  insights_mode       = "standard"
}

metadata = {
  engine_version      = "18"
  instance_class      = "db.t4g.micro"
  allocated_gib       = 20
  max_allocated_gib   = 50
  multi_az            = false
  deletion_protection = false
  backup_days         = 1
  insights_mode       = "standard"
}

# One service on Spot: api-server, scheduler, DAG processor and triggerer share a task.
airflow = {
  executor            = "local"
  services            = { airflow = { cpu = 1024, memory = 6144, tasks = 1 } }
  concurrency         = 6
  spot                = true
  container_insights  = "disabled"
  internal            = false
  duckdb_memory_limit = "160MB"
}

broker = null

# Stopped outside of working hours. Remove it for daily runs at night.
night = { timezone = "UTC", stop = { hour = 19 }, start = { hour = 5, minute = 30, days = "MON-FRI" } }

retention = {
  logs_days        = 30
  log_objects_days = 90
  noncurrent_days  = 14
  glacier          = { raw = null, lake = null, reports = null }
}

spark = {
  glue_worker = { type = "G.1X", count = 2 }
  emr_maximum = { vcpu = 16, memory_gib = 64, disk_gib = 200 }
}

stream_shards         = 1
stream_consumers      = { cpu = 512, memory = 2048, tasks = 1 }
athena_scan_limit_gib = 10

limits = {
  work_seconds             = 3600
  load_seconds_per_million = 60
  queue_age_seconds        = 3600
  queue_messages           = 1000
  task_wait_seconds        = 3600
  database_cpu_pct         = 80
}

budget_usd       = 250
anomaly_usd      = 20
may_destroy_data = true
