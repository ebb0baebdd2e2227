mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                     = "waybill-test"
  account_id               = "123456789012"
  region                   = "eu-central-1"
  environment              = "test"
  permissions_boundary_arn = "arn:aws:iam::123456789012:policy/waybill-test-boundary"
  repository               = "example/waybill"
  state_bucket             = "waybill-state-123456789012"
  airflow_bucket           = "waybill-test-airflow-123456789012"
  dashboard_bucket         = "waybill-test-dashboard-123456789012"
  distribution_arn         = "arn:aws:cloudfront::123456789012:distribution/E1"
  image_repository         = "waybill-test"
}

run "who_may_enter" {
  command = plan

  assert {
    condition = { for purpose, role in aws_iam_role.github : purpose => one(jsondecode(role.assume_role_policy).Statement).Condition.StringEquals["token.actions.githubusercontent.com:sub"] } == {
      plan    = ["repo:example/waybill:pull_request", "repo:example/waybill:ref:refs/heads/main"]
      publish = ["repo:example/waybill:ref:refs/heads/main"]
      deploy  = ["repo:example/waybill:environment:test"]
    }
    error_message = "Each role must be for its own kind of job of one repository."
  }
  assert {
    condition = alltrue([for role in aws_iam_role.github : alltrue([
      keys(one(jsondecode(role.assume_role_policy).Statement).Condition) == ["StringEquals"],
      one(jsondecode(role.assume_role_policy).Statement).Condition.StringEquals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com",
    ])])
    error_message = "Tokens must be for AWS, and compared without wildcards."
  }
}

run "plan_reads_no_data" {
  command = plan

  assert {
    condition     = toset(flatten([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : statement.Sid if statement.Effect == "Deny"])) == toset(["NoObjects", "NoSecrets", "NoData"])
    error_message = "A pull request must not read data."
  }
  assert {
    condition = toset(one([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : statement.NotResource if statement.Sid == "NoObjects"])) == toset([
      "arn:aws:s3:::waybill-state-123456789012/*", "arn:aws:s3:::waybill-test-airflow-123456789012/jobs/transform.py",
    ])
    error_message = "Of all objects, only the state and the script of the Spark job may be read."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : statement.Resource if statement.Sid == "LockState"]) == "arn:aws:s3:::waybill-state-123456789012/waybill/test/*.tflock"
    error_message = "A plan may lock the state, and not change it."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : statement.Resource if statement.Sid == "SavePlan"]) == "arn:aws:s3:::waybill-state-123456789012/plans/test/*"
    error_message = "A plan must be saved apart from the state."
  }
}

run "publish_uploads_and_no_more" {
  command = plan

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.publish.policy).Statement : statement.Resource if statement.Sid == "Upload"]) == "arn:aws:s3:::waybill-test-dashboard-123456789012/*"
    error_message = "Of all buckets, only that of the dashboard may be written."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.publish.policy).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")] == ["LogIn"]
    error_message = "Only logging in may be allowed on all."
  }
  assert {
    condition     = one(jsondecode(aws_iam_role_policy.refresh.policy).Statement).Resource == var.distribution_arn
    error_message = "Only the dashboard's cache may be emptied."
  }
}

run "deploy_is_bounded" {
  command = plan

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.deploy.policy).Statement : statement.Condition if statement.Sid == "BoundedRoles"]) == { StringEquals = { "iam:PermissionsBoundary" = var.permissions_boundary_arn } }
    error_message = "No role may be made without the boundary."
  }
  assert {
    condition = alltrue([for arn in ["arn:aws:iam::123456789012:role/waybill-test-github-deploy", "arn:aws:iam::123456789012:policy/waybill-test-boundary"] :
    contains(one([for statement in jsondecode(aws_iam_role_policy.deploy.policy).Statement : statement.Resource if statement.Sid == "NotItself"]), arn)])
    error_message = "Who deploys must not be able to widen what it may do."
  }
  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.deploy.policy).Statement : statement.NotResource if statement.Sid == "NoSecrets"]) == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:waybill-test/airflow/connections/*"
    error_message = "Who deploys must not read keys and passwords."
  }
  assert {
    condition     = aws_iam_role_policy_attachment.deploy.policy_arn == "arn:aws:iam::aws:policy/PowerUserAccess"
    error_message = "Who deploys must not be an administrator."
  }
}

run "provider_that_is_there" {
  command = plan

  variables {
    oidc_provider_is_there = true
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0
    error_message = "An account has one provider for GitHub."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    repository = "example/*"
  }

  expect_failures = [var.repository]
}
