"""Read the shards of a stream of Amazon Kinesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from waybill.errors import DataError
from waybill.stream.events import Record

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import GetShardIteratorInputTypeDef

BATCH_EVENTS: Final = 1000
"""The most records of a batch."""


@dataclass(frozen=True)
class Listed:
    """A shard as the stream lists it."""

    shard: str
    parents: list[str]
    """The shards that were split or merged into it."""
    is_closed: bool
    """Whether it takes no more records, because it was split or merged."""


@dataclass(frozen=True)
class Read:
    """The next records of a shard."""

    records: Sequence[Record]
    next_iterator: str | None
    """Where the next request begins; None after the last record of a closed shard."""
    behind_seconds: float
    """The age of the last record, if others follow; 0 at the end of the shard."""


def client() -> KinesisClient:
    """Return a client of Kinesis that retries throttled requests."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "adaptive", "total_max_attempts": 5},
        connect_timeout=3,
        read_timeout=10,
        max_pool_connections=50,
    )
    return boto3.client("kinesis", config=config)


def created_at(kinesis: KinesisClient, name: str) -> datetime:
    """Return when the stream was created. Raises `DataError` if there is none of this name."""
    try:
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    except kinesis.exceptions.ResourceNotFoundException:
        raise DataError(
            f"Kinesis has no stream {name!r}. Create it, or correct WAYBILL_STREAMS; "
            "`waybill stream demo` creates one on the embedded stack."
        ) from None
    return summary["StreamCreationTimestamp"]


def list_shards(kinesis: KinesisClient, name: str) -> list[Listed]:
    """Return all shards of a stream that can still be read."""
    found = list[Listed]()
    pages = kinesis.get_paginator("list_shards").paginate(StreamName=name)
    for page in pages:
        for one in page["Shards"]:
            parents = [one.get("ParentShardId"), one.get("AdjacentParentShardId")]
            is_closed = bool(one["SequenceNumberRange"].get("EndingSequenceNumber"))
            found.append(Listed(one["ShardId"], [parent for parent in parents if parent], is_closed))
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
