#!/bin/sh
# Runs Terraform for an environment as the workflows do: deploy/terraform.sh dev plan -out=tfplan
# ACCOUNT is the account number, AWS_REGION the region, VALUES the other values of terraform.tfvars.example, and DIGEST
# the digest of the image. Without DIGEST it is the newest image that has the tag of a commit.
set -eu
environment=$1
shift
cd "$(dirname "$0")/../terraform/environments/$environment"
printf 'account_id = "%s"\nregion = "%s"\nstate_bucket = "waybill-state-%s"\n%s\n' \
    "$ACCOUNT" "$AWS_REGION" "$ACCOUNT" "$VALUES" > terraform.tfvars
digest=${DIGEST:-}
if [ -z "$digest" ] && ! digest=$(aws ecr describe-images --repository-name "waybill-$environment" --output text \
    --page-size 1000 --filter tagStatus=TAGGED \
    --query "sort_by(imageDetails[?starts_with(imageTags[0], 'commit-')], &imagePushedAt)[-1].imageDigest" 2>&1); then
    case $digest in
        *RepositoryNotFoundException*) digest= ;; # before the first apply
        *) echo "$digest" >&2 && exit 1 ;;
    esac
fi
if [ -n "$digest" ] && [ "$digest" != None ]; then
    export TF_VAR_image="$ACCOUNT.dkr.ecr.$AWS_REGION.amazonaws.com/waybill-$environment@$digest"
fi
export TF_IN_AUTOMATION=1 TF_INPUT=0
terraform init -backend-config=backend.hcl -backend-config="bucket=waybill-state-$ACCOUNT" \
    -backend-config="region=$AWS_REGION" > /dev/null
exec terraform "$@"
