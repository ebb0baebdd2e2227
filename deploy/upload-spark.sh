#!/bin/sh
# Uploads the code of the Spark job: deploy/upload-spark.sh s3://<bucket>/spark/<version>
# Terraform calls it for each version of the code. It needs python3, the AWS CLI and its region.
set -eu
address=$1
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
python3 "$(dirname "$0")/spark_code.py" "$folder"
aws s3 cp --only-show-errors --recursive "$folder" "$address/"
