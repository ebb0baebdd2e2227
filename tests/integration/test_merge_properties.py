"""The traffic tables depend on the files alone, in any order and number of loads.

Every load is compared with a plain Python model of the files that count, which knows nothing of order of arrival.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import LANDED_AT, TRAFFIC, MemoryBucket, csv_body, reported_conflicts, total
from support.messaging_months import RUN, month
from waybill.contracts import load_domain, locations
from waybill.contracts.contract import FileOrder
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.warehouse.schema import derived_statements

CONTRACTS = load_domain("messaging")
# Any number of rejects is allowed, so that every file of the model counts.
CONTRACT = replace(CONTRACTS["traffic"], reject_threshold_pct=100)
MONTHS = ["2026-01", "2026-02", "2026-03"]
DAYS = [date(2025, 12, 31), date(2026, 2, 1), date(2026, 2, 28)]
BOUNDS = [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)]

Key = tuple[date, int]
Row = tuple[Key, int]
"""((day, customer), revenue): the smallest traffic row."""
ROWS = st.lists(st.tuples(st.tuples(st.sampled_from(DAYS), st.integers(1, 2)), st.integers(1, 2)), max_size=5)
NAMES = ["a.csv", "a (2).csv", "a (10).csv"]
"""In natural order."""
NAME = st.tuples(st.sampled_from(MONTHS), st.sampled_from(NAMES))
LANDINGS = st.integers(0, 3)
ARRIVALS = st.lists(st.tuples(NAME, ROWS, LANDINGS), min_size=2, max_size=9)


def one_row(month: str, name: str, revenue: int | None, landing: int = 0) -> tuple[tuple[str, str], list[Row], int]:
    """Return a file of one row, always of the same key, or of none."""
    return (month, name), [] if revenue is None else [((DAYS[0], 1), revenue)], landing


@dataclass(frozen=True)
class Outcome:
    """The outcome of the rows of a file without regard to other files, by record number."""

    accepted: dict[Key, tuple[int, int]]
    """(record, revenue) by key."""
    rejected: dict[int, str]
    duplicates: int


def validate(month: str, rows: list[Row]) -> Outcome:
    accepted, rejected, duplicates = dict[Key, tuple[int, int]](), dict[int, str](), 0
    for record, (key, revenue) in enumerate(rows, start=1):
        if f"{key[0]:%Y-%m}" > month:
            rejected[record] = "after_period"
        elif key not in accepted:
            accepted[key] = (record, revenue)
        elif accepted[key][1] == revenue:
            duplicates += 1
        else:
            rejected[record] = "conflict"
    return Outcome(accepted, rejected, duplicates)


class Shelf:
    """The traffic files in a bucket, and the warehouse they are loaded into."""

    def __init__(self, connection: Connection, file_order: FileOrder = "landing") -> None:
        self.connection, self.bucket = connection, MemoryBucket()
        self.contract = replace(CONTRACT, file_order=file_order)
        self.files: dict[tuple[str, str], list[Row]] = {}
        self.landings: dict[tuple[str, str], int] = {}
        """The landing hour of the current content, by file."""
        for statement in derived_statements(self.contract):
            connection.execute(statement)

    def arrive(self, name: tuple[str, str], rows: list[Row], landing: int) -> Books | None:
        """Put the file, over its older version if there is one, and ingest it.

        With the same content again it keeps its landing.
        """
        if self.files.get(name) != rows:
            self.landings[name] = landing
        lines = [f"7,{day},1,{customer},1,10,{revenue}" for (day, customer), revenue in rows]
        landed_at = LANDED_AT + timedelta(hours=landing)
        file = self.bucket.land("traffic", name[0], csv_body(TRAFFIC, lines), name[1], landed_at)
        self.files[name] = rows
        return ingest_file(self.connection, self.bucket, file, self.contract, CONTRACTS, RUN)

    def withdraw(self, name: tuple[str, str]) -> None:
        """Delete the object and withdraw its rows."""
        key = locations.raw_prefix("messaging", "traffic", month(name[0])) + name[1]
        self.bucket.delete(key)
        file = withdrawal.find_loaded(self.connection, key)
        withdrawal.withdraw(self.connection, self.bucket, self.contract, file)
        del self.files[name], self.landings[name]

    def in_order(self) -> list[tuple[str, str]]:
        """Return the files by month, then by landing (unless ordered by name), then by name."""
        by_landing = self.contract.file_order == "landing"
        return sorted(
            self.files, key=lambda name: (name[0], self.landings[name] if by_landing else 0, NAMES.index(name[1]))
        )

    def versions(self) -> dict[Key, list[tuple[str, str, int, int]]]:
        """Return by key (delivery month, file, record, revenue) of every accepted row, in the order of application."""
        found: dict[Key, list[tuple[str, str, int, int]]] = {}
        for delivered, name in self.in_order():
            rows = self.files[delivered, name]
            for key, (record, revenue) in validate(delivered, rows).accepted.items():
                found.setdefault(key, []).append((delivered, name, record, revenue))
        return found

    def conflicts(self, name: tuple[str, str]) -> dict[str, int]:
        """Return the number of keys with another revenue in each other file of the month, by name."""
        own = validate(name[0], self.files[name]).accepted
        found = Counter[str]()
        for (delivered, other), rows in self.files.items():
            if delivered == name[0] and other != name[1]:
                theirs = validate(delivered, rows).accepted
                found[other] += sum(theirs[key][1] != own[key][1] for key in theirs.keys() & own.keys())
        return {other: rows for other, rows in found.items() if rows}

    def all(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()

    def stored(self, table: str) -> list[tuple[Key, tuple[str, str, int, int]]]:
        rows = self.all(
            "select send_date, customer_id, to_char(t._delivered, 'YYYY-MM'), split_part(object_key, '/', 5), "
            f"_record, revenue_eur::integer from messaging.{table} as t "
            "inner join waybill.load_file as f on t._file_id = f.file_id where status = 'loaded' order by 1, 2"
        )
        return [((day, customer), tuple(rest)) for day, customer, *rest in rows]

    def check(self) -> None:
        """Compare every table and the ledger with the model."""
        versions = self.versions()
        assert sorted(self.stored("traffic")) == sorted((key, found[-1]) for key, found in versions.items())
        assert sorted(self.stored("traffic_superseded")) == sorted(
            (key, version) for key, found in versions.items() for version in found[:-1]
        )
        counts = self.all(
            "select count(*) from messaging.traffic union all select count(*) from messaging.traffic_superseded"
        )
        assert sum(count for (count,) in counts) == sum(map(len, versions.values())), (
            "no row of a replaced file is left"
        )
        for bound in BOUNDS:
            known = {key: [v for v in found if v[0] < f"{bound:%Y-%m}"] for key, found in versions.items()}
            assert self.all(
                "select send_date, customer_id, revenue_eur::integer from messaging.traffic_as_of(%s) order by 1, 2",
                (bound,),
            ) == sorted((*key, found[-1][3]) for key, found in known.items() if found)
        ledger = self.all(
            "select period, split_part(object_key, '/', 5), rows_in, rejected, duplicate, "
            "rows_in - inserted - updated - unchanged - rejected - duplicate - stale - filtered, "
            "array(select record || ' ' || reasons[1] from waybill.quarantine as q "
            "where q.file_id = f.file_id order by record) "
            "from waybill.load_file as f where status = 'loaded' and period > '2025-12-31' order by 1, 2"
        )
        validated = {name: validate(name[0], rows) for name, rows in sorted(self.files.items())}
        assert [(f"{period:%Y-%m}", *rest) for period, *rest in ledger] == [
            (
                *name,
                len(self.files[name]),
                len(file.rejected),
                file.duplicates,
                0,
                [f"{r} {why}" for r, why in file.rejected.items()],
            )
            for name, file in validated.items()
        ]


@pytest.mark.parametrize("file_order", ["landing", "name"])
@given(arrivals=ARRIVALS)
# A new version withdraws the row, so the newest of the older versions, not the one loaded last, is current again.
@example(
    arrivals=[
        one_row("2026-01", "a (2).csv", 2),
        one_row("2026-01", "a.csv", 1),
        *(one_row("2026-02", "a.csv", n) for n in (3, None)),
    ]
)
# Before the current version was delivered, the newest of those known by then counts.
@example(arrivals=[one_row("2026-01", "a (2).csv", 2), one_row("2026-01", "a.csv", 1), one_row("2026-02", "a.csv", 1)])
# An older version of an object comes back, and a file that landed between the two is current again.
@example(
    arrivals=[
        one_row("2026-01", "a.csv", 2, landing=2),
        one_row("2026-01", "a (2).csv", 1, landing=1),
        one_row("2026-01", "a.csv", 3, landing=0),
    ]
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_tables_depend_on_the_files_and_not_on_their_arrival(
    landing_connection: Connection, file_order: FileOrder, arrivals: list[tuple[tuple[str, str], list[Row], int]]
) -> None:
    with landing_connection.transaction(force_rollback=True):
        shelf = Shelf(landing_connection, file_order)
        for name, rows, landing in arrivals:
            is_new = shelf.files.get(name) != rows
            books = shelf.arrive(name, rows, landing)
            assert (books is not None) == is_new, "the same content again is no load"
            if books is not None:
                validated = validate(name[0], rows)
                assert books.rows_in == len(rows) == total(books)
                assert (books.rejected, books.duplicate) == (len(validated.rejected), validated.duplicates)
                assert reported_conflicts(landing_connection) == shelf.conflicts(name)
        shelf.check()
        for name, rows in shelf.files.items():
            assert shelf.arrive(name, rows, landing=9) is None, "a later upload of the same content changes nothing"
        shelf.check()


@given(ARRIVALS, st.sets(NAME, max_size=4), st.booleans())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_withdrawn_files_leave_the_tables_as_if_they_had_never_been_loaded(
    landing_connection: Connection,
    arrivals: list[tuple[tuple[str, str], list[Row], int]],
    names: set[tuple[str, str]],
    comes_back: bool,
) -> None:
    with landing_connection.transaction(force_rollback=True):
        shelf = Shelf(landing_connection)
        for name, rows, landing in arrivals:
            shelf.arrive(name, rows, landing)
        withdrawn = {name: (shelf.files[name], shelf.landings[name]) for name in sorted(names & shelf.files.keys())}
        for name in withdrawn:
            shelf.withdraw(name)
            shelf.check()
        if comes_back:
            for name, (rows, landing) in withdrawn.items():
                assert shelf.arrive(name, rows, landing) is not None, "a returned object is loaded as new"
            shelf.check()
