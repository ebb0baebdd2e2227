"""Count a stream of clicks on the embedded stack, prove that it is exact, and time it.

Three parts, each in a warehouse of its own with three consumers:

  exact   a number of events, of which some are repeated, late, malformed or dated in the future, while consumers are
          killed by SIGKILL, PostgreSQL restarts, and shards are split and merged. Windows, sessions and books must
          equal a computation in plain Python from the producer's log
  drain   events per second while consumers read what waits in the stream
  steady  seconds from the request that puts an event until it is counted, at a steady rate, by the clock of the
          database; and the memory of the consumers

Usage: python benchmarks/stream.py [--parts exact drain steady] [--events 1000000] [--kills 10] [--minutes 5]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import quantiles
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import psycopg
from psycopg import sql

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from support.stream_rig import Rig
from waybill.settings import settings
from waybill.warehouse.migrations import upgrade
from waybill_devtools.sampledata.producer import produce
from waybill_devtools.sampledata.shop_stream import Clicks, Mix
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from waybill_devtools.sampledata.producer import Put

SHARDS = CONSUMERS = 3
MIX = Mix(too_late=0.01, future=0.002, conflict=0.001)
SPAN = timedelta(hours=12)
"""Of the shoppers' time in `exact` and `drain`."""
POLL_SECONDS = 0.05


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Prove that a stream is counted to the event, and time it.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the part exact")
    parser.add_argument("--kills", type=int, default=10, help="consumers to kill")
    parser.add_argument("--backlog", type=int, default=200_000, help="events of the part drain")
    parser.add_argument("--rate", type=float, default=1000, help="events per second of the part steady")
    parser.add_argument("--minutes", type=float, default=5, help="duration of the part steady")
    parser.add_argument("--seed", type=int, default=20260101)
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        stack = Stack(Path(scratch) / "stack")
        try:
            stack.up(with_airflow=False)
            os.environ.update(stack.env() | {"WAYBILL_SCRATCH_DIR": scratch})
            for part in options.parts:
                with warehouse(stack, part) as dsn, (Path(scratch) / f"{part}.log").open("wb") as output:
                    rig = Rig(boto3.client("kinesis"), dsn, Random(options.seed), output)
                    failed |= PARTS[part](stack, rig, options) is False
        finally:
            stack.down()
    sys.exit(failed)


@contextmanager
def warehouse(stack: Stack, name: str) -> Iterator[str]:
    """Create a warehouse, which the settings then name."""
    database = f"bench_{name}"
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template warehouse owner waybill_etl").format(sql.Identifier(database))
        )
        admin.execute(sql.SQL("grant connect on database {} to waybill_reader").format(sql.Identifier(database)))
    dsn = stack.database_url("waybill_etl", database)
    os.environ["AIRFLOW_CONN_WAYBILL_WAREHOUSE"] = dsn
    settings.cache_clear()
    with psycopg.connect(dsn, autocommit=True) as connection:
        upgrade(connection)
    yield dsn


def exact(stack: Stack, rig: Rig, options: argparse.Namespace) -> bool:
    """Count while everything is disturbed, and compare with the independent computation."""
    memory, done = Memory(rig), 0

    def restart() -> None:
        """Let PostgreSQL end at once, as in a failure of its host; its supervisor starts it again."""
        (pid,) = [service.pid for service in stack.status() if service.name == "postgres"]
        assert pid is not None
        say("restarting PostgreSQL")
        os.kill(pid, signal.SIGQUIT)

    def kill() -> None:
        say("killing a consumer")
        rig.kill()

    def each(accounted: int) -> None:
        nonlocal done
        memory.sample()
        if accounted >= done + options.events // 10:
            done = accounted
            say(f"{accounted:,} of {len(rig.log):,} events are accounted for")

    disturbances: list[Callable[[], object]] = [kill] * options.kills + [restart, rig.split, rig.merge]
    rig.rng.shuffle(disturbances)
    began = time.monotonic()
    with rig.running(SHARDS, CONSUMERS):
        rig.run(past(options.events, options.seed, MIX), options.events, disturbances, each, patience=7200)
        seconds = time.monotonic() - began
        say(f"exact: {options.events:,} events put and counted in {seconds:.0f} s; now comparing")
        differences = rig.differences()
    kinds = defaultdict[str, int](int)
    for one in rig.log:
        kinds[one.click.kind] += 1
    say(f"  sent: {', '.join(f'{number:,} {kind}' for kind, number in sorted(kinds.items()))}")
    with psycopg.connect(rig.dsn) as connection:
        say(
            "  shards, events, counted, repeated, late, rejected, batches: "
            + ", ".join(map(str, row_of(connection, BOOKS)))
        )
        say("  minutes, sessions: " + ", ".join(map(str, row_of(connection, SIZES))))
    say(f"  {rig.kills} consumers killed; memory of consumers {memory}")
    say(
        "  windows, sessions and books equal the independent computation" if not differences else "\n".join(differences)
    )
    return not differences


def drain(_: Stack, rig: Rig, options: argparse.Namespace) -> None:
    """Let consumers read what waits in the stream."""
    clicks = past(options.backlog, options.seed, Mix())
    with rig.running(SHARDS, 0):
        began = time.monotonic()
        rig.produce(clicks, options.backlog)
        say(f"drain: put {options.backlog / (time.monotonic() - began):,.0f} events/s without consumers")
        rig.start(CONSUMERS)
        memory, first = Memory(rig), 0
        while (found := rig.accounted()) <= 0:
            time.sleep(0.05)
        first, began = found, time.monotonic()
        while (found := rig.accounted()) < options.backlog:
            memory.sample()
            time.sleep(0.2)
        seconds = time.monotonic() - began
        used = sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in rig.consumers)
        say(
            f"  {CONSUMERS} consumers counted {found - first:,} events in {seconds:.1f} s: "
            f"{(found - first) / seconds:,.0f} events/s, {used:.0f} CPU seconds of consumers, memory {memory}"
        )


def steady(_: Stack, rig: Rig, options: argparse.Namespace) -> None:
    """Put events at a steady rate, and watch when they are counted."""
    stop, watched = Event(), Event()
    positions = defaultdict[str, list[tuple[int, datetime]]](list)

    def put_all() -> None:
        clicks = Clicks(options.seed, options.rate, datetime.now(UTC))
        produce(rig.client, rig.name, clicks, stop, rig.log.extend)

    def watch() -> None:
        with psycopg.connect(rig.dsn, autocommit=True) as connection:
            while not watched.wait(POLL_SECONDS):
                for shard, position, now in connection.execute(
                    "select shard, position::numeric, clock_timestamp() from waybill.stream_shard "
                    "where position is not null"
                ):
                    if not positions[shard] or positions[shard][-1][0] != position:
                        positions[shard].append((int(position), now))

    with rig.running(SHARDS, CONSUMERS):
        while len(owners(rig.dsn)) < CONSUMERS:
            time.sleep(0.2)
        threads = [Thread(target=put_all), Thread(target=watch)]
        for thread in threads:
            thread.start()
        memory, ends_at = Memory(rig), time.monotonic() + 60 * options.minutes
        while time.monotonic() < ends_at:
            time.sleep(5)
            memory.sample()
        stop.set()
        threads[0].join()
        while rig.accounted() < len(rig.log):
            time.sleep(0.1)
        time.sleep(4 * POLL_SECONDS)
        watched.set()
        threads[1].join()
    seconds = sorted(delays(rig.log, positions))
    cuts = quantiles(seconds, n=100)
    say(
        f"steady: {len(rig.log):,} events in {options.minutes:g} minutes, from put to window: "
        f"p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s, p99 {cuts[98]:.2f} s, most {seconds[-1]:.2f} s"
    )
    say(f"  memory of consumers {memory}")


def delays(log: list[Put], positions: dict[str, list[tuple[int, datetime]]]) -> Iterator[float]:
    """Yield the seconds from the put of each event until its shard was seen at it or after it."""
    for one in log:
        seen = positions[one.shard]
        place = bisect_left(seen, int(one.sequence), key=lambda found: found[0])
        yield (seen[place][1] - one.arrived_at).total_seconds()


def owners(dsn: str) -> set[str]:
    """Return the consumers that have a shard."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("select distinct owner from waybill.stream_shard where owner is not null")
        return {owner for (owner,) in found}


class Memory:
    """The resident memory of consumers over time."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._began = time.monotonic()
        self._samples = list[tuple[float, int]]()

    def sample(self) -> None:
        """Note the memory of the largest consumer, at most every 5 seconds."""
        now = time.monotonic() - self._began
        if self._samples and now < self._samples[-1][0] + 5:
            return
        sizes = list[int]()
        for one in self._rig.consumers:
            with_memory = psutil.Process(one.pid) if psutil.pid_exists(one.pid) else None
            sizes += [with_memory.memory_info().rss] if with_memory else []
        self._samples.append((now, max(sizes, default=0)))

    def __str__(self) -> str:
        if not self._samples:
            return "unknown"
        chosen = self._samples[:: max(1, len(self._samples) // 12)]
        text = ", ".join(f"{size / 2**20:.0f} MiB at {at:.0f} s" for at, size in chosen)
        return f"(the largest): {text}; most {max(size for _, size in self._samples) / 2**20:.0f} MiB"


def past(events: int, seed: int, mix: Mix) -> Clicks:
    """Return clicks of the past hours, so that the last of a number of events happens about now."""
    began = datetime.now(UTC) - SPAN - timedelta(minutes=20)
    return Clicks(seed, events / SPAN.total_seconds(), began, mix)


def row_of(connection: psycopg.Connection, query: Any) -> tuple[Any, ...]:
    """Return the only row of a query."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


BOOKS = """
select count(*), sum(events), sum(counted), sum(repeated), sum(late), sum(rejected), sum(batches)
from waybill.stream_shard
"""
SIZES = """
select
  (select count(distinct minute) from waybill.stream_count),
  (select count(*) from waybill.stream_session)
"""
PARTS: dict[str, Callable[[Stack, Rig, argparse.Namespace], bool | None]] = {
    "exact": exact,
    "drain": drain,
    "steady": steady,
}

if __name__ == "__main__":
    main()
