"""Record the calls of AWS by the application, as the requests that IAM evaluates for them.

`record` installs a handler for all botocore sessions of a process, also for those of aiobotocore. Each process writes
its distinct requests to a file in the folder that `CALLS_FOLDER` names. Calls by tests and tools are left out.

Buckets, queues, topics, secrets and jobs have other names in each test. Requests name them by purpose:
`arn:aws:s3:::raw`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wrapt import register_post_import_hook

FOLDER = "CALLS_FOLDER"
RECORDER = Path(__file__).parent / "recorder"
"""The folder in PYTHONPATH with which a subprocess records its calls."""
PLUGINS = f"{Path(__file__).resolve().parents[2]}/plugins/"
DEPLOY = f"{Path(__file__).resolve().parents[2]}/deploy/"
AIRFLOW, PERSON, WRITER, CONSUMER = "airflow", "person", "output-writer", "consumer"
ROLES = {
    "waybill/ops/bootstrap.py:": "bootstrap",
    "waybill/cli/reconciliation.py:books": "books",
    "waybill/cli/": PERSON,
    "waybill/intake/upload.py:": PERSON,
    "waybill/outputs/publish.py:": WRITER,
    "waybill/views/site.py:publish_dashboard": WRITER,
    "waybill/stream/": CONSUMER,
}
"""The role with which code runs, by file and function. All other code runs with the role of Airflow."""
TASK_RUNNER = "airflow/sdk/execution_time/task_runner.py"

REGION, ACCOUNT, NAME = "eu-central-1", "123456789012", "waybill-test"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:landed"
DEAD_LETTERS = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letters"
JOB = f"arn:aws:glue:{REGION}:{ACCOUNT}:job/{NAME}-spark"
APPLICATION = f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/spark"
SPARK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAME}-spark"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{NAME}-shop-clickstream"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"
SETTINGS = f"{NAME}/settings"
SECRETS = {"airflow": f"{NAME}/airflow", "settings": SETTINGS, "admin": "rds!db-0"}
"""Names of secrets on AWS by the last part of their names in tests."""
BUCKETS = ("raw", "lake", "reports", "dashboard")

ACTIONS = {
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:UploadPart": "s3:PutObject",
    "sns:PublishBatch": "sns:Publish",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
"""The actions of operations whose action has another name."""
KEYS = {
    "kinesis:GetRecords": ("data", "Decrypt"),
    "s3:CompleteMultipartUpload": ("data", "Decrypt"),
    "s3:GetObject": ("data", "Decrypt"),
    "s3:PutObject": ("data", "GenerateDataKey"),
    "s3:UploadPart": ("data", "GenerateDataKey"),
    "secretsmanager:GetSecretValue": ("data", "Decrypt"),
    "secretsmanager:PutSecretValue": ("data", "Decrypt", "GenerateDataKey"),
    "sns:Publish": ("operations", "Decrypt", "GenerateDataKey"),
    "sqs:ReceiveMessage": ("operations", "Decrypt"),
    "sqs:SendMessage": ("operations", "Decrypt", "GenerateDataKey"),
}
"""For operations on encrypted data: the key and the operations of KMS that the service makes with it."""


@dataclass(frozen=True)
class Request:
    """What IAM evaluates.

    Attributes:
        action: an action, such as s3:GetObject.
        resources: the resource, or alternatives if a bucket of a test stands for several ones.
        context: values of condition keys.
        role: the role that makes the call, or `person` for a command that no role runs.
    """

    action: str
    resources: tuple[str, ...]
    context: tuple[tuple[str, str], ...] = ()
    role: str = AIRFLOW


def record() -> None:
    """Record the calls of this process, if the environment names a folder."""
    if folder := os.environ.get(FOLDER):
        register_post_import_hook(lambda handlers: _install(handlers, Path(folder)), "botocore.handlers")


def recorded(folder: Path) -> set[Request]:
    """Return the requests of all processes."""
    lines = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    return {
        Request(
            one["action"], tuple(one["resources"]), tuple((key, value) for key, value in one["context"]), one["role"]
        )
        for one in lines
    }


def requests(service: str, operation: str, params: Mapping[str, Any], role: str = AIRFLOW) -> Iterator[Request]:
    """Yield what IAM evaluates for an operation of a botocore client."""
    name = f"{service}:{operation}"
    if name == "s3:DeleteObjects":  # IAM evaluates each object
        for folder in {one["Key"].partition("/")[0] for one in params["Delete"]["Objects"]}:
            yield from requests(service, "DeleteObject", {"Bucket": params["Bucket"], "Key": f"{folder}/object"}, role)
        return
    action = ACTIONS.get(name, name)
    if service == "s3" and params.get("VersionId"):
        action += "Version"
    for resources in _resources(service, params):
        context = (("cloudwatch:namespace", params["Namespace"]),) if "Namespace" in params else ()
        yield Request(action, resources, context, role)
    if name in ("s3:GetObject", "s3:HeadObject"):
        # Without this right, S3 answers that access is denied where an object is missing.
        yield Request("s3:ListBucket", _buckets(params["Bucket"]), (), role)
    if "executionRoleArn" in params:
        yield Request("iam:PassRole", (SPARK_ROLE,), (("iam:PassedToService", f"{service}.amazonaws.com"),), role)
    key, *uses = KEYS.get(name, ("",))
    for use in uses:
        via = (("kms:ResourceAliases", f"alias/{NAME}-{key}"), ("kms:ViaService", f"{service}.{REGION}.amazonaws.com"))
        yield Request(f"kms:{use}", (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}",), via, role)


def _install(handlers: Any, folder: Path) -> None:
    seen: set[Request] = set()

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        role = caller()
        if role is None:
            return
        found = set(requests(model.service_model.service_name, model.name, params, role)) - seen
        if found:
            seen.update(found)
            with (folder / f"{os.getpid()}.jsonl").open("a") as file:
                file.writelines(f"{json.dumps(asdict(request))}\n" for request in found)

    handlers.BUILTIN_HANDLERS.append(("provide-client-params", note))


def caller() -> str | None:
    """Return the role of the code that makes the call, or None if a test or a tool makes it.

    Without own code, Airflow makes the call, or a thread that uploads.
    """
    libraries = (sys.prefix, sys.base_prefix, "<")
    frame, ours, role = sys._getframe(1), False, AIRFLOW
    while frame:
        file = frame.f_code.co_filename
        if file.startswith(PLUGINS):
            place, ours = f"{file.removeprefix(PLUGINS)}:{frame.f_code.co_name}", True
            # A command that publishes runs with the rights of the command.
            if role in (AIRFLOW, WRITER):
                role = next((found for start, found in ROLES.items() if place.startswith(start)), role)
        elif file.endswith(TASK_RUNNER):
            return role
        elif file.startswith(DEPLOY) or (file != __file__ and not ours and not file.startswith(libraries)):
            return None
        frame = frame.f_back  # type: ignore[assignment]
    return role


def _resources(service: str, params: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the resources on which the action must be allowed, each with its alternatives."""
    match service:
        case "s3" if "Bucket" in params:
            folder = f"/{params['Key'].partition('/')[0]}/object" if "Key" in params else ""
            yield tuple(f"{bucket}{folder}" for bucket in _buckets(params["Bucket"]))
        case "glue" if "JobName" in params:
            yield (JOB,)
        case "emr-serverless":
            yield (f"{APPLICATION}/jobruns/run" if "jobRunId" in params else APPLICATION,)
        case "glue":
            database = params.get("DatabaseName") or params.get("Name", "*")
            table = params.get("TableName") or params.get("TableInput", params).get("Name", "*")
            for resource in ("catalog", f"database/{database}", f"table/{database}/{table}"):
                yield (f"arn:aws:glue:{REGION}:{ACCOUNT}:{resource}",)
        case "kinesis":
            yield (STREAM,)
        case "sqs" if "QueueUrl" in params:
            yield (_queue(params["QueueUrl"]),)
        case "sns" if "TopicArn" in params or "TargetArn" in params:
            topic = params.get("TopicArn", params.get("TargetArn"))
            yield (TOPIC if topic in os.environ.get("AIRFLOW_CONN_WAYBILL_ALERTS_SNS", "") else topic,)
        case "secretsmanager" if "SecretId" in params:
            name = params["SecretId"]
            name = SETTINGS if name == os.environ.get("WAYBILL_SECRET_ID") else SECRETS.get(name.split("/")[-1], name)
            yield (f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf",)
        case "sts" if "RoleArn" in params:
            yield (params["RoleArn"],)
        case _:
            yield ("*",)


def _buckets(name: str) -> tuple[str, ...]:
    from waybill.settings import settings

    # Only settings name buckets. Another bucket is the argument of a test, which stands for any of them.
    purposes = [purpose for purpose in BUCKETS if getattr(settings(), f"{purpose}_bucket") == name]
    return tuple(f"arn:aws:s3:::{purpose}" for purpose in purposes or BUCKETS)


def _queue(url: str) -> str:
    from waybill.settings import settings

    name = url.rpartition("/")[2]
    if any(url.endswith(one.rpartition("{domain}")[2]) for one in settings().dead_letter_urls.values()):
        return DEAD_LETTERS
    known = any(url.startswith(one.partition("{domain}")[0]) for one in settings().queue_urls.values())
    return QUEUE if known else f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
