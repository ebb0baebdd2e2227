"""Values in the forms that senders write are loaded with their meaning or rejected, as by a run."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from support.landing import TRAFFIC, Landing, csv_body, total, traffic_rows
from support.messaging_months import RUN
from support.order_files import CONTRACTS, LINES, Line, Orders, body
from support.shop_landing import Shop
from waybill.contracts import Contract
from waybill.contracts.number_format import NumberFormat
from waybill.errors import DataError
from waybill.intake.dry_run import try_contract
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.intake.replay import replay

FIELD = Path(__file__).parents[1] / "field"
DAY = "2026-11-02"


def with_options(contract: Contract, **changes: dict[str, Any]) -> Contract:
    """Return the contract with other properties of the columns that are named."""
    return replace(
        contract,
        columns=tuple(replace(column, **changes.get(column.name, {})) for column in contract.columns),
    )


def load(connection: Connection, text: bytes, contract: Contract = LINES, name: str = "a.csv") -> Books:
    orders = Orders(connection)
    books = ingest_file(connection, orders.bucket, orders.land(DAY, name, text), contract, CONTRACTS, RUN)
    assert books
    assert total(books) == books.rows_in
    return books


def rejection_of(connection: Connection, text: bytes, contract: Contract = LINES, name: str = "a.csv") -> str:
    with pytest.raises(DataError) as caught:
        load(connection, text, contract, name)
    loaded = connection.execute("select count(*) from waybill.load_file").fetchall()
    assert loaded == [(0,)]
    assert connection.execute("select message from waybill.rejected_file").fetchall() == [(str(caught.value),)]
    return str(caught.value)


def rejects(connection: Connection, column: str) -> dict[str, list[str]]:
    """Return the reasons against each rejected row, by the row's text in a column."""
    rows = connection.execute("select raw, reasons from waybill.quarantine where resolved_as is null").fetchall()
    return {json.loads(raw)[column]: reasons for raw, reasons in rows}


def stored(connection: Connection, column: str) -> dict[str, Any]:
    """Return the values of a column of the loaded order lines, by order."""
    rows = connection.execute(f"select order_id, {column} from orders.lines").fetchall()
    return dict(rows)


# --- dates --------------------------------------------------------------------------------------------------------


def test_no_date_is_loaded_as_a_day_of_the_first_century(empty_connection: Connection) -> None:
    load(empty_connection, (FIELD / "07_years/years.csv").read_bytes())
    assert rejects(empty_connection, "order_date") == {
        "3/31/26": ["type:order_date"],
        "3/31/0026": ["range:order_date"],
        "2026-03-31 00:00:00": ["type:order_date"],
        "46112": ["type:order_date"],
    }
    assert set(stored(empty_connection, "order_date").values()) == {date(2026, 11, 2)}


def test_dates_of_which_some_read_only_day_first_reject_the_file(empty_connection: Connection) -> None:
    text = (FIELD / "08_day_first/dayfirst.csv").read_bytes()
    message = rejection_of(empty_connection, text)
    assert "97 dates can be read as M/D/YYYY (97 of them also as D/M/YYYY), 3 only as D/M/YYYY" in message
    examples = ", ".join(f"record {n} (order_date '25/04/2026')" for n in (98, 99, 100))
    assert f"date_order:order_date in 3 rows: {examples}" in message
    assert "dateForms" in message


def test_a_contract_may_declare_that_dates_are_day_first(empty_connection: Connection) -> None:
    day_first = with_options(LINES, order_date={"date_forms": ("YYYY-MM-DD", "D/M/YYYY")})
    load(empty_connection, (FIELD / "08_day_first/dayfirst.csv").read_bytes(), day_first)
    found = stored(empty_connection, "order_date")
    assert (found["C08-000"], found["C08z0"]) == (date(2026, 4, 5), date(2026, 4, 25))
    assert len(found) == 100


def test_declared_forms_give_each_date_its_day(empty_connection: Connection) -> None:
    forms = ("YYYY-MM-DD", "M/d/yy", "excel", "yyyy-MM-dd '00:00:00'")
    declared = with_options(LINES, order_date={"date_forms": forms, "pivot_year": 1970})
    load(empty_connection, (FIELD / "07_years/years.csv").read_bytes(), declared)
    assert rejects(empty_connection, "order_date") == {"3/31/0026": ["type:order_date"]}
    days = Counter(stored(empty_connection, "order_date").values())
    assert days.keys() == {date(2026, 11, 2), date(2026, 3, 31)}
    assert days[date(2026, 3, 31)] == 3


def test_a_pattern_has_the_order_of_day_and_month_too(empty_connection: Connection) -> None:
    text = (FIELD / "08_day_first/dayfirst.csv").read_bytes()
    month_first = with_options(LINES, order_date={"date_forms": ("MM/dd/yyyy",)})
    message = rejection_of(empty_connection, text, month_first)
    assert "97 dates can be read as MM/dd/yyyy (97 of them also as dd/MM/yyyy), 3 only as dd/MM/yyyy" in message
    load(empty_connection, text, with_options(LINES, order_date={"date_forms": ("dd/MM/yyyy",)}))
    found = stored(empty_connection, "order_date")
    assert (len(found), found["C08-000"], found["C08z0"]) == (100, date(2026, 4, 5), date(2026, 4, 25))


@pytest.mark.parametrize(
    ("form", "dates"),
    [("dd.MM.yy", ["05.04.26", "04.25.26"]), ("ddMMyyyy", ["05042026", "04252026"])],
)
def test_one_date_in_the_other_order_rejects_the_file(
    form: str, dates: list[str], empty_connection: Connection
) -> None:
    declared = with_options(LINES, order_date={"date_forms": (form,), "pivot_year": 1970})
    message = rejection_of(empty_connection, lines(*dates), declared)
    assert (
        f"1 date can be read as {form} (1 of them also as {form.replace('dd.MM', 'MM.dd').replace('ddMM', 'MMdd')})"
        in message
    )


def test_the_message_about_a_rejected_file_shows_the_declared_dates(empty_connection: Connection) -> None:
    declared = with_options(LINES, order_date={"date_forms": ("yyyyMMdd", "excel")})
    strict = replace(declared, reject_threshold_pct=0)
    message = rejection_of(empty_connection, lines("2026-03-31"), strict)
    assert "type:order_date (must be yyyyMMdd or excel)" in message


def test_a_dry_run_and_a_run_reject_the_same_file(empty_connection: Connection) -> None:
    orders = Orders(empty_connection)
    file = orders.land(DAY, "a.csv", (FIELD / "08_day_first/dayfirst.csv").read_bytes())
    day_first = with_options(LINES, order_date={"date_forms": ("D/M/YYYY",)})
    results = [
        try_contract(empty_connection, orders.bucket, today, proposed, CONTRACTS, [file])[0]
        for today, proposed in ((LINES, day_first), (day_first, LINES))
    ]
    assert (results[0].rejection, results[0].rows_newly_accepted) == (None, 100)
    assert ", 3 only as D/M/YYYY" in str(results[1].rejection)
    loaded = empty_connection.execute("select count(*) from waybill.load_file").fetchall()
    assert loaded == [(0,)]


def lines(*dates: str) -> bytes:
    return body(*(Line(order=f"{n}", date=text) for n, text in enumerate(dates)))


def test_dates_that_read_both_ways_throughout_are_read_as_declared(empty_connection: Connection) -> None:
    load(empty_connection, lines("5/4/2026", "12/12/2026", "2026-04-25", "04/05/2026"))
    assert sorted(stored(empty_connection, "order_date").values()) == [
        date(2026, 4, 5),
        date(2026, 4, 25),
        date(2026, 5, 4),
        date(2026, 12, 12),
    ]


@pytest.mark.parametrize(
    ("forms", "dates", "counts"),
    [
        (
            ("M/D/YYYY",),
            ["25/04/2026", " 26/4/2026\u00a0"],
            "0 dates can be read as M/D/YYYY (0 of them also as D/M/YYYY), 2 only",
        ),
        (
            ("M/D/YYYY",),
            ["4/25/2026", "5/4/2026", "25/4/2026"],
            "2 dates can be read as M/D/YYYY (1 of them also as D/M/YYYY), 1 only",
        ),
        (
            ("D/M/YYYY",),
            ["4/25/2026", "5/4/2026"],
            "1 date can be read as D/M/YYYY (1 of them also as M/D/YYYY), 1 only",
        ),
    ],
)
def test_every_mixture_of_the_two_orders_rejects_the_file(
    forms: tuple[str, ...], dates: list[str], counts: str, empty_connection: Connection
) -> None:
    contract = with_options(LINES, order_date={"date_forms": forms})
    assert counts in rejection_of(empty_connection, lines(*dates), contract)


def test_the_order_of_a_restricted_column_is_reported_without_its_values(empty_connection: Connection) -> None:
    contract = with_options(LINES, order_date={"classification": "restricted"})
    message = rejection_of(empty_connection, lines("5/4/2026", "25/4/2026"), contract)
    assert "in 1 row: record 2 (order_date ***)" in message
    assert "25/4/2026" not in message


def test_the_other_order_is_only_suggested_if_it_reads_every_date(empty_connection: Connection) -> None:
    assert "dateForms" not in rejection_of(empty_connection, lines("4/25/2026", "25/4/2026"))


def test_a_malformed_record_does_not_hide_the_order_of_dates(empty_connection: Connection) -> None:
    text = lines("5/4/2026", "25/4/2026") + b'"unclosed\n'
    assert "in 1 row: record 2 (order_date '25/4/2026')" in rejection_of(empty_connection, text)


def test_json_dates_are_held_to_the_same_order(empty_connection: Connection) -> None:
    fields = {column.name: "1" for column in LINES.delivered_columns}
    rows = [{**fields, "order_id": on, "order_date": on} for on in ("5/4/2026", "25/4/2026")]
    text = "\n".join(map(json.dumps, rows)).encode()
    assert "1 date can be read as M/D/YYYY" in rejection_of(empty_connection, text, name="a.jsonl")


def test_where_dates_are_declared_iso_a_date_with_slashes_is_of_the_wrong_type(empty_connection: Connection) -> None:
    contract = with_options(LINES, order_date={"date_forms": ("YYYY-MM-DD",)})
    load(empty_connection, lines("2026-04-05", "25/04/2026", "4/5/2026"), contract)
    assert rejects(empty_connection, "order_date") == {
        "25/04/2026": ["type:order_date"],
        "4/5/2026": ["type:order_date"],
    }


def test_a_replay_validates_rows_without_the_date_order_of_their_file(empty_connection: Connection) -> None:
    """Only a whole file shows in which order its sender writes month and day."""
    iso = with_options(LINES, order_date={"date_forms": ("YYYY-MM-DD",)})
    load(empty_connection, lines("2026-04-05", "25/04/2026", "4/5/2026"), iso)
    [replayed] = replay(empty_connection, LINES, CONTRACTS, RUN)
    assert (replayed.books.inserted, replayed.books.rejected) == (1, 1)
    assert rejects(empty_connection, "order_date") == {"25/04/2026": ["type:order_date", "date_order:order_date"]}


def test_plausible_years_follow_from_the_files_own_day(empty_connection: Connection) -> None:
    load(empty_connection, lines("1900-01-01", "1899-12-31", "2036-11-02", "2036-11-03", "9999-12-31"))
    wrong = ["range:order_date"]
    assert rejects(empty_connection, "order_date") == dict.fromkeys(["1899-12-31", "2036-11-03", "9999-12-31"], wrong)
    declared = with_options(LINES, order_date={"options": {"minimum": "1850-01-01", "maximum": "9999-12-31"}})
    [replayed] = replay(empty_connection, declared, CONTRACTS, RUN)
    assert (replayed.books.inserted, replayed.books.rejected) == (3, 0)


# --- instants -----------------------------------------------------------------------------------------------------

NIGHT = datetime(2026, 10, 24, 8, 0, tzinfo=UTC)
TIMES = {
    "2026-10-24 24:00:00": datetime(2026, 10, 25, tzinfo=UTC),
    "2026-10-24T10:00:00+0530": datetime(2026, 10, 24, 4, 30, tzinfo=UTC),
    "2026-10-24T10:00:00-05:30": datetime(2026, 10, 24, 15, 30, tzinfo=UTC),
    "2026-10-24T10:00": datetime(2026, 10, 24, 10, tzinfo=UTC),
    "2026-10-24T23:30:00-02:00": datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    "2026-10-25T00:30:00+02:00": datetime(2026, 10, 24, 22, 30, tzinfo=UTC),
    "2026-10-24 10:00:00": datetime(2026, 10, 24, 10, tzinfo=UTC),
    "2026-10-24T10:00:00.1Z": datetime(2026, 10, 24, 10, 0, 0, 100_000, tzinfo=UTC),
}


def test_instants_are_exact_or_rejected(empty_connection: Connection) -> None:
    shop, text = Shop(empty_connection), (FIELD / "27_timestamps/tx.csv").read_bytes()
    shop.load("transactions", "2026-10-25", text)
    written = {int(row["transaction_id"]): row["timestamp"] for row in csv.DictReader(text.decode().splitlines())}
    found = {
        written[number]: at for number, at in shop.all("select transaction_id, transaction_ts from shop.transactions")
    }
    assert found == {**TIMES, "2026-10-24T08:00:00Z": NIGHT}
    wrong = rejects(empty_connection, "transaction_ts")
    assert wrong == {key: ["type:transaction_ts"] for key in set(written.values()) - found.keys()}
    assert "2026-10-24T10:00:00+26:00" in wrong


def test_declared_forms_give_each_timestamp_its_instant(empty_connection: Connection) -> None:
    shop, text = Shop(empty_connection), (FIELD / "27_timestamps/tx.csv").read_bytes()
    forms = ("iso_8601", "yyyy-MM-dd hh:mm:ss a", "epoch_seconds", "dd/MM/yyyy HH:mm", "yyyy-MM-dd HH:mm:ss 'UTC'")
    sales = with_options(shop.contracts["transactions"], transaction_ts={"date_forms": forms})
    shop.contracts["transactions"] = sales
    shop.load("transactions", "2026-10-25", text)
    written = {int(row["transaction_id"]): row["timestamp"] for row in csv.DictReader(text.decode().splitlines())}
    found = {
        written[number]: at for number, at in shop.all("select transaction_id, transaction_ts from shop.transactions")
    }
    ten = datetime(2026, 10, 24, 10, tzinfo=UTC)
    more = dict.fromkeys(["2026-10-24 10:00:00 AM", "24/10/2026 10:00", "2026-10-24 10:00:00 UTC"], ten)
    epoch = {"1792837800": datetime(2026, 10, 24, 10, 30, tzinfo=UTC)}
    assert found == {**TIMES, **more, **epoch, "2026-10-24T08:00:00Z": NIGHT}
    assert set(rejects(empty_connection, "transaction_ts")) == set(written.values()) - found.keys()


def test_the_hour_that_daylight_saving_repeats_is_read_by_its_offset(empty_connection: Connection) -> None:
    shop = Shop(empty_connection)
    shop.load("transactions", "2026-10-25", (FIELD / "27_timestamps/dst.csv").read_bytes())
    found = dict(shop.all("select transaction_id, transaction_ts from shop.transactions"))
    assert found[9203] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert found[9204] == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert found[9207] == datetime(2026, 10, 25, 2, 30, tzinfo=UTC), "without an offset it is UTC"


def test_a_contract_may_ask_for_an_offset(empty_connection: Connection) -> None:
    shop = Shop(empty_connection)
    sales = with_options(shop.contracts["transactions"], transaction_ts={"options": {"timezone": True}})
    shop.contracts["transactions"] = sales
    shop.load("transactions", "2026-10-25", (FIELD / "27_timestamps/dst.csv").read_bytes())
    assert rejects(empty_connection, "transaction_ts") == {"2026-10-25T02:30:00": ["type:transaction_ts"]}


@pytest.mark.parametrize(
    ("rule", "instant"),
    [
        ({}, None),
        ({"doubled_hour": "earlier"}, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ({"doubled_hour": "later"}, datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_contract_may_declare_the_time_zone_of_its_sender(
    rule: dict[str, Any], instant: datetime | None, empty_connection: Connection
) -> None:
    shop = Shop(empty_connection)
    in_berlin = {"options": {"defaultTimezone": "Europe/Berlin"}, **rule}
    shop.contracts["transactions"] = with_options(shop.contracts["transactions"], transaction_ts=in_berlin)
    shop.load("transactions", "2026-10-25", (FIELD / "27_timestamps/dst.csv").read_bytes())
    shop.load("transactions", "2026-10-24", (FIELD / "27_timestamps/berlin.csv").read_bytes())
    found = dict(shop.all("select transaction_id, transaction_ts from shop.transactions"))
    assert found[9001] == datetime(2026, 10, 24, 10, tzinfo=UTC)
    assert found[9204] == datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "an offset says more than the time zone"
    assert found.get(9207) == instant
    wrong = {} if instant else {"2026-10-25T02:30:00": ["doubled_hour:transaction_ts"]}
    assert rejects(empty_connection, "transaction_ts") == wrong


# --- numbers, words and identifiers -------------------------------------------------------------------------------


def test_a_number_in_another_form_is_rejected_or_the_same_number(empty_connection: Connection) -> None:
    load(empty_connection, (FIELD / "21_numbers/numbers.csv").read_bytes())
    odd = {order: cost for order, cost in stored(empty_connection, "cost_price").items() if order.startswith("C21n")}
    assert odd == {"C21n1": Decimal(0), "C21n2": Decimal(0), "C21n13": Decimal(5)}
    wrong = [
        "(123.45)",
        "\u221212.00",
        "$12.00",
        "12%",
        "1 234.50",
        "1_000",
        "1e3",
        "\uff11\uff12",
        "9" * 20,
        ".5",
        "5.",
    ]
    assert rejects(empty_connection, "cost_price") == {key: ["type:cost_price"] for key in [*wrong, "0x10", "12."]}


def test_a_decimal_comma_is_no_number(empty_connection: Connection) -> None:
    load(empty_connection, (FIELD / "10_european/quotedcomma.csv").read_bytes())
    assert rejects(empty_connection, "list_price") == {key: ["type:list_price"] for key in ["1.234,56", "1.234"]}


def test_declared_signs_give_the_numbers_of_accountants_their_value(empty_connection: Connection) -> None:
    signs = NumberFormat(".", (" ",), ("$",), "number", parentheses=True, minus=("-", "\u2212"))
    declared = with_options(LINES, cost_price={"number_format": signs, "options": {}})
    load(empty_connection, (FIELD / "21_numbers/numbers.csv").read_bytes(), declared)
    odd = {order: cost for order, cost in stored(empty_connection, "cost_price").items() if order.startswith("C21n")}
    found = sorted(odd.values())
    assert found == [Decimal("-123.45"), Decimal(-12), 0, 0, Decimal(5), Decimal(12), Decimal(12), Decimal("1234.5")]
    wrong = ["1_000", "1e3", "\uff11\uff12", "9" * 20, ".5", "5.", "0x10", "12."]
    assert rejects(empty_connection, "cost_price") == {key: ["type:cost_price"] for key in wrong}


def test_declared_decimal_commas_are_numbers(empty_connection: Connection) -> None:
    prices = with_options(LINES, list_price={"number_format": NumberFormat(",", (".",))})
    text = (FIELD / "10_european/quotedcomma.csv").read_bytes()
    text = b"\n".join(line.replace(b"100.00", b'"100,00"') for line in text.splitlines())
    books = load(empty_connection, text, prices)
    assert books.rejected == 0
    assert set(stored(empty_connection, "list_price").values()) == {Decimal(100), Decimal("1234.56"), Decimal(1234)}


def test_a_number_of_json_is_never_read_with_a_decimal_comma(empty_connection: Connection) -> None:
    fields = {column.name: "1" for column in LINES.delivered_columns}
    text = json.dumps({**fields, "order_date": "2026-03-31", "list_price": 1.234}).encode()
    prices = with_options(LINES, list_price={"number_format": NumberFormat(",", (".",))})
    message = rejection_of(empty_connection, text, prices, name="a.jsonl")
    assert (
        "numbers in JSON have a decimal point, but the contract of orders.lines declares another `decimal`" in message
    )


def test_the_message_about_a_rejected_file_shows_the_declared_numbers(empty_connection: Connection) -> None:
    strict = replace(
        with_options(LINES, list_price={"number_format": NumberFormat(",", (".",))}), reject_threshold_pct=0
    )
    message = rejection_of(empty_connection, (FIELD / "10_european/quotedcomma.csv").read_bytes(), strict)
    assert "type:list_price (must be a number like 1.234,5)" in message


def test_a_placeholder_for_a_missing_value_is_rejected(empty_connection: Connection) -> None:
    text = (FIELD / "14_null_words/nulls.csv").read_bytes()
    load(empty_connection, text)
    assert rejects(empty_connection, "order_id") == {
        "C14a": ["placeholder:region"],
        "C14b": ["placeholder:region"],
        "C14c": ["placeholder:postal_code"],
        "C14d": ["placeholder:city"],
        "C14e": ["type:cost_price"],
    }
    words = {"null_words": (r"\N", "NULL", "#N/A", "nan")}
    declared = with_options(LINES, region=words, postal_code=words, city=words, cost_price=words)
    replay(empty_connection, declared, CONTRACTS, RUN)
    assert rejects(empty_connection, "order_id") == {
        "C14a": ["required:region"],
        "C14b": ["required:region"],
        "C14d": ["required:city"],
        "C14e": ["required:cost_price"],
    }
    assert stored(empty_connection, "postal_code")["C14c"] is None


def test_error_values_of_spreadsheets_in_other_languages_are_rejected(empty_connection: Connection) -> None:
    errors = ["#NV", "#WERT!", "#BEZUG!", "#VALEUR!", "#NOM?", "#\u00a1REF!", "#N/D", "#SPILL!"]
    load(empty_connection, body(*(Line(order=text, region=text) for text in [*errors, "#1 in Leeds"])))
    assert rejects(empty_connection, "region").keys() == {*errors}
    assert stored(empty_connection, "region") == {"#1 in Leeds": "#1 in Leeds"}


def test_identifiers_that_a_spreadsheet_mangled_are_loaded_as_in_the_file(empty_connection: Connection) -> None:
    text = (FIELD / "13_excel_ids/excel.csv").read_bytes()
    load(empty_connection, text)
    rows = empty_connection.execute("select order_id, product_id, quantity from orders.lines order by 3").fetchall()
    assert rows == [("1.23457E+15", "P-7", 1), ("1.23457E+15", "P-7", 2), ("1.23457E+15", "1-Mar", 3)]


def test_a_pattern_rejects_mangled_identifiers(empty_connection: Connection) -> None:
    strict = with_options(
        LINES, order_id={"options": {"pattern": "[A-Z0-9-]+"}}, product_id={"options": {"pattern": "P-[0-9]+"}}
    )
    load(empty_connection, (FIELD / "13_excel_ids/excel.csv").read_bytes(), strict)
    assert sorted(rejects(empty_connection, "product_id").items()) == [
        ("1-Mar", ["pattern:order_id", "pattern:product_id"]),
        ("P-7", ["pattern:order_id"]),
    ]


# --- blanks and control characters --------------------------------------------------------------------------------

AROUND = [
    "\t",
    "\u00a0",
    "\u202f",
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u3000",
    "\u2003",
    "\u0085",
    "  ",
]


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_blanks_around_a_value_do_not_count(around: str, empty_connection: Connection) -> None:
    plain = Line(order="A1", product="P1", ship_mode="First Class", cost="6.50")
    values = {name: f"{around}{text}{around}" for name, text in vars(plain).items()}
    absent = Line(order="A2", ship_mode=around)
    unknown = Line(order="A3", ship_mode=f"{around}Unknown{around}")
    missing = Line(order=around)
    books = load(empty_connection, body(plain, Line(**values), absent, unknown, missing))
    assert (books.inserted, books.rejected) == (4, 1)
    rows = empty_connection.execute(
        "select order_date, ship_mode, product_id, cost_price, quantity, region from orders.lines "
        "where order_id = 'A1' order by occurrence"
    ).fetchall()
    assert rows == [(date(2026, 3, 1), "First Class", "P1", Decimal("6.50"), 1, "West")] * 2, (
        "one order, two occurrences"
    )
    assert (stored(empty_connection, "ship_mode")["A2"], stored(empty_connection, "ship_mode")["A3"]) == (None, None)
    assert list(rejects(empty_connection, "order_id").values()) == [["required:order_id"]]


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_blanks_around_a_key_or_reference_do_not_count(around: str, landing: Landing) -> None:
    rows = traffic_rows(3)
    again = [",".join(f"{around}{field}{around}" for field in row.split(",")) for row in rows[:2]]
    key = landing.load("traffic", csv_body(TRAFFIC, [*rows, *again]))
    landing.check(key, 5, duplicates=[4, 5], inserted=3)


@pytest.mark.parametrize("character", ["\x01", "\x07", "\x0b", "\x1b", "\x1c", "\x7f", "\x85", "\x9b"], ids=ascii)
def test_a_control_character_within_a_text_is_rejected(character: str, empty_connection: Connection) -> None:
    lines = [Line(order="a", region=f"We{character}st"), Line(order=f"b{character}c"), Line(order="d")]
    load(empty_connection, body(*lines))
    assert rejects(empty_connection, "order_id") == {"a": ["control:region"], f"b{character}c": ["control:order_id"]}
    anything = with_options(LINES, region={"control_characters": "any"})
    replay(empty_connection, anything, CONTRACTS, RUN)
    assert stored(empty_connection, "region")["a"] == f"We{character}st"


@pytest.mark.parametrize("character", ["\t", "\n", "\r\n"], ids=ascii)
def test_a_text_may_have_lines_and_tabs_and_a_key_may_not(character: str, empty_connection: Connection) -> None:
    rows = [Line(order="a", region=f'"We{character}st"'), Line(order=f'"b{character}c"')]
    keys = with_options(LINES, order_id={"control_characters": "none"})
    load(empty_connection, body(*rows), keys)
    assert stored(empty_connection, "region") == {"a": f"We{character}st"}
    assert rejects(empty_connection, "order_id") == {f"b{character}c": ["control:order_id"]}


@pytest.mark.parametrize(
    "character",
    [
        *("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u034f", "\u115f", "\u1160", "\u17b5"),
        *("\u180b", "\u180f", "\u2800", "\u3164", "\ufe0f", "\uffa0", "\U000e0100"),
    ],
    ids=ascii,
)
def test_an_invisible_character_in_a_key_is_rejected(character: str, empty_connection: Connection) -> None:
    load(
        empty_connection,
        body(Line(order="ab"), Line(order=f"a{character}b"), Line(order="c", region=f"We{character}st")),
    )
    assert rejects(empty_connection, "order_id") == {f"a{character}b": ["control:order_id"]}
    assert stored(empty_connection, "region")["c"] == f"We{character}st"
