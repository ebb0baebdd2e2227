"""Personal data in columns without a classification: found once by the load, and nothing of a value is stored."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection, sql

from support.landing import csv_body
from support.shop_landing import Shop
from waybill.contracts import Column, Contract, load_domain
from waybill.contracts.file_format import FileFormat, FormatName
from waybill.ops import incidents
from waybill.ops.incidents import Incident
from waybill.settings import settings
from waybill.views.operations.incidents import look
from waybill.watch.unclassified import unclassified

DAY = "2026-03-02"
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
HEADER = "product_id,name,category,brand,supplier,price,stock"
PLANTED = {
    "name": ("Lamp with shade, questions to vera.planted@example.org please", "vera.planted"),
    "category": ("call +49 30 77712345 first", "77712345"),
    "brand": ("paid from DE89 3704 0044 0532 0130 00 in March", "3704 0044"),
    "supplier": ("card 4929 1234 5678 9015 was charged", "1234 5678"),
}
"""By column: one value among others, and a part of it to look for."""
KINDS = {
    "name": "an email address",
    "category": "a telephone number",
    "brand": "a bank account",
    "supplier": "a payment card",
}


def products(planted: Mapping[str, str], rows: int = 200) -> bytes:
    """Return products of which one has the planted values."""
    names = HEADER.split(",")
    lines = []
    for number in range(1, rows + 1):
        words = [f"Lamp {number}", f"Home {number % 5}", f"Brand {number % 7}", f"Firm {number % 9}"]
        row = [str(number), *words, "5.00", "3"]
        if number == rows // 2:
            row = [f'"{planted[name]}"' if name in planted else value for name, value in zip(names, row, strict=True)]
        lines.append(",".join(row))
    return csv_body(HEADER, lines)


@pytest.fixture
def shop(empty_connection: Connection, include_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", "memory")
    settings.cache_clear()
    yield Shop(empty_connection, load_domain("shop"))
    settings.cache_clear()


def opened(shop: Shop) -> list[Incident]:
    """Look, and return the open incidents about personal data."""
    with shop.connection.transaction():
        look(shop.connection, "shop", "watch", NOW, is_watch=True)
    return [one for one in incidents.open_incidents(shop.connection, ["shop"]) if one.kind == "personal"]


def tables_with(connection: Connection, part: str) -> list[str]:
    """Return the tables of the schema waybill in which a text occurs."""
    tables = connection.execute(
        "select relname from pg_class where relnamespace = 'waybill'::regnamespace and relkind in ('r', 'p', 'm')"
    ).fetchall()
    found = []
    for (table,) in tables:
        query = sql.SQL("select from {} as t where strpos(t::text, %s) > 0 limit 1").format(
            sql.Identifier("waybill", table)
        )
        if connection.execute(query, (part,)).fetchall():
            found.append(table)
    return found


def classify(include: Path, column: str, classification: str) -> None:
    path = include / "contracts/shop/products.yaml"
    text, place = path.read_text(), f"      - name: {column}\n"
    assert place in text
    path.write_text(
        re.sub(r"version: .*", "version: 9.0.0", text, count=1).replace(
            place, f"{place}        classification: {classification}\n"
        )
    )


def test_planted_personal_data_is_one_incident_for_each_column_until_a_person_decides(
    shop: Shop, include_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    shop.load("products", DAY, products({name: value for name, (value, _) in PLANTED.items()}))
    found = {one.key: one for one in opened(shop)}
    assert {*found} == {f"personal shop.products {name}" for name in PLANTED}
    for name, kind in KINDS.items():
        incident = found[f"personal shop.products {name}"]
        assert re.fullmatch(
            rf"shop\.products: {name} looks personal: {kind} in 1 of \d+ different values", incident.what
        )
        assert (incident.severity, incident.number) == ("warning", 1)
        assert "Classify it as restricted or confidential" in incident.cause
        assert "internal or public" in incident.cause
    shop.load("products", "2026-03-03", products({name: value for name, (value, _) in PLANTED.items()}))
    assert {one.incident_id for one in opened(shop)} == {one.incident_id for one in found.values()}

    for _, part in PLANTED.values():
        assert shop.all("select from shop.products_history as p where strpos(p::text, %s) > 0", (part,))
        assert tables_with(shop.connection, part) == []
        assert part not in caplog.text

    for column, classification in (("name", "internal"), ("category", "confidential"), ("brand", "restricted")):
        classify(include_dir, column, classification)
    assert [one.key for one in opened(shop)] == ["personal shop.products supplier"]
    shop.contracts = load_domain("shop")
    shop.load("products", "2026-03-04", products({"name": PLANTED["name"][0]}))
    assert [one.key for one in opened(shop)] == ["personal shop.products supplier"]


def test_the_incident_ends_when_the_file_is_corrected_or_withdrawn(shop: Shop) -> None:
    shop.load("products", DAY, products({"name": PLANTED["name"][0]}))
    assert [one.key for one in opened(shop)] == ["personal shop.products name"]
    shop.load("products", DAY, products({}))
    assert opened(shop) == []
    assert shop.all("select from waybill.personal_column") == []
    shop.load("products", DAY, products({"brand": PLANTED["brand"][0]}), "another.csv")
    assert [one.key for one in opened(shop)] == ["personal shop.products brand"]
    shop.withdraw("products", DAY, "another.csv")
    assert opened(shop) == []


def test_an_incident_that_a_backfill_causes_is_quiet(shop: Shop) -> None:
    shop.load("products", DAY, products({"name": PLANTED["name"][0]}))
    shop.connection.execute("update waybill.load_file set run_id = 'backfill__1'")
    assert [one.is_quiet for one in opened(shop)] == [True]


COLUMNS = (
    Column("id", "", "integer", "integer", required=True, key_position=1),
    Column("at", "", "timestamp", "timestamptz", required=True),
    Column("note", "", "string", "text"),
    Column("details", "", "object", "jsonb"),
    Column("tags", "", "array", "text[]"),
    Column("card", "", "integer", "bigint"),
    Column("birth_date", "", "date", "date"),
    Column("secret", "", "string", "text", classification="confidential"),
)
NOTES = Contract("shop", "notes", "1", "", "", COLUMNS, "merge", 20, 7, (), "notes", ("day",), period_column="at")
CARDS = ("4929123456789015", "4111111111111111", "5555555555554444", "378282246310005")


def rows_with(*, planted: bool) -> list[dict[str, object]]:
    return [
        {
            "id": number,
            "at": f"{DAY}T12:00:00Z",
            "note": f"text {number}",
            "details": {"from": "kim@example.org" if planted and number == 7 else "nobody", "number": number},
            "tags": ["late", "+33 6 12 34 56 78" if planted and number == 9 else f"tag {number}"],
            "card": int(CARDS[number % 4]) if planted else 10**15 + number,
            "birth_date": f"19{number + 40}-02-03" if planted else None,
            "secret": f"kim{number}@example.org",
        }
        for number in range(40)
    ]


def as_json(rows: list[dict[str, object]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, object]]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{**row, "details": json.dumps(row["details"])} for row in rows]), target)
    return target.getvalue()


@pytest.mark.parametrize(
    ("write", "form", "name"), [(as_json, "json", "a.jsonl"), (as_parquet, "parquet", "a.parquet")]
)
def test_documents_lists_numbers_and_dates_are_searched_in_other_files(
    empty_connection: Connection, write: Callable[[list[dict[str, object]]], bytes], form: FormatName, name: str
) -> None:
    notes = replace(NOTES, file_format=FileFormat(form))
    shop = Shop(empty_connection, {"notes": notes})
    shop.load("notes", DAY, write(rows_with(planted=False)), name)
    assert unclassified(shop.connection, {notes.table: notes}) == []
    rows = [{**row, "at": "2026-03-03T12:00:00Z"} for row in rows_with(planted=True)]
    shop.load("notes", "2026-03-03", write(rows), name)
    found = unclassified(shop.connection, {notes.table: notes})
    assert [(one.column_name, one.kinds, one.found_in, one.hits) for one in found] == [
        ("birth_date", ["a date of birth"], "name", 40),
        ("card", ["a payment card"], "values", 4),
        ("details", ["an email address"], "text", 1),
        ("tags", ["a telephone number"], "text", 1),
    ]
