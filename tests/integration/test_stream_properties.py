"""Windows and sessions depend on the events and their order by shard: not on batches, repeats or spellings.

Every stream is compared with a plain Python computation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection

from support.stream import CLICKS, KINDS, click
from support.stream_oracle import Rules, expected
from support.stream_rig import differences
from waybill.intake.validate import open_duckdb
from waybill.settings import settings
from waybill.stream import shards
from waybill.stream.counting import count_batch
from waybill.stream.declared import Declared, declared_stream
from waybill.stream.events import Record, check
from waybill.stream.kinesis import Listed
from waybill.warehouse.migrations import upgrade

BEGAN = datetime(2026, 3, 10, 23, 15, tzinfo=UTC)
ARRIVED_AT = BEGAN + timedelta(hours=10)
PAUSE, AHEAD, TICK = timedelta(minutes=30), timedelta(seconds=60), timedelta(milliseconds=1)
INSTANTS = (
    *(BEGAN, BEGAN + TICK, BEGAN + timedelta(minutes=10), BEGAN + timedelta(minutes=10) + TICK),
    *(BEGAN + PAUSE - TICK, BEGAN + PAUSE, BEGAN + PAUSE + TICK, BEGAN + timedelta(minutes=45)),
    *(BEGAN + 2 * PAUSE - TICK, BEGAN + 2 * PAUSE, BEGAN + 2 * PAUSE + TICK, BEGAN + 3 * PAUSE),
    *(ARRIVED_AT + AHEAD, ARRIVED_AT + AHEAD + TICK),
)
"""Around a pause, the lateness, midnight, and the time after arrival that is allowed."""
SAME, SPELLED, CHANGED = range(3)
"""An event again with the same bytes, with the same values, or with other values."""

SHARDS = ("s0", "s1")
Fact = tuple[int, int, int]
"""Session, number of the instant, number of the kind."""
EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, len(INSTANTS) - 1), st.integers(0, len(KINDS) - 1)),
    min_size=1,
    max_size=9,
)
DELIVERIES = st.lists(st.tuples(st.integers(0, 8), st.sampled_from([SAME, SPELLED, CHANGED])), max_size=14)
BATCHES = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@dataclass(frozen=True)
class Delivered:
    shard: str
    sequence: str
    data: bytes
    arrived_at: datetime = ARRIVED_AT


@dataclass
class Counting:
    """A warehouse, a DuckDB, and a folder, for many streams."""

    connection: Connection
    declared: Declared
    duck: Any
    folder: Path

    def count(self, log: Sequence[Delivered], batches: Sequence[int]) -> None:
        """Count records in batches of these sizes, in turn. The shards take turns, too."""
        for table in ("shard", "event", "count", "session", "rejected", "consumer"):
            self.connection.execute(f"delete from waybill.stream_{table}")
        listed = [Listed(name, []) for name in SHARDS]
        shards.register(self.connection, CLICKS, "clicks", BEGAN, listed)
        shards.renew(self.connection, CLICKS, "test")
        taken = {one.shard: one for one in shards.take(self.connection, CLICKS, "test", len(SHARDS))}
        waiting = {name: [one for one in log if one.shard == name] for name in SHARDS}
        for name, size in zip(cycle(SHARDS), cycle(batches)):
            records = [Record(one.sequence, one.arrived_at, one.data) for one in waiting[name][:size]]
            waiting[name] = waiting[name][size:]
            if records:
                batch = check(self.duck, self.folder, self.declared, records, taken[name].newest)
                count_batch(self.connection, self.declared, taken[name], batch)
                taken[name] = replace(taken[name], position=records[-1].sequence, newest=batch.newest)
            if not any(waiting.values()):
                return


@pytest.fixture
def counting(warehouse_dsn: str, tmp_path: Path) -> Iterator[Counting]:
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(warehouse_dsn, autocommit=True))
        duck = stack.enter_context(closing(open_duckdb(tmp_path)))
        upgrade(connection)
        yield Counting(connection, declared_stream(CLICKS), duck, tmp_path)


def delivered(facts: Sequence[Fact], deliveries: Sequence[tuple[int, int]]) -> list[Delivered]:
    """Return deliveries of events, each event at least once. The events of a session are in one shard."""
    some = [(number, how) for number, how in deliveries if number < len(facts)]
    seen = {number for number, _ in some}
    some += [(number, SAME) for number in range(len(facts)) if number not in seen]
    found = []
    for place, (number, how) in enumerate(some, start=1):
        session, instant, kind = facts[number]
        event = click(number + 1, INSTANTS[instant], KINDS[kind], session)
        if how == SPELLED:
            event = {name.upper(): event[name] for name in reversed(event)} | {"TS": _elsewhere(INSTANTS[instant])}
        elif how == CHANGED:
            event["page"] = "/other"
        found.append(Delivered(f"s{session % 2}", str(place), json.dumps(event).encode()))
    return found


def _elsewhere(at: datetime) -> str:
    """Return an instant as a clock two hours ahead of UTC shows it."""
    return (at + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")


def lower(record: Delivered) -> Delivered:
    """Return a record with the names of columns, as the computation in Python knows them."""
    event = {name.lower(): value for name, value in json.loads(record.data).items()}
    return replace(record, data=json.dumps(event).encode())


@given(facts=EVENTS, deliveries=DELIVERIES, batches=BATCHES, lateness=st.sampled_from([0, 10, 1440]))
@example([(0, 0, 1), (0, 5, 2)], [], [1], 1440).via("an event exactly at the pause")
@example([(0, 0, 1), (0, 6, 2)], [], [1], 1440).via("an event just after the pause")
@example([(0, 0, 1), (0, 9, 3), (0, 4, 2)], [], [1], 1440).via("a late event joins two sessions")
@example([(0, 0, 1), (0, 9, 3), (0, 4, 2)], [], [3], 10).via("an event that is too late joins nothing")
@example([(0, 0, 4), (0, 0, 3), (0, 0, 2), (0, 0, 1)], [], [2], 10).via("all steps at one instant")
@example([(0, 0, 1), (0, 0, 4), (0, 0, 2), (0, 0, 3)], [], [4], 10).via("all steps at one instant, in another order")
@example([(0, 5, 1), (0, 7, 2), (0, 8, 3)], [], [1], 10).via("a session over midnight")
@example([(0, 0, 1)], [(0, SAME), (0, CHANGED), (0, SPELLED)], [3], 10).via("a conflict within a batch")
@example([(0, 0, 1)], [(0, SAME), (0, CHANGED), (0, SPELLED)], [1], 10).via("a conflict in a later batch")
@example([(0, 2, 1), (0, 0, 1)], [], [1], 10).via("exactly as late as is allowed")
@example([(0, 3, 1), (0, 0, 1)], [(0, SAME), (1, SAME), (1, SAME), (1, CHANGED)], [1], 10).via("too late, and again")
@example([(0, 12, 1), (0, 0, 1), (1, 13, 1), (1, 0, 1)], [], [2], 10).via("as far ahead as is allowed, and farther")
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stream_is_counted_as_computed(
    counting: Counting,
    facts: list[Fact],
    deliveries: list[tuple[int, int]],
    batches: list[int],
    lateness: int,
) -> None:
    log = delivered(facts, deliveries)
    with patch.dict(os.environ, {"WAYBILL_STREAM_LATENESS_MINUTES": str(lateness)}):
        settings.cache_clear()
        counting.count(log, batches)
    rules = Rules(timedelta(minutes=lateness), AHEAD, PAUSE)
    want = expected(map(lower, log), {}, rules)
    assert [*differences(counting.connection, want)] == []
    (events,) = counting.connection.execute(
        "select count(*) from waybill.stream_event where dataset = %s", (CLICKS,)
    ).fetchone() or (0,)
    assert events == sum(books["counted"] + books["late"] for books in want.books.values())


@given(facts=EVENTS, orders=st.tuples(DELIVERIES, DELIVERIES), batches=st.tuples(BATCHES, BATCHES))
@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_within_the_lateness_any_order_gives_the_same_windows(
    counting: Counting,
    facts: list[Fact],
    orders: tuple[list[tuple[int, int]], list[tuple[int, int]]],
    batches: tuple[list[int], list[int]],
) -> None:
    found = []
    with patch.dict(os.environ, {"WAYBILL_STREAM_LATENESS_MINUTES": "1440"}):
        settings.cache_clear()
        for order, sizes in zip(orders, batches, strict=True):
            counting.count(delivered(facts, [(number, min(how, SPELLED)) for number, how in order]), sizes)
            found.append(
                [
                    counting.connection.execute(query).fetchall()
                    for query in (
                        "select * from waybill.stream_count order by minute, kind, dimension, value",
                        "select * from waybill.stream_session order by session, first_at",
                    )
                ]
            )
    assert found[0] == found[1]


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    yield
    settings.cache_clear()
