"""The history equals the snapshots of the months, in any order and number of loads."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import CUSTOMERS, LANDED_AT, MemoryBucket, csv_body, total
from support.messaging_months import RUN, month
from waybill.contracts import load_domain, locations
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books

CONTRACTS = load_domain("messaging")
MONTHS = ["2026-01", "2026-02", "2026-03", "2026-05"]
ENDS = [date(2026, number, 1) for number in range(1, 9)]
SEGMENTS = ["Startup", "Enterprise"]

Snapshot = dict[int, str]
"""Segment by customer."""
SNAPSHOTS = st.dictionaries(st.integers(1, 3), st.sampled_from(SEGMENTS), min_size=1)
NAME = st.tuples(st.sampled_from(MONTHS), st.sampled_from(["a.csv", "a.csv", "b.csv", "c.csv"]))
ARRIVALS = st.lists(st.tuples(NAME, SNAPSHOTS, st.integers(0, 2)), min_size=1, max_size=8)
HISTORY = (
    "select customer_id, segment, valid_from, valid_to::text from messaging.customers_history "
    "order by customer_id, valid_from"
)


class Archive:
    """The snapshots in a bucket, and the warehouse they are loaded into."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.bucket = connection, MemoryBucket()
        self.files: dict[tuple[str, str], Snapshot] = {}
        self.landings: dict[tuple[str, str], int] = {}
        """The landing hour of the current content, by file."""
        connection.execute("truncate messaging.customers_history")
        connection.execute("delete from waybill.file_warning")
        connection.execute("delete from waybill.load_file where dataset = 'messaging.customers'")

    def arrive(self, name: tuple[str, str], snapshot: Snapshot, landing: int) -> Books | None:
        """Put and ingest a snapshot, then all files that the ledger does not hold as loaded."""
        if self.files.get(name) != snapshot:
            self.landings[name] = landing
        self.files[name] = snapshot
        books = self.load(name, landing)
        loaded = {key for (key,) in self.all("select object_key from waybill.load_file where status = 'loaded'")}
        for other in self.files:
            if locations.raw_prefix("messaging", "customers", month(other[0])) + other[1] not in loaded:
                self.load(other, self.landings[other])
        return books

    def withdraw(self, name: tuple[str, str]) -> bool:
        """Delete the object, withdraw its rows and load the files then current; return whether the state changed."""
        key = locations.raw_prefix("messaging", "customers", month(name[0])) + name[1]
        self.bucket.delete(key)
        file = withdrawal.find_loaded(self.connection, key)
        before = self.all(HISTORY)
        done = withdrawal.withdraw(self.connection, self.bucket, CONTRACTS["customers"], file)
        assert bool(done.days) == (self.all(HISTORY) != before)
        del self.files[name]
        again = [other for other in self.files if done.again and done.again.endswith(f"month={other[0]}/{other[1]}")]
        assert len(again) == bool(done.again)
        for other in again:
            self.load(other, self.landings[other])
        return bool(done.days)

    def load(self, name: tuple[str, str], landing: int) -> Books | None:
        snapshot = self.files[name]
        rows = [f"{customer},1,Name,{segment},Retail,DE,2020-01-31" for customer, segment in sorted(snapshot.items())]
        at = LANDED_AT + timedelta(hours=landing)
        file = self.bucket.land("customers", name[0], csv_body(CUSTOMERS, rows), name[1], at)
        return ingest_file(self.connection, self.bucket, file, CONTRACTS["customers"], CONTRACTS, RUN)

    def all(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()

    def in_order(self) -> list[tuple[str, str]]:
        """Return the files by month, landing and name."""
        return sorted(self.files, key=lambda name: (name[0], self.landings[name], name[1]))

    def state(self, end: date) -> Snapshot:
        """Return the last snapshot of a month that begins before `end`; of one month the last landed."""
        current = {month(name[0]).start: self.files[name] for name in self.in_order()}
        return next((current[start] for start in sorted(current, reverse=True) if start < end), {})

    def check(self) -> list[tuple[Any, ...]]:
        """Compare the history with the model and return it."""
        for end in ENDS:
            assert (end, dict(self.all("select customer_id, segment from messaging.customers_as_of(%s)", (end,)))) == (
                end,
                self.state(end),
            )
        assert dict(self.all("select customer_id, segment from messaging.customers")) == self.state(date.max)
        history = self.all(HISTORY)
        for (customer, segment, _, until), (next_customer, next_segment, since, _) in pairwise(history):
            if customer == next_customer:
                assert until <= since.isoformat(), "validities do not overlap"
                assert until < since.isoformat() or segment != next_segment, "equal neighbours are one row"
        return history


@given(ARRIVALS)
# A to B and back to A; gone and back again; a snapshot before all others; a correction of a month in the middle.
@example(
    [
        ((key, "a.csv"), {1: segment}, 0)
        for key, segment in zip(MONTHS, ["Startup", "Enterprise", "Startup"], strict=False)
    ]
)
@example(
    [
        (("2026-03", "a.csv"), {1: "Startup"}, 0),
        (("2026-02", "a.csv"), {2: "Startup"}, 0),
        (("2026-01", "a.csv"), {1: "Startup"}, 0),
    ]
)
@example(
    [
        ((key, "a.csv"), {1: segment}, 0)
        for key, segment in zip(
            ["2026-01", "2026-02", "2026-03", "2026-02"], ["Startup", "Enterprise", "Startup", "Startup"], strict=True
        )
    ]
)
# An older version of a snapshot comes back, and the one that landed between the two is current again.
@example(
    [
        (("2026-02", "a.csv"), {1: "Startup"}, 2),
        (("2026-02", "b.csv"), {1: "Enterprise"}, 1),
        (("2026-02", "a.csv"), {2: "Startup"}, 0),
    ]
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_history_depends_on_the_snapshots_and_not_on_their_arrival(
    landing_connection: Connection, arrivals: list[tuple[tuple[str, str], Snapshot, int]]
) -> None:
    with landing_connection.transaction(force_rollback=True):
        archive = Archive(landing_connection)
        for name, snapshot, landing in arrivals:
            is_new = archive.files.get(name) != snapshot
            books = archive.arrive(name, snapshot, landing)
            assert (books is not None) == is_new, "the same content again is no load"
            if books is not None:
                assert books.rows_in == len(snapshot) == total(books)
                assert books.stale in (0, len(snapshot))
        history, files = archive.check(), dict(archive.files)
        for name, snapshot in files.items():
            assert archive.arrive(name, snapshot, 9) is None
        assert archive.check() == history
        in_order = Archive(landing_connection)
        for name in archive.in_order():
            in_order.arrive(name, files[name], archive.landings[name])
        assert in_order.all(HISTORY) == history


@given(ARRIVALS, st.sets(NAME, max_size=3))
# The only snapshot; the first of two; the one between two that agree.
@example([(("2026-01", "a.csv"), {1: "Startup"}, 0)], {("2026-01", "a.csv")})
@example([(("2026-01", "a.csv"), {1: "Startup"}, 0), (("2026-02", "a.csv"), {1: "Startup"}, 0)], {("2026-01", "a.csv")})
@example(
    [
        (("2026-01", "a.csv"), {1: "Startup"}, 0),
        (("2026-02", "a.csv"), {1: "Enterprise"}, 0),
        (("2026-03", "a.csv"), {1: "Startup"}, 0),
    ],
    {("2026-02", "a.csv")},
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_withdrawn_snapshot_leaves_the_history_as_if_it_had_never_been_loaded(
    landing_connection: Connection, arrivals: list[tuple[tuple[str, str], Snapshot, int]], names: set[tuple[str, str]]
) -> None:
    with landing_connection.transaction(force_rollback=True):
        archive = Archive(landing_connection)
        for name, snapshot, landing in arrivals:
            archive.arrive(name, snapshot, landing)
        for name in sorted(names & archive.files.keys()):
            archive.withdraw(name)
            archive.check()
        history = archive.all(HISTORY)
        without = Archive(landing_connection)
        for name in archive.in_order():
            without.arrive(name, archive.files[name], archive.landings[name])
        assert without.all(HISTORY) == history
