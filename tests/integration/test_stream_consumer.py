"""Consumers are processes that read a stream of the embedded Kinesis: they share shards, take over and stop cleanly."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import pytest
from psycopg import Connection
from typer.testing import CliRunner

from support.stream import CLICKS, click, start_consumer
from support.waiting import PATIENCE, eventually
from waybill.cli import app
from waybill.warehouse.migrations import upgrade

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def connection(warehouse_dsn: str) -> Iterator[Connection]:
    with psycopg.connect(warehouse_dsn, autocommit=True) as found:
        upgrade(found)
        yield found


@pytest.fixture
def kinesis(stack_environment: dict[str, str]) -> KinesisClient:
    return boto3.client("kinesis")


@pytest.fixture
def stream(kinesis: KinesisClient) -> Iterator[str]:
    """A stream with two shards."""
    name = f"clicks-{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=name, ShardCount=2)
    yield name
    kinesis.delete_stream(StreamName=name)


@pytest.fixture
def alive(tmp_path: Path) -> Path:
    """The file by which health checks know that a consumer works."""
    return tmp_path / "alive"


@pytest.fixture
def start(stream: str, connection: Connection, alive: Path) -> Iterator[Start]:
    """Starts a consumer; all are killed at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        running.append(start_consumer(stream, "--alive", str(alive)))
        return running[-1]

    yield begin
    for one in running:
        one.kill()
        one.wait()


BEGAN = datetime.now(UTC) - timedelta(seconds=5)


def put(kinesis: KinesisClient, stream: str, numbers: range) -> None:
    events = [click(number, BEGAN, session=number % 10) for number in numbers]
    records: Any = [{"Data": json.dumps(one).encode(), "PartitionKey": one["session_id"]} for one in events]
    for first in range(0, len(records), 500):
        answer = kinesis.put_records(StreamName=stream, Records=records[first : first + 500])
        assert answer["FailedRecordCount"] == 0


def counted(connection: Connection) -> int:
    (found,) = connection.execute(
        "select coalesce(sum(events), 0) from waybill.stream_count where dimension = ''"
    ).fetchone() or (0,)
    return int(found)


def owners(connection: Connection) -> dict[str, str | None]:
    return dict(
        connection.execute("select shard, owner from waybill.stream_shard where finished_at is null").fetchall()
    )


def test_consumers_share_shards_take_over_and_stop_cleanly(
    connection: Connection, kinesis: KinesisClient, stream: str, start: Start, alive: Path
) -> None:
    put(kinesis, stream, range(1, 2501))
    first = start()
    assert eventually(lambda: counted(connection) == 2500)
    second = start()
    assert eventually(lambda: None not in (found := {*owners(connection).values()}) and len(found) == 2)
    shown = CliRunner().invoke(app, ["stream", "status"])
    assert shown.exit_code == 0, shown.output
    assert f"{CLICKS}: the stream {stream}" in shown.output
    assert all(shard in shown.output for shard in owners(connection))
    first.send_signal(signal.SIGSTOP)
    put(kinesis, stream, range(2001, 3001))
    assert eventually(lambda: counted(connection) == 3000, 60), "leases end after 9 s, and the machine may be busy"
    first.send_signal(signal.SIGCONT)
    put(kinesis, stream, range(2501, 3501))
    assert eventually(lambda: counted(connection) == 3500)
    assert eventually(lambda: None not in (found := {*owners(connection).values()}) and len(found) == 2)
    first.send_signal(signal.SIGKILL)
    for one, code in ((second, 0), (first, -signal.SIGKILL)):
        one.send_signal(signal.SIGTERM)
        assert one.wait(PATIENCE) == code
    books = connection.execute(
        "select sum(events), sum(counted), sum(repeated), sum(late), sum(rejected) from waybill.stream_shard"
    ).fetchone()
    assert books == (4500, 3500, 1000, 0, 0)
