#!/bin/sh
# Runs Terraform for an environment as the workflows do: deploy/terraform.sh dev plan -out=tfplan
# ACCOUNT is the account number, AWS_REGION the region, VALUES the other values of terraform.tfvars.example, and
# CODE_VERSION the commit, which is the tag of the image. A commit without an image keeps the newest one.
set -eu
environment=$1
shift
cd "$(dirname "$0")/../terraform/environments/$environment"
printf 'account_id = "%s"\nregion = "%s"\nstate_bucket = "waybill-state-%s"\n%s\n' \
    "$ACCOUNT" "$AWS_REGION" "$ACCOUNT" "$VALUES" > terraform.tfvars
if ! images=$(aws ecr describe-images --repository-name "waybill-$environment" --filter tagStatus=TAGGED --output text \
    --query "sort_by(imageDetails, &imagePushedAt)[].[imageDigest, join(' ', imageTags)]" 2>&1); then
    case $images in
        *RepositoryNotFoundException*) images= ;; # before the first apply
        *) echo "$images" >&2 && exit 1 ;;
    esac
fi
image=$(echo "$images" | grep -F "$CODE_VERSION" || echo "$images" | tail -n 1)
if [ -n "$image" ]; then
    digest=$(echo "$image" | cut -f 1)
    export TF_VAR_image="$ACCOUNT.dkr.ecr.$AWS_REGION.amazonaws.com/waybill-$environment@$digest"
fi
export TF_IN_AUTOMATION=1 TF_INPUT=0
terraform init -backend-config=backend.hcl -backend-config="bucket=waybill-state-$ACCOUNT" \
    -backend-config="region=$AWS_REGION" > /dev/null
exec terraform "$@"
