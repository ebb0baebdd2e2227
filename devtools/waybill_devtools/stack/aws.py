"""S3 and the catalog of the lake from SeaweedFS (`weed`), and the other AWS APIs from moto's server.

This module runs moto's server. moto keeps everything in memory, so `serve` creates its resources at each start.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from waybill.contracts.domains import EVERY_DOMAIN
from waybill.settings import settings
from waybill_devtools.stack.processes import Program
from waybill_devtools.stack.state import State

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ServerSideEncryptionRuleTypeDef
    from mypy_boto3_sqs import SQSClient

REGION: Final = "eu-central-1"
ATTEMPTS: Final = 5
"""Number of attempts of a client if throttling or the network prevents a call."""
ALERTS = "waybill-alerts"
QUEUE = "waybill-{domain}"
"""The name of the queue of a domain."""
ACCOUNT = "123456789012"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:{ALERTS}"
_ENCRYPTED: Final[ServerSideEncryptionRuleTypeDef] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
SHARDS: Final = 2
"""The number of shards of each stream."""
S3_PARTS = ("master", "volume", "filer", "admin", "s3")
TABLE_BUCKET: Final = "waybill-tables"
"""The bucket with the metadata of the lake's tables. Their data lies in the bucket of the lake."""


def programs(home: Path, state: State) -> tuple[Program, Program]:
    """Return the two servers, both on the loopback address only."""
    moto = (sys.executable, "-m", "waybill_devtools.stack.aws", str(state.ports["aws"]))
    # `weed` may wait for clients indefinitely when it stops. Acknowledged data is on disk.
    return Program("s3", s3_command(home / "s3", state.ports, "127.0.0.1"), stop_seconds=3), Program("aws", moto)


def s3_command(folder: Path, ports: Mapping[str, int], listen: str) -> tuple[str, ...]:
    """Return the command of SeaweedFS. Its only account is that of the environment.

    Args:
        folder: the folder of its data.
        ports: the ports by part, including gRPC; missing ones are the defaults of SeaweedFS.
        listen: the address to listen on.
    """
    parts = {part: number for part, number in ports.items() if part.removesuffix("_grpc") in S3_PARTS}
    return (
        *(str(Path(sysconfig.get_path("scripts")) / "weed"), "-logtostderr=true", "mini"),
        *(f"-dir={folder}", "-ip=127.0.0.1", f"-ip.bind={listen}"),
        *(f"-{part.removesuffix('_grpc')}.port{'.grpc' * part.endswith('_grpc')}={n}" for part, n in parts.items()),
        *("-admin.ui=false", "-webdav=false", "-s3.port.lance=0"),
        *(f"-s3.port.iceberg={ports['catalog']}", f"-tableBucket={TABLE_BUCKET}"),
        *("-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=1000"),
        *("-volume.preStopSeconds=0", "-s3.autoCreateBucket=false"),
        # Relative, because the path of a socket is limited to 108 bytes.
        *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
    )


def environment(state: State) -> dict[str, str]:
    """Return the variables with which boto3 and Airflow reach the two servers, and the limits of `weed`."""
    return {
        "AWS_ACCESS_KEY_ID": state.secrets["aws_key"],
        "AWS_SECRET_ACCESS_KEY": state.secrets["aws_secret"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_RETRY_MODE": "standard",
        "AWS_MAX_ATTEMPTS": str(ATTEMPTS),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{state.ports['aws']}",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{state.ports['s3']}",
        "WAYBILL_LAKE_CATALOG": f"http://127.0.0.1:{state.ports['catalog']}",
        "WAYBILL_LAKE_WAREHOUSE": TABLE_BUCKET,
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "AIRFLOW_CONN_WAYBILL_OUTPUT": "aws://",
        "WAYBILL_QUEUE_URLS": json.dumps({EVERY_DOMAIN: f"http://127.0.0.1:{state.ports['aws']}/{ACCOUNT}/{QUEUE}"}),
        "AIRFLOW_CONN_WAYBILL_ALERTS_SNS": json.dumps({"conn_type": "aws", "extra": {"topic_arn": TOPIC_ARN}}),
        "GOMEMLIMIT": "384MiB",
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
    }


def s3_client(state: State) -> S3Client:
    """Return a client for the embedded S3, independent of the environment of this process."""
    return boto3.client("s3", **_client_options(state, "s3", ATTEMPTS))


def s3_ready(state: State, *buckets: str) -> bool:
    """Return whether S3 answers. If it does, create the missing buckets."""
    try:
        make_buckets(boto3.client("s3", **_client_options(state, "s3")), *buckets)
    except (BotoCoreError, ClientError):
        return False
    return True


def make_buckets(client: S3Client, *buckets: str) -> None:
    """Create missing buckets, and enable versioning and encryption for all of them, as on AWS."""
    existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in buckets:
        if name not in existing:
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        # SeaweedFS compresses plain text. It serves encrypted objects five times as fast.
        client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [_ENCRYPTED]})


def catalog_ready(state: State, *databases: str) -> bool:
    """Return whether the catalog of the lake answers. If it does, create the missing databases."""
    from pyiceberg.exceptions import RESTError

    try:
        for database in databases:
            make_database(
                f"http://127.0.0.1:{state.ports['catalog']}",
                state.secrets["aws_key"],
                state.secrets["aws_secret"],
                database,
            )
    except (OSError, RESTError):
        return False
    return True


def make_database(catalog: str, key: str, secret: str, name: str) -> None:
    """Create a database in the catalog of SeaweedFS if it is missing."""
    from pyiceberg.catalog.rest import RestCatalog

    properties = {
        "uri": catalog,
        "warehouse": TABLE_BUCKET,
        "credential": f"{key}:{secret}",
        "oauth2-server-uri": f"{catalog}/v1/oauth/tokens",
    }
    RestCatalog("lake", **properties).create_namespace_if_not_exists(name)


def apis_ready(state: State) -> bool:
    """Return whether the other APIs answer and the topic of alerts has a subscription."""
    try:
        return bool(boto3.client("sns", **_client_options(state, "aws")).list_subscriptions()["Subscriptions"])
    except (BotoCoreError, ClientError):
        return False


def _client_options(state: State, port: str, attempts: int = 1) -> dict[str, Any]:
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    return {
        "endpoint_url": f"http://127.0.0.1:{state.ports[port]}",
        "aws_access_key_id": state.secrets["aws_key"],
        "aws_secret_access_key": state.secrets["aws_secret"],
        "region_name": REGION,
        "config": Config(retries=retries, connect_timeout=5, read_timeout=30, proxies={}),
    }


def serve(port: int, listen: str = "127.0.0.1") -> None:
    """Run moto's server in this process, with what Terraform creates on AWS.

    These are the topic for alerts and its queue, the queues of domains, and the streams of `WAYBILL_STREAMS`.

    A domain that is added later gets its queue within a second. The address of a queue follows from the port, the
    account and its name.
    """
    from moto.server import ThreadedMotoServer

    from waybill_devtools.stack import kinesis

    kinesis.install()
    ThreadedMotoServer(listen, port).start()
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name=ALERTS)["TopicArn"]
    known = _create_queues(sqs, frozenset())
    queue = sqs.create_queue(QueueName=ALERTS)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for stream in settings().streams.values():
        boto3.client("kinesis").create_stream(StreamName=stream, ShardCount=SHARDS)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    print("ready", flush=True)
    while not threading.Event().wait(0.5):
        known = _create_queues(sqs, known)


def _create_queues(sqs: SQSClient, known: frozenset[str]) -> frozenset[str]:
    """Create the queues of domains that have one and are not known; returns the domains that have one.

    Domains without a valid manifest are left out: `waybill contract check` reports them.
    """
    from waybill.contracts import ContractError
    from waybill.contracts.domains import domain_names, load_manifest

    found = set()
    for domain in domain_names():
        with contextlib.suppress(ContractError):
            if load_manifest(domain).queue:
                found.add(domain)
    for domain in found - known:
        sqs.create_queue(QueueName=QUEUE.replace("{domain}", domain))
    return frozenset(found)


if __name__ == "__main__":
    os.environ["NO_PROXY"] = "*"
    serve(int(sys.argv[1]), *sys.argv[2:])
