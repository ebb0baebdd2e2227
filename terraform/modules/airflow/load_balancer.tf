# TLS ends here. The security group admits the listed networks, and Airflow asks everybody to log in.
resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_150:Deletion protection is a value of the environment: on in staging and prod
  #checkov:skip=CKV2_AWS_28:The security group admits listed networks only
  count                      = local.deployed ? 1 : 0
  name                       = "${var.name}-airflow"
  load_balancer_type         = "application"
  internal                   = var.internal
  subnets                    = var.internal ? var.subnet_ids : var.public_subnet_ids
  security_groups            = [var.load_balancer_security_group_id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection

  access_logs {
    bucket  = var.logs_bucket
    prefix  = "load-balancer"
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:TLS ends at the load balancer; only it reaches port 8080
  count                = local.deployed ? 1 : 0
  name                 = "${var.name}-airflow"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = 8080
  deregistration_delay = "30"

  health_check {
    path                = "/api/v2/monitor/health"
    matcher             = "200"
    interval            = 30
    timeout             = 10
    healthy_threshold   = 2
    unhealthy_threshold = 5
  }
}

resource "aws_lb_listener" "https" {
  count             = local.deployed ? 1 : 0
  load_balancer_arn = aws_lb.this[0].arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.address.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[0].arn
  }
}

resource "aws_route53_record" "this" {
  count   = local.deployed && try(var.address.zone_id, null) != null ? 1 : 0
  zone_id = var.address.zone_id
  name    = var.address.host
  type    = "A"

  alias {
    name                   = aws_lb.this[0].dns_name
    zone_id                = aws_lb.this[0].zone_id
    evaluate_target_health = true
  }
}
