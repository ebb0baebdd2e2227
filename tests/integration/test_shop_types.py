"""Rules over several columns, and instants, truth values and UUIDs, in loads of CSV and JSON files."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from psycopg import Connection

from support.landing import csv_body, total
from support.messaging_months import RUN
from support.shop_landing import LAYOUTS, SHOP, Shop
from waybill.contracts import Column, Contract, ContractError, RowRule
from waybill.intake.replay import replay
from waybill.intake.validate import open_duckdb

SALES = LAYOUTS["transactions"].header
DAY = "2026-03-02"
AT = f"{DAY}T12:00:00Z"


@pytest.fixture
def shop(empty_connection: Connection) -> Shop:
    return Shop(empty_connection)


def rejects(shop: Shop) -> dict[int, list[str]]:
    return dict(shop.all("select record, reasons from waybill.quarantine order by record"))


def test_an_amount_must_be_quantity_times_price(shop: Shop) -> None:
    rows = [
        f"1,1,1,3,0.10,0.30,{AT},completed,card",
        f"2,1,1,3,0.10,0.31,{AT},completed,card",
        f"3,1,1,,0.10,0.31,{AT},completed,card",  # NULL inputs pass
        f"4,1,1,2147483647,99999999.99,214748364678525163.53,{AT},completed,card",  # too large for the column
        f"5,1,1,2147483647,99999999.99,1.00,{AT},completed,cash",
        f"6,1,1,0,0.10,0.31,{AT},lost,card",
    ]
    books = shop.load("transactions", DAY, csv_body(SALES, rows))
    assert books
    assert (books.inserted, books.rejected, total(books)) == (1, 5, 6)
    assert rejects(shop) == {
        2: ["rule:total_amount"],
        3: ["required:quantity"],
        4: ["type:total_amount"],
        5: ["rule:total_amount"],
        6: ["range:quantity", "enum:status", "rule:total_amount"],
    }


@pytest.mark.parametrize("expression", ["quantity = ", "nonsense(quantity)", "quantity = payment_method || 1 +"])
def test_a_rule_that_cannot_be_compiled_names_the_contract(expression: str, shop: Shop) -> None:
    shop.contracts["transactions"] = replace(SHOP["transactions"], row_rules=(RowRule("x", expression),))
    with pytest.raises(ContractError, match=r"the contract of shop.transactions \(version 1.0.1\) cannot be compiled"):
        shop.load("transactions", DAY, csv_body(SALES, [f"1,1,1,3,0.10,0.30,{AT},completed,card"]))
    assert shop.all("select count(*) from waybill.load_file") == [(0,)]
    assert json.dumps(shop.all("select message from waybill.rejected_file")).count("Check its row rules") == 1


# --- instants, truth values, UUIDs ----------------------------------------------------------------------------

COLUMNS = (
    Column("id", "", "string", "uuid", required=True, key_position=1),
    Column("at", "", "timestamp", "timestamptz", required=True),
    Column("flag", "", "boolean", "boolean"),
    Column("other", "", "string", "uuid"),
)
CONTRACT = Contract("shop", "flags", "1", "", "", COLUMNS, "merge", 100, 7, (), "flags", ("day",), period_column="at")
ID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
INSTANTS = {
    "2026-03-02T12:00:00Z": NOON,
    "2026-03-02 12:00:00": NOON,
    "2026-03-02T12:00": NOON,
    "2026-03-02 12:00Z": NOON,
    " 2026-03-02T14:00:00+02:00 ": NOON,
    "2026-03-02T14:00:00+02": NOON,
    "2026-03-02T14:00:00+0200": NOON,
    "2026-03-02T14:00+02:00": NOON,
    "2026-03-02T06:30-0530": NOON,
    "2026-03-02T02:15:00.000001-09:45": NOON + timedelta(microseconds=1),
    "2026-03-02T12:00:00.5Z": NOON + timedelta(microseconds=500_000),
    "2026-03-03T08:59:59.999999+09:00": datetime(2026, 3, 2, 23, 59, 59, 999_999, UTC),
    "2026-03-01T19:00:00-05:00": datetime(2026, 3, 2, tzinfo=UTC),
}
NO_INSTANTS = [
    "2026-03-02",
    "2026-03-02T25:00:00Z",
    "2026-03-02T12:60:00Z",
    "2026-02-30T12:00:00Z",
    "2026-03-02T12:00:00 Europe/Berlin",
    "2026-03-02T12:00:00.1234567Z",
    "2026-03-02t12:00:00",
    "1772452800",
    "infinity",
    "now",
    "12:00:00",
]
FLAGS = {"true": True, " TRUE ": True, "t": True, "1": True, "false": False, "F": False, "0": False, "": None}
NO_FLAGS = ["yes", "2", "truth", "-1", "null"]
UUIDS = {ID: UUID(ID), ID.upper(): UUID(ID), f" {ID} ": UUID(ID), "f" * 8 + ID[8:]: UUID("f" * 8 + ID[8:])}
NO_UUIDS = [ID.replace("-", ""), f"{{{ID}}}", ID[:-1], ID.replace("a", "g"), f"urn:uuid:{ID}"]


def written(fields: list[list[str]], form: str) -> tuple[str, bytes]:
    names = [column.name for column in COLUMNS]
    if form == "csv":
        return "a.csv", csv_body(",".join(names), (",".join(row) for row in fields))
    rows = [dict(zip(names, row, strict=True)) for row in fields]
    if form == "lines":
        return "a.jsonl", "\n".join(map(json.dumps, rows)).encode()
    for row in rows:  # as JSON has truth values of its own
        row["flag"] = {"true": True, "false": False}.get(row["flag"], row["flag"])  # type: ignore[assignment]
    return "a.json", json.dumps(rows).encode()


@pytest.mark.parametrize("form", ["csv", "lines", "array"])
def test_instants_truth_values_and_uuids_are_loaded_and_validated(form: str, shop: Shop) -> None:
    def number(n: int) -> str:
        return str(UUID(int=n))

    values = [*((text, "", "") for text in INSTANTS), *((AT, text, "") for text in FLAGS)]
    values += [(AT, "", text) for text in UUIDS]
    good = [[number(n), *row] for n, row in enumerate(values)]
    bad = [*((AT, "", text, "other") for text in NO_UUIDS), *((AT, text, "", "flag") for text in NO_FLAGS)]
    bad += [(text, "", "", "at") for text in NO_INSTANTS]
    late = [("2026-03-03T00:00:00Z", "after_period"), ("2026-03-02T20:00:00-04:00", "after_period")]
    late += [("2026-02-22T23:59:59.999999Z", "too_late"), ("2026-02-23T01:00:00+01:30", "too_late")]
    rows = good + [[number(500 + n), *row[:3]] for n, row in enumerate(bad)]
    rows += [[number(900 + n), text, "", ""] for n, (text, _) in enumerate(late)]
    name, body = written(rows, form)
    shop.contracts["flags"] = CONTRACT
    books = shop.load("flags", DAY, body, name)
    assert books
    assert (books.inserted, total(books)) == (len(good), len(rows))
    first = len(good) + 1
    expected = [f"type:{row[3]}" for row in bad] + [reason for _, reason in late]
    assert rejects(shop) == {first + place: [reason] for place, reason in enumerate(expected)}
    found = shop.all("select at, flag, other from shop.flags order by id")
    noon = (NOON, None, None)
    assert found[: len(INSTANTS)] == [(at, None, None) for at in INSTANTS.values()]
    assert found[len(INSTANTS) :] == [(noon[0], flag, None) for flag in FLAGS.values()] + [
        (noon[0], None, uuid) for uuid in UUIDS.values()
    ]


def test_repeats_of_a_uuid_and_an_instant_are_found_in_every_spelling(shop: Shop) -> None:
    shop.contracts["flags"] = CONTRACT
    rows = [f"{ID},{AT},1,{ID}", f"{ID.upper()},2026-03-02T14:00+02:00,true,{ID}", f"{ID},{AT},0,{ID}"]
    books = shop.load("flags", DAY, csv_body("id,at,flag,other", rows))
    assert books
    assert (books.inserted, books.duplicate, books.rejected) == (1, 1, 1)
    assert rejects(shop) == {3: ["conflict"]}
    [(raw,)] = shop.all("select raw from waybill.quarantine")
    assert json.loads(raw)["id"] == ID
    [replayed] = replay(shop.connection, CONTRACT, shop.contracts, RUN)
    assert (replayed.books.rows_in, replayed.books.rejected) == (1, 1), "the kept text can be parsed again"


def test_sessions_are_loaded_in_utc_with_keys_and_instants(shop: Shop, tmp_path: Path) -> None:
    with closing(open_duckdb(tmp_path)) as duck:
        assert duck.execute("select current_setting('TimeZone')").fetchone() == ("UTC",)
    clicks = [
        {"event_id": ID, "session_id": ID, "event_type": "page_view", "page": "/", "timestamp": AT, "device": "mobile"},
        {"event_id": ID[:-1] + "2", "session_id": ID, "customer_id": 9999, "event_type": "purchase", "page": "/"}
        | {"product_id": 7, "ts": "2026-03-02T13:00:00+01:00", "device": "desktop"},
    ]
    body = gzip.compress("\n".join(map(json.dumps, clicks)).encode())
    books = shop.load("clickstream", DAY, body, "a.jsonl.gz")
    assert books
    assert books.inserted == 2
    found = shop.all("select event_id, customer_id, ts from shop.clickstream order by event_id")
    assert found == [(UUID(ID), None, NOON), (UUID(ID[:-1] + "2"), 9999, NOON)]
