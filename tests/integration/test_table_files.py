"""Parquet files and workbooks take the way of CSV: dry run, load, quarantine, replay and proposed contracts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.landing import CUSTOMERS, MONTH, TRAFFIC, Amend, Landing, csv_body, customer_rows
from support.messaging_months import RUN, month
from waybill.contracts import load
from waybill.intake.dry_run import dry_run_pending, try_contract
from waybill.intake.landing import list_landed
from waybill.intake.replay import replay
from waybill.settings import settings

Row = tuple[Any, ...]
NAMES = TRAFFIC.split(",")
GOOD: list[Row] = [
    (n + 1, date(2026, 3, n % 28 + 1), 1, n // 28 % 9 + 1, 1, 10 + n, Decimal("12.50") + n) for n in range(60)
]
NEW_CUSTOMER: Row = (61, date(2026, 3, 1), 1, 10, 1, 7, Decimal("0.10"))
NEGATIVE: Row = (62, date(2026, 3, 2), 1, 1, 1, -5, Decimal("1.00"))
REJECTED = {61: ["reference:customer_id"], 62: ["range:interactions_count"]}


def parquet(rows: Iterable[Row]) -> bytes:
    kinds = [pa.int64(), pa.date32(), pa.int32(), pa.int64(), pa.int8(), pa.int64(), pa.decimal128(12, 2)]
    columns = zip(NAMES, kinds, zip(*rows, strict=True), strict=True)
    target = io.BytesIO()
    table = pa.table({name: pa.array(values, kind) for name, kind, values in columns})
    pq.write_table(table, target, row_group_size=25)
    return target.getvalue()


def workbook(rows: Iterable[Row]) -> bytes:
    book = openpyxl.Workbook()
    book.create_sheet("Notes")
    sheet = book.worksheets[0]
    sheet.append(["Traffic of March"])
    sheet.append([])
    sheet.append(NAMES)
    for row in rows:
        sheet.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def of_parquet(body: bytes) -> list[Row]:
    return [tuple(row.values()) for row in pq.read_table(io.BytesIO(body)).to_pylist()]


def of_workbook(body: bytes) -> list[Row]:
    sheet = openpyxl.load_workbook(io.BytesIO(body)).worksheets[0]
    rows = sheet.iter_rows(min_row=4, values_only=True)
    return [(row[0], row[1].date(), *row[2:6], Decimal(str(row[6]))) for row in rows]  # type: ignore[union-attr]


FORMATS = {
    "parquet": (parquet, of_parquet, ""),
    "xlsx": (workbook, of_workbook, "\n    customProperties: [{property: skipLines, value: 1}]"),
}
Kind = tuple[str, Callable[[Iterable[Row]], bytes], Callable[[bytes], list[Row]]]


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest, amend: Amend) -> Kind:
    """A format that the contract of traffic declares, with a writer and an independent reader."""
    write, read, properties = FORMATS[request.param]
    server = f"servers:\n  - server: files\n    type: custom\n    format: {request.param}{properties}\nschema:"
    amend("traffic", "schema:", server)
    return request.param, write, read


def test_rows_are_those_of_an_independent_reader(landing: Landing, kind: Kind) -> None:
    name, write, read = kind
    body = write(GOOD)
    key = landing.load("traffic", body, f"traffic.{name}")
    assert landing.check(key, 60)["size_bytes"] == len(body)
    columns = ", ".join(NAMES)
    assert landing.all(f"select {columns} from messaging.traffic order by traffic_id") == read(body) == GOOD
    landing.put("traffic", MONTH, body, f"traffic.{name}")
    assert landing.ingest("traffic", MONTH) == {}


def test_rejected_rows_are_foretold_kept_and_replayed(landing: Landing, kind: Kind) -> None:
    name, write, _ = kind
    key = landing.put("traffic", MONTH, write([*GOOD, NEW_CUSTOMER, NEGATIVE]), f"traffic.{name}")
    contract = landing.contracts["traffic"]
    foretold = dry_run_pending(landing.connection, landing.s3, contract, landing.contracts, month(MONTH))
    assert (foretold[key]["rows_in"], foretold[key]["rejected"]) == (62, 2)
    landing.ingest("traffic", MONTH)
    landing.check(key, 62, REJECTED)
    raw = {record: json.loads(text) for record, text in landing.all("select record, raw from waybill.quarantine")}
    assert raw[61] | {"revenue_eur": Decimal(raw[61]["revenue_eur"])} == dict(
        zip(NAMES, ["61", "2026-03-01", "1", "10", "1", "7", Decimal("0.1")], strict=True)
    )
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    (done,) = replay(landing.connection, contract, landing.contracts, RUN)
    assert (done.books.inserted, done.books.rejected) == (1, 1)
    landing.check(key, 62, {62: REJECTED[62]})


def test_a_proposed_contract_is_tried(landing: Landing, kind: Kind, tmp_path: Path) -> None:
    name, write, _ = kind
    landing.put("traffic", MONTH, write([*GOOD, NEGATIVE]), f"traffic.{name}")
    today = landing.contracts["traffic"]
    landed = list_landed(landing.s3, landing.bucket, today, None, month(MONTH))
    text = (settings().include_dir / "contracts/messaging/traffic.yaml").read_text()
    interactions = (
        "logicalTypeOptions: {minimum: 0}\n        required: true\n        synonyms: [{synonym: interactions}]"
    )
    assert interactions in text
    (tmp_path / "traffic.yaml").write_text(
        text.replace(interactions, interactions.replace("minimum: 0", "minimum: 15"))
    )
    proposed = load(tmp_path / "traffic.yaml")
    (result,) = try_contract(landing.connection, landing.s3, today, proposed, landing.contracts, landed)
    assert (result.rows, result.rows_newly_rejected) == (61, 5)
    assert result.reasons == {"range:interactions_count": 5}


def test_errors_of_a_workbook_are_rejected(landing: Landing, amend: Amend) -> None:
    amend("traffic", "schema:", "servers: [{server: files, type: custom, format: xlsx}]\nschema:")
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in [NAMES, *GOOD]:
        sheet.append(row)
    sheet["F3"] = "#REF!"
    assert sheet["F3"].data_type == "e"
    target = io.BytesIO()
    book.save(target)
    key = landing.load("traffic", target.getvalue(), "traffic.xlsx")
    landing.check(key, 60, {2: ["type:interactions_count"]})


def test_rows_below_the_range_are_a_warning(landing: Landing, amend: Amend) -> None:
    properties = 'customProperties: [{property: cells, value: "A3:G63"}, {property: ignoredLines, value: ["^Total"]}]'
    amend("traffic", "schema:", f"servers: [{{server: files, type: custom, format: xlsx, {properties}}}]\nschema:")
    more = [(*GOOD[0][:-1], Decimal("1.00")), ("Total", None, None, None, None, None, Decimal("9.00"))]
    key = landing.load("traffic", workbook([*GOOD, *more]), "traffic.xlsx")
    landing.check(key, 60)
    assert landing.ledger(key)["ignored_lines"] == {"^Total": 1}
    ((kind, message),) = landing.all("select kind, message from waybill.file_warning")
    assert kind == "cells"
    assert message.startswith("1 row has values below the declared `cells: A3:G63` and was not loaded (first: row 64).")
