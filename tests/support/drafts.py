"""Files of many shapes, each with what an independent reader finds in it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from support.landing import MemoryBucket
from support.messaging_months import RUN
from waybill.contracts import Contract, load_domain
from waybill.drafts.draft import draft_contract
from waybill.drafts.files import given_files
from waybill.drafts.table import DraftTable
from waybill.drafts.target import contract_path
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.ops.lint import lint
from waybill.period import Period

DOMAIN, DATASET = "orders", "sample"


@dataclass
class Shape:
    """A file, and the values of its columns by an independent reader."""

    name: str
    body: bytes
    values: Mapping[str, Sequence[Any]]
    """For each column the values of all loaded rows; texts without blanks around them, absent values as None."""
    types: Mapping[str, str] = field(default_factory=dict)
    """The expected types of some columns."""
    rows_in: int | None = None
    """The number of records, if some are rejected or repeated."""
    key: tuple[str, ...] | None = None
    """The expected key; None: any."""
    texts: Sequence[str] = ()
    """Texts that the contract has."""


def columns_of(rows: Sequence[Sequence[Any]], **readers: Callable[[Any], Any]) -> dict[str, list[Any]]:
    """Return by name the values of rows of texts, each read by its reader, which also gives the order."""
    found: dict[str, list[Any]] = {name: [] for name in readers}
    for row in rows:
        for (name, read), text in zip(readers.items(), row, strict=True):
            value = text.strip() if isinstance(text, str) else text
            found[name].append(None if value in ("", None) else read(value))
    return found


def read_csv(body: bytes, encoding: str = "utf-8-sig", **dialect: Any) -> list[list[str]]:
    """Return the records of a CSV file without its header, by Python's csv module."""
    rows = [row for row in csv.reader(io.StringIO(body.decode(encoding), newline=""), **dialect) if row]
    return rows[1:]


def slashed(order: str) -> Callable[[str], date]:
    """Return a reader of dates with slashes; `order` is `mdy` or `dmy`."""

    def read(text: str) -> date:
        first, second, year = map(int, text.split("/"))
        return date(year, first, second) if order == "mdy" else date(year, second, first)

    return read


def written(shape: Shape, folder: Path) -> Path:
    path = folder / shape.name
    path.write_bytes(shape.body)
    return path


def draft(folder: Path, *files: Path, records: str | None = None) -> DraftTable:
    """Draft a contract, write it into the include folder of the settings and return it."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    found = draft_contract(given_files([*map(str, files)]), DOMAIN, DATASET, scratch, records=records)
    contract_path(DOMAIN, DATASET).write_text(found.text)
    return found


def drafted_contract() -> Contract:
    """Return the drafted contract, which the linter accepts."""
    _, problems = lint(None)
    assert problems == []
    return load_domain(DOMAIN)[DATASET]


def load_shape(connection: Connection, shape: Shape, contract: Contract) -> Books:
    """Load a file by a contract and return its books."""
    bucket = MemoryBucket()
    landed = bucket.put(DOMAIN, DATASET, Period.parse("day", "2026-03-01"), shape.body, shape.name)
    books = ingest_file(connection, bucket, landed, contract, load_domain(DOMAIN), RUN)
    assert books
    return books


def loaded(connection: Connection, name: str) -> list[Any]:
    rows = connection.execute(
        sql.SQL("select {} from {}").format(sql.Identifier(name), sql.Identifier(DOMAIN, DATASET))
    ).fetchall()
    return [row[0] for row in rows]


def total_of(values: Sequence[Any]) -> Decimal:
    return sum((Decimal(str(value)) for value in values if value is not None), Decimal(0))


def counted(values: Sequence[Any]) -> Counter[str]:
    """Return how often each value occurs; numbers are equal by their value, and instants in every zone."""
    return Counter(map(_shown, values))


def _shown(value: Any) -> str:
    if isinstance(value, datetime) and value.tzinfo:
        return repr(value.astimezone(UTC))
    return repr(Decimal(value).normalize() + 0) if type(value) in (int, Decimal) else repr(value)
