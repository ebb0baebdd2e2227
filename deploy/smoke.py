"""Check the deployed infrastructure: `python deploy/smoke.py outputs.json`, with Terraform's outputs as JSON.

Needs only read permissions and changes nothing. The exit code is 1 if a resource is missing or insecure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

BUCKETS = ("raw_bucket", "lake_bucket", "reports_bucket", "dashboard_bucket")
PUBLIC = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def refuses_plain_http(policy: str, action: str, resources: set[str]) -> bool:
    """Return whether a policy denies an action on all resources to everybody without TLS."""
    covered: set[str] = set()
    for statement in json.loads(policy)["Statement"]:
        condition = {"Bool": {"aws:SecureTransport": "false"}}
        everybody = statement.get("Principal") in ("*", {"AWS": "*"})
        if statement["Effect"] == "Deny" and everybody and statement.get("Condition") == condition:
            actions, of = (
                [one] if isinstance(one, str) else one for one in (statement["Action"], statement["Resource"])
            )
            covered |= set(of) if action in actions else set()
    return resources <= covered


def _bucket(s3: S3Client, name: str) -> Iterator[str]:
    if s3.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
        yield "versioning is not enabled"
    blocked = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    if not all(blocked.get(what) for what in PUBLIC):
        yield "public access is not blocked"
    if not s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]:
        yield "encryption is not enabled"
    arn = f"arn:aws:s3:::{name}"
    if not refuses_plain_http(s3.get_bucket_policy(Bucket=name)["Policy"], "s3:*", {arn, f"{arn}/*"}):
        yield "its policy allows plain HTTP"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    if not any(rule["Status"] == "Enabled" and "NoncurrentVersionExpiration" in rule for rule in rules):
        yield "noncurrent versions never expire"


def _queues(s3: S3Client, sqs: SQSClient, raw: str, queues: dict[str, dict[str, str]]) -> Iterator[str]:
    notified = s3.get_bucket_notification_configuration(Bucket=raw).get("QueueConfigurations", [])
    targets = {one["QueueArn"] for one in notified if one["Events"] == ["s3:ObjectCreated:*"]}
    for pipeline, queue in queues.items():
        if queue["arn"] not in targets:
            yield f"{raw}: it does not notify the queue of {pipeline}"
        for name in (queue["name"], queue["dead_name"]):
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            if not refuses_plain_http(found.get("Policy", '{"Statement": []}'), "sqs:*", {found["QueueArn"]}):
                yield f"{name}: its policy allows plain HTTP"
            if name == queue["name"] and queue["dead_name"] not in found.get("RedrivePolicy", ""):
                yield f"{name}: it has no dead-letter queue"


def _alarms(cloudwatch: CloudWatchClient, names: list[str]) -> Iterator[str]:
    pages = cloudwatch.get_paginator("describe_alarms").paginate()
    there = {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
    for name in names:
        if name not in there:
            yield f"alarm {name}: it does not exist"
        elif not there[name]["AlarmActions"] or not there[name]["ActionsEnabled"]:
            yield f"alarm {name}: it has no enabled actions"


def problems(outputs: dict[str, Any], client: Callable[[str], Any]) -> Iterator[str]:
    """Yield everything that is missing or insecure.

    Args:
        outputs: Terraform's outputs, each with its `value`.
        client: returns the boto3 client for a service.
    """
    value = {name: output.get("value") for name, output in outputs.items()}
    s3 = client("s3")
    for bucket in BUCKETS:
        yield from (f"{value[bucket]}: {text}" for text in _with_errors(_bucket(s3, value[bucket])))
    yield from _with_errors(_queues(s3, client("sqs"), value["raw_bucket"], value["landed_queues"]))
    yield from _with_errors(_alarms(client("cloudwatch"), value["alarm_names"]))
    if services := (value.get("airflow_services") or {}) | (value.get("stream_services") or {}):
        yield from _with_errors(_services(client("ecs"), value["airflow_cluster"], services))


def _services(ecs: ECSClient, cluster: str, expected: dict[str, dict[str, Any]]) -> Iterator[str]:
    described = ecs.describe_services(cluster=cluster, services=sorted(expected))["services"]
    there = {service["serviceName"]: service for service in described if service["status"] == "ACTIVE"}
    for name, wanted in expected.items():
        service = there.get(name)
        if service is None:
            yield f"service {name}: it does not exist"
            continue
        if service["taskDefinition"] != wanted["task_definition"]:
            yield f"service {name}: it runs {service['taskDefinition']}, not {wanted['task_definition']}"
        if service["runningCount"] < wanted["tasks"]:
            yield f"service {name}: {service['runningCount']} of {wanted['tasks']} tasks are running"


def _with_errors(texts: Iterator[str]) -> Iterator[str]:
    """Yield the texts, and the error if AWS denies a call."""
    try:
        yield from texts
    except (BotoCoreError, ClientError) as error:
        yield str(error)


def main() -> None:
    """Print the problems."""
    outputs = json.loads(Path(sys.argv[1]).read_text())
    region = outputs["alerts_topic_arn"]["value"].split(":")[
        3
    ]  # boto3 does not read AWS_REGION, which the AWS CLI prefers
    found = list(problems(outputs, partial(boto3.client, region_name=region)))
    print("\n".join(found) or "All resources exist and are secured.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
