"""Put a file where files of a dataset land, and say so as S3 does: for machines whose S3 sends no events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from waybill.contracts import Contract, locations
from waybill.errors import DataError
from waybill.intake.object_keys import passed_over
from waybill.settings import settings


@dataclass(frozen=True)
class Dropped:
    """An object that was written."""

    bucket: str
    key: str
    etag: str
    size_bytes: int


def queue_url(domain: str) -> str | None:
    """The queue that is told of the domain's files, if there is one."""
    return settings().queue_urls.get(domain)


def key_of(contract: Contract, file: Path, start: date | None = None) -> str:
    """The key under which a file of a dataset lands: its own name, in the folder of the period that begins on `start`.

    Raises `DataError` if an object of that name would be passed over.
    """
    key = locations.raw_layout(contract.domain, contract.name, contract.cadence).prefix(start) + file.name
    if rule := passed_over(contract, key):
        raise DataError(f"{file}: under this name it would be passed over: {rule}; rename it if it is data")
    return key


def drop_file(s3: Any, bucket: str, contract: Contract, file: Path, start: date | None = None) -> Dropped:
    """Upload a file under its own name to where the dataset's files land.

    `s3` is a boto3 client, `start` the first day of the period whose folder it is for; None: of no period.
    Raises `DataError` if an object of that name would be passed over.
    """
    key, body = key_of(contract, file, start), file.read_bytes()
    answer = s3.put_object(Bucket=bucket, Key=key, Body=body)
    return Dropped(bucket, key, answer["ETag"].strip('"'), len(body))


def announce(sqs: Any, queue_url: str, dropped: Dropped) -> None:
    """Send what S3's event notification says of a new object. `sqs` is a boto3 client.

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
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps({"Records": [record]}))
