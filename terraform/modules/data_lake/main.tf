# The five buckets. Files land in `raw`; `lake` holds Parquet made from them; `reports` the published answers;
# `dashboard` the static pages; `logs` what the others and AWS have to tell.
locals {
  bucket = { for purpose in ["raw", "lake", "reports", "dashboard", "logs"] : purpose => "${var.name}-${purpose}-${var.account_id}" }

  # Not in one map with what is below: the dashboard's policy names a distribution that is made from its bucket.
  keys     = { raw = var.data_key_arn, lake = var.data_key_arn, reports = var.data_key_arn, dashboard = null }
  glacier  = merge(var.glacier_after_days, { dashboard = null })
  expiry   = { raw = var.raw_expire_after_days, lake = { "athena/" = 30, "_spark/" = 14 } } # by contracts; answers of queries; what Spark jobs exchange
  policies = { raw = [], lake = [], reports = [], dashboard = local.dashboard_statements }

  dashboard_statements = [for arn in var.dashboard_distribution_arns : jsonencode({
    Sid       = "CloudFrontReads"
    Effect    = "Allow"
    Principal = { Service = "cloudfront.amazonaws.com" }
    Action    = "s3:GetObject"
    Resource  = "arn:aws:s3:::${local.bucket.dashboard}/*"
    Condition = { StringEquals = { "AWS:SourceArn" = arn } }
  })]

  logs_arn = "arn:aws:s3:::${local.bucket.logs}"
  log_statements = [for statement in [
    {
      Sid       = "AccessLogs"
      Principal = { Service = "logging.s3.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "${local.logs_arn}/s3/*"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:aws:s3:::${var.name}-*" }
      }
    },
    {
      Sid       = "TrailLooks"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = "s3:GetBucketAcl"
      Resource  = local.logs_arn
      Condition = { StringEquals = { "aws:SourceArn" = var.trail_arn } }
    },
    {
      Sid       = "TrailWrites"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "${local.logs_arn}/cloudtrail/AWSLogs/${var.account_id}/*"
      Condition = { StringEquals = { "aws:SourceArn" = var.trail_arn, "s3:x-amz-acl" = "bucket-owner-full-control" } }
    },
    {
      Sid       = "DeliveryLooks" # flow logs of the network, access logs of CloudFront
      Principal = { Service = "delivery.logs.amazonaws.com" }
      Action    = ["s3:GetBucketAcl", "s3:ListBucket"]
      Resource  = local.logs_arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    },
    {
      Sid       = "DeliveryWrites"
      Principal = { Service = "delivery.logs.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "${local.logs_arn}/AWSLogs/*"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id, "s3:x-amz-acl" = "bucket-owner-full-control" } }
    },
    {
      Sid       = "LoadBalancerLogs"
      Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "${local.logs_arn}/load-balancer/AWSLogs/${var.account_id}/*"
      Condition = { ArnLike = { "aws:SourceArn" = "arn:aws:elasticloadbalancing:${var.region}:${var.account_id}:loadbalancer/app/${var.name}-*" } }
    },
  ] : jsonencode(merge({ Effect = "Allow" }, statement))]
}

module "bucket" {
  source   = "../bucket"
  for_each = toset(["raw", "lake", "reports", "dashboard"])

  name               = local.bucket[each.key]
  kms_key_arn        = local.keys[each.key]
  glacier_after_days = local.glacier[each.key]
  expire_after_days  = lookup(local.expiry, each.key, {})
  noncurrent_days    = var.noncurrent_days
  access_log_bucket  = local.bucket.logs
  policy_statements  = local.policies[each.key]
  force_destroy      = var.force_destroy

  depends_on = [module.logs]
}

# S3 writes access logs only where it keeps the key itself.
module "logs" {
  source = "../bucket"

  name              = local.bucket.logs
  expire_after_days = { "" = var.log_expire_after_days }
  noncurrent_days   = var.noncurrent_days
  policy_statements = local.log_statements
  force_destroy     = var.force_destroy
}

# ---- a file landed: tell the queue of its pipeline

locals {
  queue_names = merge(
    { for pipeline in keys(var.arrivals) : pipeline => "${var.name}-${pipeline}" },
    { for pipeline in keys(var.arrivals) : "${pipeline}-dead" => "${var.name}-${pipeline}-dead" },
  )
  queue_arns = { for queue, name in local.queue_names : queue => "arn:aws:sqs:${var.region}:${var.account_id}:${name}" }
}

resource "aws_sqs_queue" "landed" {
  for_each                   = var.arrivals
  name                       = local.queue_names[each.key]
  kms_master_key_id          = var.queue_key_arn
  visibility_timeout_seconds = 300
  message_retention_seconds  = 1209600 # 14 days, the most there is
  receive_wait_time_seconds  = 20
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = var.landed_max_receives
  })
}

resource "aws_sqs_queue" "dead" {
  for_each                  = var.arrivals
  name                      = local.queue_names["${each.key}-dead"]
  kms_master_key_id         = var.queue_key_arn
  message_retention_seconds = 1209600
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each  = var.arrivals
  queue_url = aws_sqs_queue.dead[each.key].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.landed[each.key].arn]
  })
}

locals {
  queues = merge(
    { for pipeline, queue in aws_sqs_queue.landed : pipeline => queue.id },
    { for pipeline, queue in aws_sqs_queue.dead : "${pipeline}-dead" => queue.id },
  )
  queue_statements = { for queue, arn in local.queue_arns : queue => contains(keys(var.arrivals), queue) ? [jsonencode({
    Sid       = "RawBucketTells"
    Effect    = "Allow"
    Principal = { Service = "s3.amazonaws.com" }
    Action    = "sqs:SendMessage"
    Resource  = arn
    Condition = {
      StringEquals = { "aws:SourceAccount" = var.account_id }
      ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::${local.bucket.raw}" }
    }
  })] : [] }
}

resource "aws_sqs_queue_policy" "this" {
  for_each  = local.queue_names
  queue_url = local.queues[each.key]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = local.queue_arns[each.key]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }], [for statement in local.queue_statements[each.key] : jsondecode(statement)])
  })
}

resource "aws_s3_bucket_notification" "raw" {
  bucket = module.bucket["raw"].name
  dynamic "queue" {
    for_each = flatten([for pipeline, prefixes in var.arrivals : [for prefix in prefixes : { pipeline = pipeline, prefix = prefix }]])
    content {
      id            = queue.value.prefix
      queue_arn     = local.queue_arns[queue.value.pipeline]
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = queue.value.prefix
    }
  }

  # S3 sends a test message at once, and is refused without the policy.
  depends_on = [aws_sqs_queue_policy.this]
}
