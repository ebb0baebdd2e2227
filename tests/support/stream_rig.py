"""Consumers of a stream of simulated clicks that are killed, while its shards change and the warehouse goes away."""

from __future__ import annotations

import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg

from support import stream_oracle
from support.stream import start_consumer
from support.waiting import PATIENCE, eventually
from waybill_devtools.sampledata.producer import Put, put
from waybill_devtools.sampledata.shop_stream import Clicks

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

AT_ONCE = 500
"""How many records the producer generates at once."""


@dataclass
class Rig:
    """A stream in Kinesis, its producer and its consumers."""

    client: KinesisClient
    dsn: str
    """The warehouse, with the schema of operations."""
    rng: Random
    log_file: Any = None
    """Where consumers write; None: nowhere."""
    name: str = field(default_factory=lambda: f"rig-{uuid.uuid4().hex[:8]}")
    log: list[Put] = field(default_factory=list)
    """What is in the stream."""
    consumers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: int = 0

    @contextmanager
    def running(self, shards: int, consumers: int) -> Iterator[None]:
        """Create the stream and start consumers; stop them and delete it in the end."""
        self.client.create_stream(StreamName=self.name, ShardCount=shards)
        try:
            self.start(consumers)
            yield
        finally:
            self.stop()
            self.client.delete_stream(StreamName=self.name)

    def start(self, consumers: int) -> None:
        """Start consumers."""
        output = self.log_file or subprocess.DEVNULL
        self.consumers += [start_consumer(self.name, output=output) for _ in range(consumers)]

    def stop(self) -> None:
        """Stop all consumers as an operator does. Raises AssertionError if one does not end within 30 seconds."""
        for consumer in self.consumers:
            consumer.terminate()
        try:
            for consumer in self.consumers:
                assert consumer.wait(PATIENCE) == 0, f"a consumer ended with code {consumer.returncode}"
        finally:
            for consumer in self.consumers:
                consumer.kill()
            self.consumers.clear()

    def produce(self, clicks: Clicks, events: int, stop: Event | None = None) -> None:
        """Put a number of records as fast as possible."""
        for _ in range(0, events, AT_ONCE):
            if stop is not None and stop.is_set():
                return
            some = [*islice(clicks, min(AT_ONCE, events - len(self.log)))]
            self.log += put(self.client, self.name, some)

    def kill(self) -> None:
        """Kill a consumer at any moment, and start another one."""
        time.sleep(self.rng.uniform(0, 0.5))
        consumer = self.consumers.pop(self.rng.randrange(len(self.consumers)))
        assert consumer.poll() is None, f"a consumer ended with code {consumer.returncode}"
        consumer.send_signal(signal.SIGKILL)
        consumer.wait()
        self.kills += 1
        self.start(1)

    def split(self) -> None:
        """Split a shard in the middle of its keys."""
        shard = self.rng.choice(self.open_shards())
        keys = shard["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
        self.client.split_shard(StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))

    def merge(self) -> None:
        """Merge two neighbours."""
        shards = sorted(self.open_shards(), key=lambda one: int(one["HashKeyRange"]["StartingHashKey"]))
        place = self.rng.randrange(len(shards) - 1)
        self.client.merge_shards(
            StreamName=self.name,
            ShardToMerge=shards[place]["ShardId"],
            AdjacentShardToMerge=shards[place + 1]["ShardId"],
        )

    def open_shards(self) -> list[Any]:
        """Return the shards that take records."""
        return [one for one in self.shards() if "EndingSequenceNumber" not in one["SequenceNumberRange"]]

    def shards(self) -> list[Any]:
        """Return all shards."""
        return list(self.client.list_shards(StreamName=self.name)["Shards"])

    def accounted(self) -> int:
        """Return how many records the books have; -1 if the warehouse does not answer."""
        try:
            with psycopg.connect(self.dsn) as connection:
                row = connection.execute("select coalesce(sum(events), 0) from waybill.stream_shard").fetchone()
        except psycopg.OperationalError:
            return -1
        return int(row[0]) if row else 0

    def run(
        self,
        clicks: Clicks,
        events: int,
        disturbances: Sequence[Callable[[], object]],
        each: Callable[[int], object] = lambda _: None,
        patience: float = PATIENCE,
    ) -> None:
        """Put events, with disturbances at random places of the books, and wait until all events are accounted for.

        `each` is called with the number of accounted events, now and then. Raises AssertionError if the consumers do
        not finish.
        """
        due = sorted(self.rng.uniform(0.02, 0.9) * events for _ in disturbances)
        waiting = [*disturbances]
        stop = Event()
        with ThreadPoolExecutor(1) as pool:
            producer = pool.submit(self.produce, clicks, events, stop)

            def is_done() -> bool:
                if producer.done():
                    producer.result()
                found = self.accounted()
                each(found)
                while waiting and found >= due[-len(waiting)]:
                    waiting.pop(0)()
                return not waiting and producer.done() and found >= events

            try:
                assert eventually(is_done, patience, every=0.25), (
                    f"{self.accounted()} of {len(self.log)} events are accounted for"
                )
            finally:
                stop.set()

    def differences(self, rules: stream_oracle.Rules | None = None) -> list[str]:
        """Return where the warehouse differs from what follows from the log."""
        parents = {
            one["ShardId"]: [
                parent for parent in (one.get("ParentShardId"), one.get("AdjacentParentShardId")) if parent
            ]
            for one in self.shards()
        }
        expected = stream_oracle.expected(self.log, parents, rules)
        with psycopg.connect(self.dsn) as connection:
            return [*differences(connection, expected)]


def differences(connection: psycopg.Connection, expected: stream_oracle.Expected) -> Iterator[str]:
    """Yield where the tables of a stream differ from what is expected, with some examples."""
    of_sliding = {place: events for place, events in expected.sliding.items() if not place[2] or place[2] == "device"}
    for name, want, query in (
        ("windows", expected.counts, _COUNTS),
        ("sliding windows", of_sliding, _SLIDING),
        ("late events", expected.late, _LATE),
        ("sessions", Counter(expected.sessions), _SESSIONS),
        ("rejected events", Counter(expected.rejected), _REJECTED),
    ):
        got = {tuple(row[:-1]): int(row[-1]) for row in connection.execute(query)}
        if got != want:
            wrong = [place for place in {**got, **want} if got.get(place) != want.get(place)]
            some = [f"{place}: {got.get(place)}, expected {want.get(place)}" for place in wrong[:5]]
            yield f"{len(wrong)} of {len(want)} {name} differ: {'; '.join(some)}"
    books = {
        shard: Counter(events=events, counted=counted, repeated=repeated, late=late, rejected=rejected)
        for shard, events, counted, repeated, late, rejected in connection.execute(_BOOKS)
    }
    for shard in {**books, **expected.books}:
        zero = Counter(events=0, counted=0, repeated=0, late=0, rejected=0)
        if (found := books.get(shard)) != (want_books := expected.books.get(shard, zero)):
            yield f"books of {shard}: {found}, expected {want_books}"


_COUNTS = "select minute, kind, dimension, value, events from waybill.stream_count where events > 0"
_SLIDING = (
    "select ends_at, kind, dimension, value, events from waybill.stream_sliding_count "
    "where events > 0 and dimension in ('', 'device')"
)
_LATE = "select minute, kind, late from waybill.stream_count where late > 0"
_SESSIONS = "select session, first_at, last_at, events, steps, 1 from waybill.stream_session"
_REJECTED = "select shard, sequence::text, 1 from waybill.stream_rejected"
_BOOKS = "select shard, events, counted, repeated, late, rejected from waybill.stream_shard"
