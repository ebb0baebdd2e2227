"""S3 from SeaweedFS (`weed`, from its wheel), the other AWS APIs from moto's server, run by this module.

moto keeps everything in memory, so whatever must be there after each start is made by `serve`.
"""

from __future__ import annotations

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

from waybill_devtools.stack.processes import Program
from waybill_devtools.stack.state import State

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ServerSideEncryptionRuleTypeDef

REGION: Final = "eu-central-1"
ATTEMPTS: Final = 5
"""How often a client tries what throttling or the network prevented."""
ALERTS = "waybill-alerts"
ACCOUNT = "123456789012"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:{ALERTS}"
QUEUES = {"orders": "waybill-orders", "purchases": "waybill-purchases"}
"""For each domain whose files are told when they land, the queue that is told."""
_ENCRYPTED: Final[ServerSideEncryptionRuleTypeDef] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
S3_PARTS = ("master", "volume", "filer", "admin", "s3")


def programs(home: Path, state: State) -> tuple[Program, Program]:
    """The two servers, both on the loopback address only."""
    moto = (sys.executable, "-m", "waybill_devtools.stack.aws", str(state.ports["aws"]))
    # `weed` may wait for its clients without end; what it has acknowledged is on disk.
    return Program("s3", s3_command(home / "s3", state.ports, "127.0.0.1"), stop_seconds=3), Program("aws", moto)


def s3_command(folder: Path, ports: Mapping[str, int], listen: str) -> tuple[str, ...]:
    """SeaweedFS with its data in `folder`; its one account is that of the environment.

    Args:
        folder: where the data lies.
        ports: by part, with that for gRPC of each; SeaweedFS' own where there is none.
        listen: the address that it is reached at.
    """
    parts = {part: number for part, number in ports.items() if part.removesuffix("_grpc") in S3_PARTS}
    return (
        *(str(Path(sysconfig.get_path("scripts")) / "weed"), "-logtostderr=true", "mini"),
        *(f"-dir={folder}", "-ip=127.0.0.1", f"-ip.bind={listen}"),
        *(f"-{part.removesuffix('_grpc')}.port{'.grpc' * part.endswith('_grpc')}={n}" for part, n in parts.items()),
        *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=1000"),
        *("-volume.preStopSeconds=0", "-s3.autoCreateBucket=false"),
        # Relative, because the path of a socket is limited to 108 bytes.
        *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
    )


def environment(state: State) -> dict[str, str]:
    """What boto3, and Airflow's aws_default, need to reach the two servers; and limits for `weed` itself."""
    return {
        "AWS_ACCESS_KEY_ID": state.secrets["aws_key"],
        "AWS_SECRET_ACCESS_KEY": state.secrets["aws_secret"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_RETRY_MODE": "standard",
        "AWS_MAX_ATTEMPTS": str(ATTEMPTS),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{state.ports['aws']}",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{state.ports['s3']}",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "AIRFLOW_CONN_WAYBILL_OUTPUT": "aws://",
        **{
            f"WAYBILL_{domain.upper()}_QUEUE_URL": f"http://127.0.0.1:{state.ports['aws']}/{ACCOUNT}/{queue}"
            for domain, queue in QUEUES.items()
        },
        "AIRFLOW_CONN_WAYBILL_ALERTS_SNS": json.dumps({"conn_type": "aws", "extra": {"topic_arn": TOPIC_ARN}}),
        "GOMEMLIMIT": "384MiB",
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
    }


def s3_client(state: State) -> S3Client:
    """A client of the embedded S3, whatever this process' environment says."""
    return boto3.client("s3", **_client_options(state, "s3", ATTEMPTS))


def s3_ready(state: State, *buckets: str) -> bool:
    """Whether S3 answers; then the buckets exist, with versioning on."""
    try:
        make_buckets(boto3.client("s3", **_client_options(state, "s3")), *buckets)
    except (BotoCoreError, ClientError):
        return False
    return True


def make_buckets(client: S3Client, *buckets: str) -> None:
    """Make the buckets that are not there; all of them keep versions and encrypt what is put, as on AWS."""
    existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in buckets:
        if name not in existing:
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        # SeaweedFS packs plain text; what is encrypted it hands out five times as fast.
        client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [_ENCRYPTED]})


def apis_ready(state: State) -> bool:
    """Whether the other APIs answer and alerts have somewhere to go."""
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
    """Run moto's server in this process, with the topic for alerts, a queue that keeps what it says, and `QUEUES`.

    The address of a queue follows from the port, the account and its name.
    """
    from moto.server import ThreadedMotoServer

    ThreadedMotoServer(listen, port).start()
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = sns.create_topic(Name=ALERTS)["TopicArn"]
    for name in QUEUES.values():
        sqs.create_queue(QueueName=name)
    queue = sqs.create_queue(QueueName=ALERTS)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    os.environ["NO_PROXY"] = "*"
    serve(int(sys.argv[1]), *sys.argv[2:])
