# Reading input and writing output are two policies and two roles: who has one of them can neither change what was
# delivered nor see what it was made from. Airflow has both, since its one connection `aws_default` does both. A test
# compares the files in policies/ with the calls that the code makes.
locals {
  # Known before they are made, so that a plan shows what may do what.
  policy_arn = { for policy in ["boundary", "read-input", "write-output"] : policy => "arn:aws:iam::${var.account_id}:policy/${var.name}-${policy}" }
  role_arn   = { for role in ["input-reader", "output-writer"] : role => "arn:aws:iam::${var.account_id}:role/${var.name}-${role}" }

  policies = { for policy in keys(local.policy_arn) : policy => jsonencode(jsondecode(templatefile("${path.module}/policies/${policy}.json.tftpl", {
    name       = var.name
    account_id = var.account_id
    region     = var.region
    raw        = var.bucket_arns.raw
    lake       = var.bucket_arns.lake
    reports    = var.bucket_arns.reports
    dashboard  = var.bucket_arns.dashboard
  }))) }
}

resource "aws_iam_policy" "boundary" {
  #checkov:skip=CKV_AWS_355:A boundary bounds, it grants nothing; the roles' own policies name resources
  #checkov:skip=CKV_AWS_290:As above
  #checkov:skip=CKV_AWS_289:As above
  #checkov:skip=CKV_AWS_288:As above
  #checkov:skip=CKV_AWS_287:As above
  #checkov:skip=CKV_AWS_286:As above
  name        = "${var.name}-boundary"
  description = "The most that a role of ${var.name} can be allowed."
  policy      = local.policies.boundary
}

resource "aws_iam_policy" "read_input" {
  name        = "${var.name}-read-input"
  description = "Read what was delivered."
  policy      = local.policies.read-input
}

resource "aws_iam_policy" "write_output" {
  name        = "${var.name}-write-output"
  description = "Write and replace lake, reports and dashboard; versions stay."
  policy      = local.policies.write-output
}

resource "aws_iam_role" "input_reader" {
  #checkov:skip=CKV_AWS_61:A condition names the roles; named as principals, they would be shut out when they are made anew
  name                 = "${var.name}-input-reader"
  description          = "Reads the raw zone: the crawler, and people who look into a delivery."
  permissions_boundary = aws_iam_policy.boundary.arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "Crawler"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "glue.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      }], length(var.readers) == 0 ? [] : [{
      Sid       = "Readers"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      Condition = { ArnEquals = { "aws:PrincipalArn" = [for role in var.readers : "arn:aws:iam::${var.account_id}:role/${role}"] } }
    }])
  })
}

resource "aws_iam_role" "output_writer" {
  #checkov:skip=CKV_AWS_61:A condition names the roles; named as principals, they would be shut out when they are made anew
  name                 = "${var.name}-output-writer"
  description          = "Writes lake, reports and dashboard, and cannot read the raw zone."
  permissions_boundary = aws_iam_policy.boundary.arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Writers"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      Condition = { ArnEquals = { "aws:PrincipalArn" = [for role in var.writers : "arn:aws:iam::${var.account_id}:role/${role}"] } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "input_reader" {
  role       = aws_iam_role.input_reader.name
  policy_arn = aws_iam_policy.read_input.arn
}

resource "aws_iam_role_policy_attachment" "output_writer" {
  role       = aws_iam_role.output_writer.name
  policy_arn = aws_iam_policy.write_output.arn
}
