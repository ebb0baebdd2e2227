"""Upload a file to the prefix of a dataset, and send the S3 event where the storage does not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from waybill.contracts import Contract, locations
from waybill.errors import DataError
from waybill.intake.object_keys import ignore_reason

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Dropped:
    """An uploaded object."""

    bucket: str
    key: str
    etag: str
    size_bytes: int


def key_of(contract: Contract, file: Path, start: date | None = None) -> str:
    """Return the key of a file: its own name in the folder of the period that begins on `start`.

    Raises `DataError` if an object of that name would be ignored.
    """
    key = locations.raw_layout(contract.domain, contract.name, contract.cadence).prefix(start) + file.name
    if rule := ignore_reason(contract, key):
        raise DataError(f"{file}: the object would be ignored: {rule}. Rename the file if it is data.")
    return key


def drop_file(s3: S3Client, bucket: str, contract: Contract, file: Path, start: date | None = None) -> Dropped:
    """Upload a file under its own name to the folder of the period that begins on `start`, or of no period.

    Raises `DataError` if an object of that name would be ignored.
    """
    key, body = key_of(contract, file, start), file.read_bytes()
    answer = s3.put_object(Bucket=bucket, Key=key, Body=body)
    return Dropped(bucket, key, answer["ETag"].strip('"'), len(body))


def announce(sqs: SQSClient, queue_url: str, dropped: Dropped) -> bool:
    """Send the event notification of S3 for a new object; returns False if the queue does not exist.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": dropped.bucket, "arn": f"arn:aws:s3:::{dropped.bucket}"},
            "object": {"key": quote_plus(dropped.key, "/"), "size": dropped.size_bytes, "eTag": dropped.etag},
        },
    }
    try:
        sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps({"Records": [record]}))
    except sqs.exceptions.QueueDoesNotExist:
        return False
    return True
