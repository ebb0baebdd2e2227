mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name    = "waybill-test"
  key_arn = "arn:aws:kms:eu-central-1:123456789012:key/data"
}

run "registry" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "A tag must always mean the same image."
  }
  assert {
    condition     = one(aws_ecr_repository.this.image_scanning_configuration).scan_on_push
    error_message = "Images must be scanned when they are pushed."
  }
  assert {
    condition     = one(aws_ecr_repository.this.encryption_configuration).encryption_type == "KMS" && one(aws_ecr_repository.this.encryption_configuration).kms_key == var.key_arn
    error_message = "Images must be encrypted with the data key."
  }
  assert {
    condition = { for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : one(try(rule.selection.tagPatternList, ["none"])) => rule.selection.countNumber } == {
      "none" = 7, "commit-*" = 30, "sha256-*" = 30
    }
    error_message = "Left-overs must go after 7 days, and 30 images stay, with their signatures."
  }
  assert {
    condition     = aws_ecr_repository.this.force_delete == false
    error_message = "Images must not be destroyed by default."
  }
}

run "refuses_bad_values" {
  command = plan

  variables {
    key_arn     = "key"
    keep_images = 1
  }

  expect_failures = [var.key_arn, var.keep_images]
}
