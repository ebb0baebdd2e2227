"""Read the shards of a stream of Amazon Kinesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from waybill.errors import DataError
from waybill.stream.events import Record

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import GetShardIteratorInputTypeDef

BATCH_EVENTS: Final = 1000
"""The most records of a batch."""


@dataclass(frozen=True)
class Description:
    """A stream."""

    created_at: datetime
    retention: timedelta
    """How long it keeps records."""


@dataclass(frozen=True)
class Listed:
    """A shard as the stream lists it."""

    shard: str
    parents: list[str]
    """The shards that were split or merged into it."""


@dataclass(frozen=True)
class Read:
    """The next records of a shard."""

    records: Sequence[Record]
    next_iterator: str | None
    """Where the next request begins; None after the last record of a closed shard."""
    behind_seconds: float
    """The age of the last record, if others follow; 0 at the end of the shard."""


def client() -> KinesisClient:
    """Return a client of Kinesis that gives up a request after 16 seconds. Readers and listings try again."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 2},
        connect_timeout=3,
        read_timeout=5,
        max_pool_connections=50,
    )
    return boto3.client("kinesis", config=config)


def describe(kinesis: KinesisClient, name: str) -> Description:
    """Return what is known about a stream. Raises `DataError` if there is none of this name."""
    try:
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    except kinesis.exceptions.ResourceNotFoundException:
        raise DataError(f"Kinesis has no stream {name!r}. Create it, or correct WAYBILL_STREAMS.") from None
    return Description(summary["StreamCreationTimestamp"], timedelta(hours=summary["RetentionPeriodHours"]))


def list_shards(kinesis: KinesisClient, name: str) -> list[Listed]:
    """Return all shards of a stream that can still be read."""
    found = list[Listed]()
    for page in kinesis.get_paginator("list_shards").paginate(StreamName=name):
        for one in page["Shards"]:
            parents = [one.get("ParentShardId"), one.get("AdjacentParentShardId")]
            found.append(Listed(one["ShardId"], [parent for parent in parents if parent]))
    return found


def iterator(kinesis: KinesisClient, name: str, shard: str, position: str | None) -> str:
    """Return where to read a shard after a sequence number, or from its oldest record."""
    request: GetShardIteratorInputTypeDef = {
        "StreamName": name,
        "ShardId": shard,
        "ShardIteratorType": "TRIM_HORIZON",
    }
    if position is not None:
        request |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": position}
    return kinesis.get_shard_iterator(**request)["ShardIterator"]


def read(kinesis: KinesisClient, at: str) -> Read:
    """Return at most `BATCH_EVENTS` records from an iterator on."""
    answer = kinesis.get_records(ShardIterator=at, Limit=BATCH_EVENTS)
    records = [
        Record(one["SequenceNumber"], one["ApproximateArrivalTimestamp"], one["Data"]) for one in answer["Records"]
    ]
    return Read(records, answer.get("NextShardIterator"), answer.get("MillisBehindLatest", 0) / 1000)
