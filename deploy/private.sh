# Source it on a machine in the private network: . deploy/private.sh <Terraform's outputs as JSON>
# Sets the variables for `waybill`. The role of the machine signs the database password, which is valid for 15 minutes.
# shellcheck shell=sh
output() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]]["value"])' "$outputs" "$1"; }
outputs=$1
host=$(output warehouse_host)
port=$(output warehouse_port)
role=$(output warehouse_role)
PGPASSWORD=$(aws rds generate-db-auth-token --hostname "$host" --port "$port" --username "$role")
AIRFLOW_CONN_WAYBILL_WAREHOUSE="postgresql://$role@$host:$port/$(output warehouse_database)?sslmode=require"
WAYBILL_PROFILE=prod
WAYBILL_SECRET_ID=$(output settings_secret)
WAYBILL_RAW_BUCKET=$(output raw_bucket)
WAYBILL_REPORTS_BUCKET=$(output reports_bucket)
WAYBILL_LAKE_BUCKET=$(output lake_bucket)
WAYBILL_DASHBOARD_BUCKET=$(output dashboard_bucket)
DISTRIBUTION=$(output dashboard_distribution_id)
export WAYBILL_PROFILE WAYBILL_SECRET_ID PGPASSWORD AIRFLOW_CONN_WAYBILL_WAREHOUSE WAYBILL_RAW_BUCKET WAYBILL_REPORTS_BUCKET
export WAYBILL_LAKE_BUCKET WAYBILL_DASHBOARD_BUCKET DISTRIBUTION
