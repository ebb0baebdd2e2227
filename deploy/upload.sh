#!/bin/sh
# Uploads the files for Airflow of an environment: deploy/upload.sh <artefacts bucket>, after `make artefacts`.
# Unchanged files get no new version, because MWAA needs half an hour to update to one.
set -eu
bucket=$1
cd "$(dirname "$0")/.."
put() { # file, key
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    there=$(aws s3api head-object --bucket "$bucket" --key "$2" --query Metadata.sha256 --output text 2>/dev/null || true)
    if [ "$there" = "$digest" ]; then
        echo "$2 is unchanged"
    else
        aws s3api put-object --bucket "$bucket" --key "$2" --body "$1" --metadata "sha256=$digest" --output text > /dev/null
        echo "$2 is uploaded"
    fi
}
put dist/plugins.zip artefacts/plugins.zip
put dist/requirements.txt artefacts/requirements.txt
put jobs/transform.py jobs/transform.py
aws s3 sync dags/ "s3://$bucket/dags/" --delete --exclude '*__pycache__*'
