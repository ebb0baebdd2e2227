mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "waybill-test"
  bucket_domain_name = "waybill-test-dashboard-123456789012.s3.eu-central-1.amazonaws.com"
  logs_bucket_arn    = "arn:aws:s3:::waybill-test-logs-123456789012"
  allowed_cidrs      = ["203.0.113.0/24"]
}

run "only_listed_networks" {
  command = apply

  assert {
    condition     = length(one(aws_wafv2_web_acl.this.default_action).block) == 1 && length(one(aws_wafv2_web_acl.this.default_action).allow) == 0
    error_message = "Who is not listed must be refused."
  }
  assert {
    condition     = [for rule in aws_wafv2_web_acl.this.rule : rule.name if length(flatten([for action in rule.action : action.allow])) > 0] == ["allowed-networks"]
    error_message = "Only one rule may let anybody in."
  }
  assert {
    condition     = aws_wafv2_ip_set.allowed.addresses == toset(["203.0.113.0/24"]) && aws_wafv2_ip_set.allowed.region == "us-east-1"
    error_message = "The list must be that of the environment, where CloudFront looks for it."
  }
  assert {
    condition     = aws_cloudfront_distribution.this.web_acl_id == aws_wafv2_web_acl.this.arn && !aws_cloudfront_distribution.this.is_ipv6_enabled
    error_message = "There must be no way around the firewall."
  }
}

run "signed_and_encrypted" {
  command = apply

  assert {
    condition     = aws_cloudfront_origin_access_control.this.signing_behavior == "always" && one(aws_cloudfront_distribution.this.origin).origin_access_control_id == aws_cloudfront_origin_access_control.this.id
    error_message = "CloudFront must sign every request to the bucket."
  }
  assert {
    condition     = one(aws_cloudfront_distribution.this.default_cache_behavior).viewer_protocol_policy == "redirect-to-https" && one(aws_cloudfront_distribution.this.default_cache_behavior).allowed_methods == toset(["GET", "HEAD"])
    error_message = "Pages must be read, by HTTPS."
  }
  assert {
    condition     = aws_cloudwatch_log_delivery_destination.this.delivery_destination_configuration[0].destination_resource_arn == var.logs_bucket_arn
    error_message = "Access must be logged."
  }
}

run "own_name" {
  command = apply

  variables {
    certificate = { host = "waybill.example.com", acm_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1" }
  }

  assert {
    condition     = output.url == "https://waybill.example.com/" && one(aws_cloudfront_distribution.this.viewer_certificate).minimum_protocol_version == "TLSv1.2_2021"
    error_message = "With an own name, TLS 1.2 must be the least."
  }
}

run "refuses_everybody_as_a_network" {
  command = plan

  variables {
    allowed_cidrs = ["0.0.0.0/0"]
    certificate   = { host = "waybill.example.com", acm_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" }
  }

  expect_failures = [var.allowed_cidrs, var.certificate]
}
