#!/bin/sh
# Runs a task on ECS once and waits for its end: deploy/run-task.sh <environment> <task definition> [command ...]
#     deploy/run-task.sh waybill-dev waybill-dev-migrate
#     deploy/run-task.sh waybill-dev waybill-dev-migrate waybill books 2026-01 2026-03
# Without a command, the task runs that of its definition. Prints the last lines of the log. The exit code is that of the
# task, or 1 if it did not start or did not end within half an hour. Needs the AWS CLI and its region.
set -eu
name=$1
definition=$2
shift 2
export AWS_PAGER= # a log must not wait for a key
call() { aws "$@" --output text; }

subnets=$(call ec2 describe-subnets --filters "Name=tag:Name,Values=$name-private-*" --query 'Subnets[].SubnetId' | tr '\t' ',')
group=$(call ec2 describe-security-groups --filters "Name=group-name,Values=$name-airflow" --query 'SecurityGroups[].GroupId')
if [ -z "$subnets" ] || [ -z "$group" ]; then
    echo "$name: the private subnets or the security group $name-airflow do not exist in this account and region." >&2
    exit 1
fi
described=$(call ecs describe-task-definition --task-definition "$definition" --query \
    'taskDefinition.containerDefinitions[0].[name, logConfiguration.options."awslogs-group", logConfiguration.options."awslogs-stream-prefix"]')
container=$(echo "$described" | cut -f 1)
logs=$(echo "$described" | cut -f 2)
prefix=$(echo "$described" | cut -f 3)
overrides=$(python3 -c 'import json, sys
_, container, *command = sys.argv
print(json.dumps({"containerOverrides": [{"name": container, "command": command}] if command else []}))' "$container" "$@")

started=$(call ecs run-task --cluster "$name" --task-definition "$definition" --launch-type FARGATE --started-by run-task \
    --network-configuration "awsvpcConfiguration={subnets=[$subnets],securityGroups=[$group],assignPublicIp=DISABLED}" \
    --overrides "$overrides" --query '[tasks[0].taskArn, failures[0].reason]')
task=$(echo "$started" | cut -f 1)
if [ "$task" = None ]; then
    echo "$definition: the task did not start: $(echo "$started" | cut -f 2)" >&2
    exit 1
fi
echo "$definition: task ${task##*/} is running; its log is in $logs."

left=360
while [ "$(call ecs describe-tasks --cluster "$name" --tasks "$task" --query 'tasks[0].lastStatus')" != STOPPED ]; do
    left=$((left - 1))
    if [ "$left" = 0 ]; then
        call ecs stop-task --cluster "$name" --task "$task" --reason "did not end within half an hour" > /dev/null
        echo "$definition: stopped, because the task did not end within half an hour." >&2
        exit 1
    fi
    sleep 5
done
call logs get-log-events --log-group-name "$logs" --log-stream-name "$prefix/$container/${task##*/}" --limit 100 \
    --query 'events[].[message]' || echo "$definition: there is no log." >&2

ended=$(call ecs describe-tasks --cluster "$name" --tasks "$task" --query 'tasks[0].[containers[0].exitCode, stoppedReason]')
code=$(echo "$ended" | cut -f 1)
if [ "$code" = None ]; then
    echo "$definition: the container did not run: $(echo "$ended" | cut -f 2)" >&2
    exit 1
fi
[ "$code" = 0 ] || echo "$definition: failed with exit code $code." >&2
exit "$code"
