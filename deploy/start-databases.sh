#!/bin/sh
# Starts the databases that night mode has stopped, and waits until they have started: deploy/start-databases.sh waybill-dev
# The next evening stops them again. Databases that run, or that do not exist yet, are left alone. Needs the AWS CLI.
set -eu
name=$1
started=
left=120
while :; do
    waiting=
    for database in "$name-metadata" "$name-warehouse"; do
        status=$(aws rds describe-db-instances --output text \
            --query "DBInstances[?DBInstanceIdentifier=='$database'].DBInstanceStatus")
        case $status in
            stopped | stopping | starting | configuring-*) waiting="$waiting $database ($status)" ;;
        esac
        case "$status $started " in
            "stopped "*" $database "*) ;; # RDS has not begun yet
            "stopped "*)
                echo "$database: stopped by night mode. It starts now; the next evening stops it again."
                aws rds start-db-instance --db-instance-identifier "$database" > /dev/null
                started="$started $database"
                ;;
        esac
    done
    [ -n "$waiting" ] || break
    left=$((left - 1))
    if [ "$left" = 0 ]; then
        echo "After half an hour, these databases have not started:$waiting" >&2
        exit 1
    fi
    sleep 15
done
