#!/bin/sh
# Runs Terraform for an environment as the workflows do: deploy/terraform.sh dev plan -out=tfplan
# ACCOUNT is the account number, AWS_REGION the region, VALUES the other values of terraform.tfvars.example, and
# CODE_VERSION the commit. Airflow is created with the newest uploaded artefacts, so not before the first upload.
set -eu
environment=$1
shift
cd "$(dirname "$0")/../terraform/environments/$environment"
printf 'account_id = "%s"\nregion = "%s"\nstate_bucket = "waybill-state-%s"\n%s\n' \
    "$ACCOUNT" "$AWS_REGION" "$ACCOUNT" "$VALUES" > terraform.tfvars
newest() {
    aws s3api list-object-versions --bucket "waybill-$environment-airflow-$ACCOUNT" --prefix "artefacts/$1" \
        --query 'Versions[?IsLatest].VersionId | [0]' --output text
}
if aws s3api get-bucket-location --bucket "waybill-$environment-airflow-$ACCOUNT" > /dev/null 2>&1; then
    plugins=$(newest plugins.zip)
    requirements=$(newest requirements.txt)
    if [ "$plugins" != None ] && [ "$requirements" != None ]; then
        export TF_VAR_artefacts="{plugins_version=\"$plugins\",requirements_version=\"$requirements\"}"
    fi
fi
export TF_VAR_code_version="$CODE_VERSION" TF_IN_AUTOMATION=1 TF_INPUT=0
terraform init -backend-config=backend.hcl -backend-config="bucket=waybill-state-$ACCOUNT" \
    -backend-config="region=$AWS_REGION" > /dev/null
exec terraform "$@"
