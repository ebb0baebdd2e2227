# GitHub's jobs enter with a token that is good for minutes; there is no key to leak. Four roles: `plan` looks, for pull
# requests; `publish` uploads the images of main; `check` asks for the books; `deploy` changes the account, in a GitHub
# environment that wants approval.
locals {
  issuer       = "token.actions.githubusercontent.com"
  provider_arn = "arn:aws:iam::${var.account_id}:oidc-provider/${local.issuer}"
  state_arn    = "arn:aws:s3:::${var.state_bucket}"

  connections_arn = "arn:aws:secretsmanager:${var.region}:${var.account_id}:secret:${var.name}/airflow/connections/*"

  subjects = {
    plan    = ["repo:${var.repository}:pull_request", "repo:${var.repository}:ref:refs/heads/main"]
    publish = ["repo:${var.repository}:ref:refs/heads/main"]
    check   = ["repo:${var.repository}:ref:refs/heads/main"]
    deploy  = ["repo:${var.repository}:environment:${var.environment}"]
  }
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.oidc_provider_is_there ? 0 : 1
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "github" {
  for_each             = local.subjects
  name                 = "${var.name}-github-${each.key}"
  description          = "GitHub Actions of ${var.repository}: ${each.key}."
  max_session_duration = 7200
  depends_on           = [aws_iam_openid_connect_provider.github]
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.provider_arn }
      Condition = { StringEquals = { "${local.issuer}:aud" = "sts.amazonaws.com", "${local.issuer}:sub" = each.value } }
    }]
  })
}

# ---- plan: reads settings, never data

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.github["plan"].name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "plan" {
  name = "plan"
  role = aws_iam_role.github["plan"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LockState"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject"]
        Resource = "${local.state_arn}/waybill/${var.environment}/*.tflock"
      },
      {
        Sid      = "SavePlan" # which is applied only with the checksum that its workflow run knows
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "${local.state_arn}/plans/${var.environment}/*"
      },
      {
        Sid      = "ReadStateAndConnections"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey", "secretsmanager:GetSecretValue"]
        Resource = ["arn:aws:kms:${var.region}:${var.account_id}:key/*", local.connections_arn]
        Condition = {
          "ForAnyValue:StringEqualsIfExists" = { "kms:ResourceAliases" = ["alias/waybill-state", "alias/${var.name}-data"] }
        }
      },
      {
        Sid         = "NoObjects" # but the state
        Effect      = "Deny"
        Action      = "s3:GetObject*"
        NotResource = "${local.state_arn}/*"
      },
      {
        Sid         = "NoSecrets" # but connections, which hold no password
        Effect      = "Deny"
        Action      = "secretsmanager:GetSecretValue"
        NotResource = local.connections_arn
      },
      {
        Sid    = "NoData"
        Effect = "Deny"
        Action = [
          "athena:GetQueryResults*", "kinesis:GetRecords", "logs:FilterLogEvents", "logs:GetLogEvents", "logs:GetQueryResults",
          "logs:StartQuery", "sqs:ReceiveMessage",
        ]
        Resource = "*"
      },
    ]
  })
}

# ---- publish: images

resource "aws_iam_role_policy" "publish" {
  #checkov:skip=CKV_AWS_355:Logging in to ECR knows no resource
  name = "publish"
  role = aws_iam_role.github["publish"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LogIn"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Sid    = "PushImage"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:DescribeImageScanFindings", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = "arn:aws:ecr:${var.region}:${var.account_id}:repository/${var.image_repository}"
      },
    ]
  })
}

# ---- check: runs the task `books` and reads its log (deploy/run-task.sh)

# Whoever starts a task may replace its command. So the task has a role that reads, and no other role may be passed.
resource "aws_iam_role_policy" "check" {
  #checkov:skip=CKV_AWS_355:EC2 and ECS describe networks and task definitions without a resource
  name = "check"
  role = aws_iam_role.github["check"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "FindTask"
        Effect   = "Allow"
        Action   = ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ecs:DescribeTaskDefinition"]
        Resource = "*"
      },
      {
        Sid       = "RunBooks"
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = "arn:aws:ecs:${var.region}:${var.account_id}:task-definition/${var.name}-books:*"
        Condition = { ArnEquals = { "ecs:cluster" = "arn:aws:ecs:${var.region}:${var.account_id}:cluster/${var.name}" } }
      },
      {
        Sid       = "WithItsRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = "arn:aws:iam::${var.account_id}:role/${var.name}-books"
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      {
        Sid      = "WaitForIt"
        Effect   = "Allow"
        Action   = "ecs:DescribeTasks"
        Resource = "arn:aws:ecs:${var.region}:${var.account_id}:task/${var.name}/*"
      },
      {
        Sid      = "ReadItsLog"
        Effect   = "Allow"
        Action   = "logs:GetLogEvents"
        Resource = "arn:aws:logs:${var.region}:${var.account_id}:log-group:/${var.name}/airflow/books:log-stream:*"
      },
    ]
  })
}

# ---- deploy: what Terraform makes, and no role without the boundary

resource "aws_iam_role_policy_attachment" "deploy" {
  #checkov:skip=CKV_AWS_274:PowerUserAccess, not AdministratorAccess: it makes no roles
  role       = aws_iam_role.github["deploy"].name
  policy_arn = "arn:aws:iam::aws:policy/PowerUserAccess"
}

resource "aws_iam_role_policy" "deploy" {
  #checkov:skip=CKV_AWS_355:Looking at roles; what changes them names them
  name = "roles"
  role = aws_iam_role.github["deploy"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LookAtRoles"
        Effect   = "Allow"
        Action   = ["iam:Get*", "iam:List*"]
        Resource = "*"
      },
      {
        Sid       = "BoundedRoles"
        Effect    = "Allow"
        Action    = ["iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"]
        Resource  = "arn:aws:iam::${var.account_id}:role/${var.name}-*"
        Condition = { StringEquals = { "iam:PermissionsBoundary" = var.permissions_boundary_arn } }
      },
      {
        Sid      = "TendOwnRoles"
        Effect   = "Allow"
        Action   = ["iam:DeleteRole", "iam:UpdateRole", "iam:UpdateAssumeRolePolicy", "iam:TagRole", "iam:UntagRole", "iam:PassRole"]
        Resource = "arn:aws:iam::${var.account_id}:role/${var.name}-*"
      },
      {
        Sid      = "OwnPolicies"
        Effect   = "Allow"
        Action   = ["iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:TagPolicy", "iam:UntagPolicy"]
        Resource = "arn:aws:iam::${var.account_id}:policy/${var.name}-*"
      },
      {
        Sid      = "ServiceRoles" # of ECS, RDS, ElastiCache, load balancers and EMR Serverless
        Effect   = "Allow"
        Action   = "iam:CreateServiceLinkedRole"
        Resource = "arn:aws:iam::${var.account_id}:role/aws-service-role/*"
      },
      {
        Sid      = "NotItself" # who deploys cannot widen what deploying may do, nor move its bounds
        Effect   = "Deny"
        Action   = ["iam:Create*", "iam:Delete*", "iam:Put*", "iam:Attach*", "iam:Detach*", "iam:Update*"]
        Resource = concat([for role in keys(local.subjects) : "arn:aws:iam::${var.account_id}:role/${var.name}-github-${role}"], [var.permissions_boundary_arn])
      },
      {
        Sid         = "NoSecrets" # but connections, which hold no password and which Terraform writes
        Effect      = "Deny"
        Action      = "secretsmanager:GetSecretValue"
        NotResource = local.connections_arn
      },
      {
        Sid      = "BoundsStay"
        Effect   = "Deny"
        Action   = "iam:DeleteRolePermissionsBoundary"
        Resource = "*"
      },
    ]
  })
}
