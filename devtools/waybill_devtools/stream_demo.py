"""The demo of a stream: simulated shoppers click, and a consumer counts, until somebody stops them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import boto3

from waybill.errors import CommandFailed
from waybill.warehouse.connection import connect, one_row
from waybill.warehouse.migrations import upgrade
from waybill_devtools.demo import stack_environment
from waybill_devtools.sampledata.producer import produce
from waybill_devtools.sampledata.shop_stream import Clicks, Mix
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

DATASET: Final = "shop.clickstream"
PAGE: Final = "/plugin/live"
"""Where Airflow shows what is counted."""
REPORT_SECONDS: Final = 3
STOP_SECONDS: Final = 30
"""How long a consumer may take to stop."""

_BOOKS: Final = """
select
  coalesce(sum(events), 0)::bigint,
  coalesce(sum(repeated), 0)::bigint,
  coalesce(sum(late), 0)::bigint,
  coalesce(sum(rejected), 0)::bigint,
  extract(epoch from max(clock_timestamp() - read_at + behind_seconds * interval '1 second')
    filter (where finished_at is null))::double precision
from waybill.stream_shard
where dataset = %s and stream_created_at = %s
"""


@dataclass(frozen=True)
class Progress:
    """How far the demo is."""

    sent: int
    events: int
    """Events that are accounted for."""
    repeated: int
    late: int
    rejected: int
    lag_seconds: float | None
    """How far the consumer lags behind; None before it has read."""


@dataclass(frozen=True)
class Options:
    """What the shoppers do."""

    rate: float = 200
    """Events per second."""
    seconds: float | None = None
    """When the demo ends; None: when it is stopped."""
    shards: int = 2
    seed: int = 20260101
    mix: Mix = field(default_factory=Mix)
    began_ago: timedelta = timedelta(0)
    """How long before now the shoppers begin. What they did until now is sent at once."""


def run(
    stack: Stack,
    options: Options,
    stop: Event,
    *,
    ready: Callable[[], object] = lambda: None,
    report: Callable[[Progress], object] = lambda _: None,
) -> Progress:
    """Produce and count until `stop` is set or the time is over. Returns the progress at the end.

    The stack runs. `ready` is called before the first event, `report` every few seconds. At the end, the consumer
    counts what was sent and stops, and the stream is deleted. Raises `CommandFailed` if the consumer ends early.
    """
    with stack_environment(stack):
        client = boto3.client("kinesis")
        with (
            connect() as connection,
            _stream(client, options.shards) as name,
            _consumer(name, stack.home / "logs" / "stream.log") as consumer,
            ThreadPoolExecutor(1) as pool,
        ):
            upgrade(connection)
            summary = client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
            created_at, sent = summary["StreamCreationTimestamp"], list[int]()
            ready()
            clicks = Clicks(options.seed, options.rate, datetime.now(UTC) - options.began_ago, options.mix)
            ends_at = time.monotonic() + (float("inf") if options.seconds is None else options.seconds)
            ended = Event()
            producer = pool.submit(produce, client, name, clicks, ended, lambda puts: sent.append(len(puts)))

            def progress() -> Progress:
                return Progress(sum(sent), *one_row(connection, _BOOKS, (DATASET, created_at)))

            try:
                while not stop.wait(min(REPORT_SECONDS, max(0.0, ends_at - time.monotonic()))):
                    if producer.done() or time.monotonic() >= ends_at:
                        break
                    _check(consumer, stack)
                    report(progress())
            finally:
                ended.set()
                producer.result()
            deadline = time.monotonic() + STOP_SECONDS
            while (found := progress()).events < found.sent and time.monotonic() < deadline:
                _check(consumer, stack)
                time.sleep(0.2)
            return found


@contextmanager
def _stream(client: KinesisClient, shards: int) -> Iterator[str]:
    """Create a stream of its own, and delete it at the end."""
    name = f"waybill-demo-{uuid.uuid4().hex[:8]}"
    client.create_stream(StreamName=name, ShardCount=shards)
    try:
        client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        yield name
    finally:
        client.delete_stream(StreamName=name)


@contextmanager
def _consumer(name: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a consumer, and stop it at the end."""
    environment = os.environ | {"WAYBILL_STREAMS": json.dumps({DATASET: name})}
    command = (sys.executable, "-m", "waybill", "stream", "run", "--dataset", DATASET)
    # In a session of its own, Ctrl-C does not reach it: it counts the last events first.
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True) as consumer,
    ):
        try:
            yield consumer
        finally:
            consumer.terminate()
            try:
                consumer.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                consumer.kill()


def _check(consumer: subprocess.Popen[bytes], stack: Stack) -> None:
    if consumer.poll() is not None:
        log = stack.home / "logs" / "stream.log"
        raise CommandFailed(f"the consumer has ended with code {consumer.returncode}; see {log}")
