# Static pages from a bucket that only CloudFront can read, for the networks that are listed.
locals {
  global_region = "us-east-1" # CloudFront's firewall and log delivery are managed there
}

resource "aws_cloudfront_origin_access_control" "this" {
  name                              = var.name
  description                       = "Signs CloudFront's requests to the bucket."
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_response_headers_policy" "this" {
  #checkov:skip=CKV_AWS_259:All but preloading, which binds a whole domain for years: that is for the domain's owner
  name = var.name
  security_headers_config {
    content_security_policy {
      content_security_policy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
      override                = true
    }
    content_type_options {
      override = true
    }
    frame_options {
      frame_option = "DENY"
      override     = true
    }
    referrer_policy {
      referrer_policy = "no-referrer"
      override        = true
    }
    strict_transport_security {
      access_control_max_age_sec = 31536000
      include_subdomains         = true
      override                   = true
    }
  }
}

resource "aws_cloudfront_distribution" "this" {
  #checkov:skip=CKV_AWS_86:Access logs go through log delivery below, which needs no ACL on the bucket
  #checkov:skip=CKV_AWS_310:One bucket; its region failing takes the whole platform with it
  #checkov:skip=CKV_AWS_374:The firewall lets listed networks in and nobody else, which is stricter than countries
  #checkov:skip=CKV_AWS_174:With a certificate TLS 1.2 is the least; CloudFront's own name does not let one choose
  #checkov:skip=CKV2_AWS_47:Known bad inputs are refused; a list of anonymous addresses adds nothing to a list of those let in
  #checkov:skip=CKV2_AWS_42:An own certificate is a value of the environment
  enabled             = true
  comment             = "${var.name}: dashboard"
  default_root_object = "index.html"
  http_version        = "http2and3"
  is_ipv6_enabled     = false # the firewall's list is IPv4
  price_class         = "PriceClass_100"
  web_acl_id          = aws_wafv2_web_acl.this.arn
  aliases             = var.certificate == null ? [] : [var.certificate.host]

  origin {
    origin_id                = "dashboard"
    domain_name              = var.bucket_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.this.id
  }

  default_cache_behavior {
    target_origin_id           = "dashboard"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    compress                   = true
    cache_policy_id            = "658327ea-f89d-4fab-a63d-7e88639e58f6" # AWS's CachingOptimized
    response_headers_policy_id = aws_cloudfront_response_headers_policy.this.id
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = var.certificate == null
    acm_certificate_arn            = try(var.certificate.acm_arn, null)
    ssl_support_method             = var.certificate == null ? null : "sni-only"
    minimum_protocol_version       = var.certificate == null ? "TLSv1" : "TLSv1.2_2021"
  }
}

# ---- the firewall: nobody, but for the networks listed

resource "aws_wafv2_ip_set" "allowed" {
  region             = local.global_region
  name               = "${var.name}-dashboard"
  description        = "Networks from which the dashboard may be opened."
  scope              = "CLOUDFRONT"
  ip_address_version = "IPV4"
  addresses          = var.allowed_cidrs
}

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV2_AWS_31:CloudFront's access log tells who was refused
  region      = local.global_region
  name        = "${var.name}-dashboard"
  description = "Refuses everybody but the networks listed."
  scope       = "CLOUDFRONT"

  default_action {
    block {}
  }

  rule {
    name     = "known-bad-inputs"
    priority = 1
    override_action {
      none {}
    }
    statement {
      managed_rule_group_statement {
        vendor_name = "AWS"
        name        = "AWSManagedRulesKnownBadInputsRuleSet"
      }
    }
    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "known-bad-inputs"
      sampled_requests_enabled   = true
    }
  }

  rule {
    name     = "rate"
    priority = 2
    action {
      block {}
    }
    statement {
      rate_based_statement {
        limit              = 2000
        aggregate_key_type = "IP"
      }
    }
    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "rate"
      sampled_requests_enabled   = true
    }
  }

  rule {
    name     = "allowed-networks"
    priority = 3
    action {
      allow {}
    }
    statement {
      ip_set_reference_statement {
        arn = aws_wafv2_ip_set.allowed.arn
      }
    }
    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "allowed-networks"
      sampled_requests_enabled   = true
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = "${var.name}-dashboard"
    sampled_requests_enabled   = true
  }
}

# ---- who opened it

resource "aws_cloudwatch_log_delivery_source" "this" {
  region       = local.global_region
  name         = "${var.name}-dashboard"
  log_type     = "ACCESS_LOGS"
  resource_arn = aws_cloudfront_distribution.this.arn
}

resource "aws_cloudwatch_log_delivery_destination" "this" {
  region        = local.global_region
  name          = "${var.name}-dashboard"
  output_format = "parquet"
  delivery_destination_configuration {
    destination_resource_arn = var.logs_bucket_arn
  }
}

resource "aws_cloudwatch_log_delivery" "this" {
  region                   = local.global_region
  delivery_source_name     = aws_cloudwatch_log_delivery_source.this.name
  delivery_destination_arn = aws_cloudwatch_log_delivery_destination.this.arn
}
