"""PostgreSQL and Spark agree about random deliveries: current rows, rows as of each day, books and changed days."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql

from support.deliveries import FIRST, Delivery, Kind, deliveries
from support.engine_cases import canonical_row
from support.lake import Lake
from support.messaging_months import RUN, migrate
from support.spark_job import Shelf, SparkProcess
from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake.ingest import ingest_file
from waybill.lakehouse.exchange import Landed, LoadedFile
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.schema import as_of_function, columns_sql, relation

if TYPE_CHECKING:
    import pytest

ZONE = "Europe/Berlin"
KINDS = [
    Kind(),
    Kind(has_day_in_key=False, order="name"),
    Kind(at=("timestamp", "timestamptz"), has_day_in_key=False, threshold=50),
    Kind(at=("timestamp", "timestamptz"), unique=True),
    Kind(has_day_in_key=False, lookback=0, unique=True, threshold=60),
]
RUNS, FILES = 3, 3


@dataclass
class Both:
    """A dataset that both engines load."""

    kind: Kind
    contract: Contract
    waiting: list[list[Delivery]]
    loaded: dict[str, str] = field(default_factory=dict)
    """The ETag of the loaded version of each object."""


def in_order(kind: Kind, files: list[Landed]) -> list[Landed]:
    return sorted(files, key=lambda file: (file.landed_at, file.key))


def test_both_engines_agree(
    lake: Lake, spark: SparkProcess, warehouse_dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAYBILL_TIMEZONE", ZONE)
    settings.cache_clear()
    every = {}
    for number, kind in enumerate(KINDS):
        contract = kind.contract(f"events{number}")
        every[contract.name] = Both(kind, contract, [*deliveries(kind, number, RUNS, FILES)])
    shelf = Shelf(lake, {name: one.contract for name, one in every.items()}, ZONE)
    seen = dict.fromkeys(("inserted", "updated", "unchanged", "stale", "rejected", "duplicate", "files rejected"), 0)
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        for run in range(RUNS):
            parts, expected = [], list[dict[str, Any]]()
            for name, one in every.items():
                by_day: dict[date, list[Landed]] = {}
                for file in one.waiting[run]:
                    by_day.setdefault(file.day, []).append(put(shelf, name, file, one.loaded))
                for day, files in sorted(by_day.items()):
                    parts.append((name, day, in_order(one.kind, files)))
                    expected += [on_one_machine(connection, lake, one.contract, day, file) for file in parts[-1][2]]
            request = shelf.request(parts, f"run{run}")
            result = spark.load(shelf, request)
            for found, wanted in zip(result.files, expected, strict=True):
                assert (found.key, found.error) == (found.key, wanted["error"])
                assert (found.key, found.books) == (found.key, wanted["books"])
                assert (found.key, {*found.changed_days}) == (found.key, wanted["days"])
                count(seen, found)
            for name, _, files in parts:
                rejected = {file.key for file in result.files if file.dataset == name and file.status == "rejected"}
                every[name].loaded |= {file.key: file.etag for file in files if file.key not in rejected}
        for name, one in every.items():
            days = [FIRST + timedelta(days=days) for days in range(1, 4)]
            table = shelf.tables[name][0]
            assert on_spark(spark, tmp_path, one.contract, table, None) == current(connection, one.contract, None)
            for day in days:
                assert on_spark(spark, tmp_path, one.contract, table, day) == current(connection, one.contract, day)
    assert min(seen.values()) > 2, seen


def put(shelf: Shelf, name: str, file: Delivery, loaded: dict[str, str]) -> Landed:
    found = shelf.put(file.name, file.body, file.landed_at, period=file.day, dataset=name)
    return found.model_copy(update={"replaces_etag": loaded.get(found.key)})


def count(seen: dict[str, int], file: LoadedFile) -> None:
    seen["files rejected"] += file.status == "rejected"
    for outcome, rows in file.books.items():
        if outcome in seen:
            seen[outcome] += rows


def on_one_machine(connection: Connection, lake: Lake, contract: Contract, day: date, file: Landed) -> dict[str, Any]:
    """Ingest a file into PostgreSQL; returns its books, changed days and error."""
    landed = LandedFile(file.bucket, file.key, file.etag, file.size_bytes, Period.of("day", day), file.landed_at)
    try:
        books = ingest_file(connection, lake.s3, landed, contract, {}, RUN)
    except DataError as error:
        connection.commit()
        return {"error": str(error), "books": {}, "days": set()}
    connection.commit()
    assert books
    days = connection.execute(
        "select day from waybill.change where file_id = (select max(file_id) from waybill.load_file)"
    ).fetchall()
    return {"error": None, "books": vars(books), "days": {day for (day,) in days}}


def current(connection: Connection, contract: Contract, as_of: date | None) -> list[list[str | None]]:
    source = sql.SQL("{}").format(relation(contract))
    if as_of:
        source = sql.SQL("{}({})").format(as_of_function(contract), sql.Literal(as_of))
    rows = connection.execute(sql.SQL("select {} from {}").format(columns_sql(contract.names), source)).fetchall()
    return sorted((canonical_row(contract, row) for row in rows), key=str)


def on_spark(
    spark: SparkProcess, folder: Path, contract: Contract, table: str, as_of: date | None
) -> list[list[str | None]]:
    """Return the rows of the view that reports on Spark read."""
    path = folder / "rows.json"
    asked = {"contract": contract.document, "table": table, "as_of": str(as_of) if as_of else None}
    path.write_text(json.dumps(asked))
    spark.tell(str(path))
    return sorted(json.loads(path.with_suffix(".rows").read_text()), key=str)
