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
  image_repository         = "waybill-test"
}

run "who_may_enter" {
  command = plan

  assert {
    condition = { for purpose, role in aws_iam_role.github : purpose => one(jsondecode(role.assume_role_policy).Statement).Condition.StringEquals["token.actions.githubusercontent.com:sub"] } == {
      plan    = ["repo:example/waybill:pull_request", "repo:example/waybill:ref:refs/heads/main"]
      publish = ["repo:example/waybill:ref:refs/heads/main"]
      check   = ["repo:example/waybill:ref:refs/heads/main"]
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
    condition     = one([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : statement.NotResource if statement.Sid == "NoObjects"]) == "arn:aws:s3:::waybill-state-123456789012/*"
    error_message = "Of all objects, only the state may be read."
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
    condition     = { for statement in jsondecode(aws_iam_role_policy.publish.policy).Statement : statement.Sid => statement.Resource } == { LogIn = "*", PushImage = "arn:aws:ecr:eu-central-1:123456789012:repository/waybill-test" }
    error_message = "Only images of one repository may be pushed."
  }
}

run "check_runs_one_task" {
  command = plan

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.check.policy).Statement : statement.Sid => statement.Resource } == {
      FindTask    = "*"
      RunBooks    = "arn:aws:ecs:eu-central-1:123456789012:task-definition/waybill-test-books:*"
      WithItsRole = "arn:aws:iam::123456789012:role/waybill-test-books"
      WaitForIt   = "arn:aws:ecs:eu-central-1:123456789012:task/waybill-test/*"
      ReadItsLog  = "arn:aws:logs:eu-central-1:123456789012:log-group:/waybill-test/airflow/books:log-stream:*"
    }
    error_message = "Only the task of the books may be started, with its own role."
  }
  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.check.policy).Statement : statement.Condition if contains(["RunBooks", "WithItsRole"], statement.Sid)] == [
      { ArnEquals = { "ecs:cluster" = "arn:aws:ecs:eu-central-1:123456789012:cluster/waybill-test" } },
      { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } },
    ]
    error_message = "The task must run in the cluster of the environment, and only ECS may get its role."
  }
  assert {
    condition     = alltrue([for action in flatten([for statement in jsondecode(aws_iam_role_policy.check.policy).Statement : statement.Action if statement.Resource == "*"]) : can(regex(":Describe", action))])
    error_message = "Only looking may be allowed on all resources."
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
