"""The Kinesis of the embedded stack behaves as the real one where a consumer depends on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

LOWEST, MIDDLE, HIGHEST = "0", str(2**127), str(2**128 - 1)


@pytest.fixture
def kinesis(stack_environment: dict[str, str]) -> KinesisClient:
    return boto3.client("kinesis")


@pytest.fixture
def stream(kinesis: KinesisClient) -> Iterator[str]:
    """A stream of one shard."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    yield name
    kinesis.delete_stream(StreamName=name)


def put(kinesis: KinesisClient, stream: str, *texts: str, key: str = LOWEST) -> list[Any]:
    """Put records at a hash key, and return shard and sequence number of each."""
    records: Any = [{"Data": text.encode(), "PartitionKey": text, "ExplicitHashKey": key} for text in texts]
    return list(kinesis.put_records(StreamName=stream, Records=records)["Records"])


def shards(kinesis: KinesisClient, stream: str) -> dict[str, Any]:
    return {one["ShardId"]: one for one in kinesis.list_shards(StreamName=stream)["Shards"]}


def read(kinesis: KinesisClient, stream: str, shard: str, after: str | None = None, limit: int = 1000) -> Any:
    start: Any = {"ShardIteratorType": "TRIM_HORIZON"}
    if after is not None:
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
    begin = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **start)["ShardIterator"]
    return kinesis.get_records(ShardIterator=begin, Limit=limit)


def texts(answer: Any) -> list[str]:
    return [one["Data"].decode() for one in answer["Records"]]


def test_streams_of_the_settings_exist_when_the_emulator_starts(stack_environment: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": address,
        "WAYBILL_STREAMS": '{"shop.clickstream": "clicks"}',
    }
    command = [sys.executable, "-m", "waybill_devtools.stack.aws", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as emulator:
        try:
            assert emulator.stdout
            assert "ready\n" in emulator.stdout
            kinesis = boto3.client("kinesis", endpoint_url=address)
            assert kinesis.list_streams()["StreamNames"] == ["clicks"]
            assert len(shards(kinesis, "clicks")) == 2
        finally:
            emulator.kill()


def test_a_shard_returns_records_in_their_order_and_resumes_after_a_number(kinesis: KinesisClient, stream: str) -> None:
    before = datetime.now(UTC)
    written = put(kinesis, stream, "a", "b", "é\n", "d")
    (shard,) = shards(kinesis, stream)

    first = read(kinesis, stream, shard, limit=2)
    second = kinesis.get_records(ShardIterator=first["NextShardIterator"])

    assert texts(first) == ["a", "b"]
    assert texts(second) == ["é\n", "d"]
    assert [one["SequenceNumber"] for one in (*first["Records"], *second["Records"])] == [
        one["SequenceNumber"] for one in written
    ]
    assert texts(read(kinesis, stream, shard, after=written[1]["SequenceNumber"])) == ["é\n", "d"]
    assert texts(read(kinesis, stream, shard, after=written[3]["SequenceNumber"])) == []
    for one in first["Records"]:
        assert abs(one["ApproximateArrivalTimestamp"] - before) < timedelta(minutes=1)
    assert {one["ApproximateArrivalTimestamp"] for one in read(kinesis, stream, shard)["Records"][:2]} == {
        one["ApproximateArrivalTimestamp"] for one in first["Records"]
    }


def test_the_age_of_the_last_record_is_0_only_at_the_end(kinesis: KinesisClient, stream: str) -> None:
    put(kinesis, stream, "a", "b")
    put(kinesis, stream, "c")
    (shard,) = shards(kinesis, stream)

    assert read(kinesis, stream, shard)["MillisBehindLatest"] == 0
    assert read(kinesis, stream, shard, limit=1)["MillisBehindLatest"] > 0


def test_sequence_numbers_grow_across_shards_and_streams(kinesis: KinesisClient, stream: str) -> None:
    numbers = [int(one["SequenceNumber"]) for one in put(kinesis, stream, "a", "b")]
    kinesis.delete_stream(StreamName=stream)
    kinesis.create_stream(StreamName=stream, ShardCount=2)
    numbers += [int(one["SequenceNumber"]) for key in (LOWEST, HIGHEST) for one in put(kinesis, stream, "c", key=key)]

    assert numbers == sorted(set(numbers))
    assert {len(str(number)) for number in numbers} == {56}


def test_a_split_shard_keeps_its_records_and_ends(kinesis: KinesisClient, stream: str) -> None:
    put(kinesis, stream, "a", "b")
    (parent,) = shards(kinesis, stream)
    kinesis.split_shard(StreamName=stream, ShardToSplit=parent, NewStartingHashKey=MIDDLE)
    (low,) = put(kinesis, stream, "c")
    (high,) = put(kinesis, stream, "d", key=HIGHEST)

    found = shards(kinesis, stream)
    assert {one.get("ParentShardId") for name, one in found.items() if name != parent} == {parent}
    assert {low["ShardId"], high["ShardId"]} == set(found) - {parent}
    ending = found[parent]["SequenceNumberRange"]["EndingSequenceNumber"]
    assert not any("EndingSequenceNumber" in found[name]["SequenceNumberRange"] for name in set(found) - {parent})
    answer = read(kinesis, stream, parent)
    assert texts(answer) == ["a", "b"]
    assert "NextShardIterator" not in answer
    assert int(answer["Records"][-1]["SequenceNumber"]) < int(ending) < int(low["SequenceNumber"])
    assert read(kinesis, stream, parent, limit=1)["NextShardIterator"]
    assert texts(read(kinesis, stream, low["ShardId"])) == ["c"]
    assert texts(read(kinesis, stream, high["ShardId"])) == ["d"]
    with pytest.raises(ClientError, match="cannot be split"):
        kinesis.split_shard(StreamName=stream, ShardToSplit=parent, NewStartingHashKey=MIDDLE)


def test_a_closed_shard_without_records_ends(kinesis: KinesisClient, stream: str) -> None:
    (parent,) = shards(kinesis, stream)
    kinesis.split_shard(StreamName=stream, ShardToSplit=parent, NewStartingHashKey=MIDDLE)

    assert "EndingSequenceNumber" in shards(kinesis, stream)[parent]["SequenceNumberRange"]
    answer = read(kinesis, stream, parent)
    assert texts(answer) == []
    assert "NextShardIterator" not in answer


def test_merged_shards_keep_their_records_and_end(kinesis: KinesisClient, stream: str) -> None:
    (first,) = shards(kinesis, stream)
    kinesis.split_shard(StreamName=stream, ShardToSplit=first, NewStartingHashKey=MIDDLE)
    low, high = sorted(set(shards(kinesis, stream)) - {first})
    put(kinesis, stream, "a")
    put(kinesis, stream, "b", key=HIGHEST)
    kinesis.merge_shards(StreamName=stream, ShardToMerge=low, AdjacentShardToMerge=high)
    put(kinesis, stream, "c")
    put(kinesis, stream, "d", key=HIGHEST)

    (child,) = set(shards(kinesis, stream)) - {first, low, high}
    described = shards(kinesis, stream)[child]
    assert (described["ParentShardId"], described["AdjacentParentShardId"]) == (low, high)
    assert texts(read(kinesis, stream, low)) == ["a"]
    assert texts(read(kinesis, stream, high)) == ["b"]
    assert texts(read(kinesis, stream, child)) == ["c", "d"]
    assert "NextShardIterator" not in read(kinesis, stream, high)
    assert read(kinesis, stream, child)["NextShardIterator"]
    with pytest.raises(ClientError, match="cannot be merged"):
        kinesis.merge_shards(StreamName=stream, ShardToMerge=low, AdjacentShardToMerge=high)


def test_every_hash_key_has_an_open_shard(kinesis: KinesisClient, stream: str) -> None:
    kinesis.update_shard_count(StreamName=stream, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    open_ones = [one for one in shards(kinesis, stream).values() if "EndingSequenceNumber" not in str(one)]

    for one in open_ones:
        for key in one["HashKeyRange"].values():
            assert {written["ShardId"] for written in put(kinesis, stream, "x", key=key)} == {one["ShardId"]}
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == len(open_ones) == 2


def test_concurrent_puts_lose_nothing(kinesis: KinesisClient, stream: str) -> None:
    groups = [[f"{number}-{place}" for place in range(100)] for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        written = [*pool.map(lambda group: put(kinesis, stream, *group), groups)]
    (shard,) = shards(kinesis, stream)
    found = read(kinesis, stream, shard, limit=10000)["Records"]

    numbers = [int(one["SequenceNumber"]) for one in found]
    assert numbers == sorted(set(numbers))
    by_number = {one["SequenceNumber"]: one["Data"].decode() for one in found}
    assert by_number == {
        one["SequenceNumber"]: text
        for group, answers in zip(groups, written, strict=True)
        for text, one in zip(group, answers, strict=True)
    }
