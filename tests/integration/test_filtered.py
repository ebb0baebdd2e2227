"""Filtered rows are counted in the books, and neither loaded nor quarantined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import Connection

from support.landing import MemoryBucket, csv_body
from support.messaging_months import RUN
from support.order_files import CONTRACTS, HEADER, LINES, Line
from waybill.contracts import Contract
from waybill.contracts.contract import ValueFilter
from waybill.files.landed_file import LandedFile
from waybill.intake.comparison import pending
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.intake.replay import replay
from waybill.period import Period
from waybill.settings import read_values

if TYPE_CHECKING:
    from waybill.contracts import Column

DAY = Period.parse("day", "2026-03-01")
Ask = Callable[[str], None]


REGIONS = ValueFilter("WAYBILL_REGIONS", ("West",))


def filtering(column: Column) -> Column:
    if column.name != "region":
        return column
    return replace(column, only_values_of=REGIONS, options={"maxLength": 10})


FILTERED = replace(
    LINES,
    columns=tuple(map(filtering, LINES.columns)),
    version="1.1.0",
    document=f"{LINES.document}#",
)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Set the values of the filter."""

    def change(values: str) -> None:
        monkeypatch.setenv(REGIONS.variable, values)

    change("West")
    return change


def by_region() -> Contract:
    """Return the contract with the configured regions, as a load reads it."""
    return replace(FILTERED, kept=read_values(REGIONS.variable, REGIONS.default))


def load(connection: Connection, bucket: MemoryBucket, file: LandedFile, contract: Contract | None = None) -> Books:
    books = ingest_file(connection, bucket, file, contract or by_region(), CONTRACTS, RUN)
    assert books
    return books


def regions(connection: Connection) -> list[tuple[str, str]]:
    return connection.execute("select order_id, region from orders.lines order by 1").fetchall()


ROWS = [
    Line("1", region="West"),
    Line("2", region="East"),
    Line("3", region=" West "),
    Line("4", region="East", quantity="none"),  # nothing else is asked of it
    Line("5", region=""),
    Line("6", region="of no region"),  # breaks the column's own rule
    Line("7", region="West", quantity="none"),
    Line("8", region="South"),
    Line("8", region="West"),
    Line("2", region="East"),
]


@pytest.mark.parametrize("is_ragged", [False, True], ids=["fast", "record by record"])
def test_every_row_is_loaded_rejected_or_filtered(empty_connection: Connection, ask: Ask, is_ragged: bool) -> None:
    bucket = MemoryBucket()
    body = csv_body(HEADER, [*map(str, ROWS), *(["East,ragged"] if is_ragged else [])])
    books = load(empty_connection, bucket, bucket.put("orders", "lines", DAY, body, "a.csv"))
    assert vars(books) == vars(Books(rows_in=len(ROWS) + is_ragged, inserted=3, rejected=3 + is_ragged, filtered=4))
    assert regions(empty_connection) == [("1", "West"), ("3", "West"), ("8", "West")]
    rejected = empty_connection.execute("select record, reasons from waybill.quarantine order by 1").fetchall()
    assert rejected == [
        (5, ["required:region"]),
        (6, ["length:region"]),
        (7, ["type:quantity"]),
        *([(11, ["ragged"])] if is_ragged else []),
    ]
    ledger = "select rows_in, filtered, kept_values from waybill.load_file"
    assert empty_connection.execute(ledger).fetchall() == [(books.rows_in, 4, ["West"])]


def test_a_file_is_loaded_again_when_the_filter_changes(empty_connection: Connection, ask: Ask) -> None:
    bucket = MemoryBucket()
    file = bucket.put("orders", "lines", DAY, csv_body(HEADER, map(str, ROWS)), "a.csv")
    load(empty_connection, bucket, file)
    assert pending(empty_connection, by_region(), [file]) == []
    ask(" South,West,,South ")
    assert pending(empty_connection, by_region(), [file]) == [file]
    assert str(load(empty_connection, bucket, file)) == (
        "10 rows in = 1 inserted + 0 updated + 3 unchanged + 3 rejected + 0 duplicate + 0 stale + 3 filtered"
    )
    assert regions(empty_connection) == [("1", "West"), ("3", "West"), ("8", "South"), ("8", "West")]
    ask("West,South")
    assert pending(empty_connection, by_region(), [file]) == [], "the order of the values has no effect"
    assert ingest_file(empty_connection, bucket, file, by_region(), CONTRACTS, RUN) is None
    ask("East")
    load(empty_connection, bucket, file)
    assert regions(empty_connection) == [("2", "East"), ("2", "East")], (
        "rows that no longer pass the filter are withdrawn"
    )


def test_a_replay_filters_a_quarantined_row_that_no_longer_passes_the_filter(
    empty_connection: Connection, ask: Ask
) -> None:
    bucket = MemoryBucket()
    rows = [Line("1", region="West", quantity="none"), Line("2", region="East", quantity="none"), Line("3")]
    file = bucket.put("orders", "lines", DAY, csv_body(HEADER, map(str, rows)), "a.csv")
    load(empty_connection, bucket, file, LINES)
    (replayed,) = replay(empty_connection, by_region(), CONTRACTS, RUN)
    assert (replayed.books.rows_in, replayed.books.rejected, replayed.books.filtered) == (2, 1, 1)
    ledger = "select inserted, rejected, filtered from waybill.load_file"
    assert empty_connection.execute(ledger).fetchall() == [(1, 1, 1)]
    resolved = empty_connection.execute("select record, resolved_as from waybill.quarantine order by 1").fetchall()
    assert resolved == [(1, None), (2, "filtered")]


def test_books_without_a_filtered_row_are_rejected(empty_connection: Connection, ask: Ask) -> None:
    bucket = MemoryBucket()
    load(empty_connection, bucket, bucket.put("orders", "lines", DAY, csv_body(HEADER, map(str, ROWS)), "a.csv"))
    for change in ("filtered = filtered - 1", "filtered = -1, inserted = inserted + filtered + 1"):
        with pytest.raises(psycopg.errors.CheckViolation), empty_connection.transaction():
            empty_connection.execute(f"update waybill.load_file set {change}")
