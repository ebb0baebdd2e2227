"""Missing and unknown columns of files are reported with the likeliest rename."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import csv_body
from support.messaging_months import RUN
from support.order_files import CONTRACTS, HEADER, LINES, Line, Orders
from waybill.contracts import Contract, load_domain
from waybill.contracts.contract import ColumnPolicy
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake.columns import find_issues
from waybill.intake.comparison import pending
from waybill.intake.ingest import ingest_file
from waybill.settings import PROJECT_ROOT

FIELD = PROJECT_ROOT / "tests/field/09_renamed_nullable"
DAY = "2026-03-01"


@pytest.fixture
def orders(empty_connection: Connection) -> Orders:
    return Orders(empty_connection)


def ingest(orders: Orders, file: LandedFile, contract: Contract = LINES) -> None:
    ingest_file(orders.connection, orders.bucket, file, contract, {**CONTRACTS, "lines": contract}, RUN)


def warnings(orders: Orders) -> dict[str, list[str]]:
    """Return the warnings about the current files, by the last part of the key."""
    found: dict[str, list[str]] = {}
    for key, message in orders.connection.execute(
        "select object_key, message from waybill.file_warning inner join waybill.load_file using (file_id) "
        "where kind = 'columns' and status = 'loaded' order by object_key, message"
    ).fetchall():
        found.setdefault(key.rpartition("/")[2], []).append(message)
    return found


def without(*columns: str, header: str = HEADER) -> bytes:
    """Return a file with one line that lacks some columns; `header` may name others."""
    names, cells = header.split(","), str(Line()).split(",")
    kept = [place for place, name in enumerate(HEADER.split(",")) if name not in columns]
    return csv_body(",".join(names[place] for place in kept), [",".join(cells[place] for place in kept)])


def with_names(**renamed: str) -> bytes:
    names = [renamed.get(name.replace(" ", "_"), name) for name in HEADER.split(",")]
    return csv_body(",".join(names), [str(Line())])


def test_a_file_sent_again_with_renamed_columns_is_reported_with_the_likely_renames(orders: Orders) -> None:
    ingest(orders, orders.land(DAY, "shop_a.csv", (FIELD / "shop_a.csv").read_bytes()))
    assert warnings(orders) == {}, "the first file has no former columns"
    file = orders.land(DAY, "shop_a.csv", (FIELD / "shop_a.v2.csv").read_bytes())
    ingest(orders, file)
    [ship_mode, postal_code] = sorted(warnings(orders)["shop_a.csv"], key=lambda text: "postal_code" in text)
    assert ship_mode == (
        f"the column ship_mode is missing, but {file.key} had it. It is null in every row of this file. The unknown "
        "column 'Shipping Method' may be its new name. If so, add 'Shipping Method' to the synonyms of ship_mode in "
        "the contract of orders.lines. The next run then loads the file again."
    )
    assert "add 'ZIP' to the synonyms of postal_code" in postal_code


def test_a_synonym_that_is_added_makes_the_next_run_load_the_file_again(orders: Orders) -> None:
    ingest(orders, orders.land(DAY, "a.csv", without()))
    file = orders.land(DAY, "b.csv", with_names(Ship_Mode="Shipping Method"))
    ingest(orders, file)
    assert len(warnings(orders)["b.csv"]) == 1
    assert pending(orders.connection, LINES, [file]) == []
    known = [
        replace(column, spellings=("Shipping Method",)) if column.name == "ship_mode" else column
        for column in LINES.columns
    ]
    corrected = replace(LINES, columns=tuple(known), version="9.0.0")
    assert pending(orders.connection, corrected, [file]) == [file]
    ingest(orders, file, corrected)
    assert warnings(orders) == {}
    assert pending(orders.connection, corrected, [file]) == []
    rows = orders.connection.execute("select ship_mode from orders.lines").fetchall()
    assert rows == [("First Class",)]


def test_a_loaded_file_is_not_pending_when_a_spelling_makes_its_column_occur_twice(orders: Orders) -> None:
    """A load of the file would now be rejected, because its column occurs twice."""
    header, row = f"{HEADER},Shipping Method", f"{Line()},First Class"
    file = orders.land(DAY, "a.csv", csv_body(header, [row]))
    ingest(orders, file)
    known = [
        replace(column, spellings=("Shipping Method",)) if column.name == "ship_mode" else column
        for column in LINES.columns
    ]
    assert pending(orders.connection, replace(LINES, columns=tuple(known)), [file]) == []


def test_unknown_columns_and_columns_that_no_file_had_are_distinguished(orders: Orders) -> None:
    ingest(orders, orders.land(DAY, "a.csv", without("Ship Mode")))
    ingest(orders, orders.land(DAY, "b.csv", csv_body(f"{HEADER},Campaign", [f"{Line()},x"])))
    ingest(orders, orders.land(DAY, "c.csv", without("Ship Mode", "Postal Code")))
    found = warnings(orders)
    assert found["b.csv"] == ["the column 'Campaign' is unknown and was not loaded."]
    key = orders.land(DAY, "b.csv", without()).key
    assert [text.partition(". ")[0] for text in found["c.csv"]] == [
        f"the column {name} is missing, but {key} had it" for name in ("postal_code", "ship_mode")
    ]
    assert "a.csv" not in found


@pytest.mark.parametrize("name", ["missing_columns", "unknown_columns"])
def test_a_contract_rejects_or_ignores_changed_columns(name: str, orders: Orders) -> None:
    def contract(policy: ColumnPolicy) -> Contract:
        if name == "missing_columns":
            return replace(LINES, missing_columns=policy, unknown_columns="ignore")
        return replace(LINES, missing_columns="ignore", unknown_columns=policy)

    ingest(orders, orders.land(DAY, "a.csv", without()))
    body = {
        "missing_columns": without("Ship Mode"),
        "unknown_columns": csv_body(f"{HEADER},Campaign", [f"{Line()},x"]),
    }[name]
    with pytest.raises(DataError, match="The contract makes this an error") as caught:
        ingest(orders, orders.land(DAY, "b.csv", body), contract("error"))
    rejected = orders.connection.execute("select message from waybill.rejected_file").fetchall()
    assert rejected == [(str(caught.value),)]
    assert orders.connection.execute("select count(*) from waybill.load_file").fetchone() == (1,)
    ingest(orders, orders.land(DAY, "b.csv", body), contract("ignore"))
    assert warnings(orders) == {}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_column_that_has_lost_most_of_its_values_in_a_file_sent_again_is_reported(name: str, orders: Orders) -> None:
    names = HEADER.split(",")

    def land(*lines: Line) -> None:
        text = csv_body(HEADER, map(str, lines))
        if name.endswith("jsonl"):
            rows = (dict(zip(names, str(line).split(","), strict=True)) for line in lines)
            text = "".join(json.dumps(row).replace('""', "null") + "\n" for row in rows).encode()
        ingest(orders, orders.land(DAY, name, text))

    def current_warnings() -> list[tuple[str, str]]:
        return orders.connection.execute(
            "select kind, message from waybill.file_warning inner join waybill.load_file using (file_id) "
            "where status = 'loaded'"
        ).fetchall()

    land(Line("1"), Line("2"), Line("3", ship_mode=""))
    land(Line("1"), Line("2", ship_mode=""), Line("3", ship_mode=""))
    assert current_warnings() == []
    land(Line("1", ship_mode=""), Line("2", ship_mode=""))
    [(kind, message)] = current_warnings()
    assert kind == "emptied"
    assert message == (
        "the column ship_mode has a value in 0 of 2 rows; the previous version had one in 1 of 3 rows. If the "
        "export lost values, send the file again."
    )
    land(Line("1", ship_mode=""), Line("2", ship_mode="", quantity="3"))
    assert current_warnings() == [], "the former version had no value either"
    land(*(Line(str(number)) for number in range(8)))
    land(*(Line(str(number), ship_mode="" if number < 5 else "First Class") for number in range(8)))
    [(kind, message)] = current_warnings()
    assert (kind, message.partition(";")[0]) == ("emptied", "the column ship_mode has a value in 3 of 8 rows")


@pytest.mark.parametrize("name", ["\ud800", "a\0b"], ids=ascii)
def test_a_name_of_a_json_member_that_cannot_be_stored_is_reported(name: str, orders: Orders) -> None:
    fields = dict(zip(HEADER.split(","), str(Line()).split(","), strict=True))
    ingest(orders, orders.land(DAY, "a.jsonl", json.dumps({**fields, name: "x"}).encode()))
    escaped = json.dumps(name)[1:-1]
    assert warnings(orders) == {"a.jsonl": [f"the column {escaped!r} is unknown and was not loaded."]}


def test_unknown_members_of_json_and_keys_of_no_record_are_columns(orders: Orders) -> None:
    names = [column.name for column in LINES.delivered_columns]
    order = dict(zip(["order_id", *names], ["1", *names], strict=False)) | {
        "order_date": DAY,
        "cost_price": 1,
        "list_price": 2,
        "quantity": 1,
        "discount_percent": 0,
        "postal_code": "01234",
    }
    other = {name: value for name, value in order.items() if name != "ship_mode"} | {"shippingMode": "x"}
    for name, rows in {"a.json": [order], "b.json": [other, other], "c.json": [other, order], "d.json": []}.items():
        ingest(orders, orders.land(DAY, name, json.dumps(rows).encode()))
    found = warnings(orders)
    assert "ship_mode is missing" in found["b.json"][0]
    assert "add 'shippingMode' to the synonyms of ship_mode" in found["b.json"][0]
    assert found["c.json"] == ["the column 'shippingMode' is unknown and was not loaded."]
    assert found.keys() == {"b.json", "c.json"}


def test_names_of_any_length_fit_a_warning(orders: Orders) -> None:
    long = "".join(chr(0x10000 + place) for place in range(3000))
    ingest(orders, orders.land(DAY, "a.csv", csv_body(f"{HEADER},{long}", [f"{Line()},x"])))
    [[text]] = warnings(orders).values()
    assert "is unknown and was not loaded" in text
    assert len(text) < 300


NAMES = ["a.csv", "b.csv", "c.csv", "d.csv"]
FILES = st.dictionaries(
    st.tuples(st.sampled_from(["2026-03-01", "2026-03-02"]), st.sampled_from(NAMES)),
    st.sampled_from(
        [without(), without("Ship Mode"), without("Postal Code"), with_names(Ship_Mode="Shipping Method"),
         csv_body(f"{HEADER},Campaign", [f"{Line()},x"])]
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES, st.randoms(use_true_random=False))
def test_warnings_do_not_depend_on_the_order_of_loads(
    empty_connection: Connection, files: dict[tuple[str, str], bytes], shuffle: Any
) -> None:
    def warnings_of(order: list[tuple[str, str]]) -> dict[str, list[str]]:
        with empty_connection.transaction(force_rollback=True):
            orders = Orders(empty_connection)
            for key, name in order:
                ingest(orders, orders.land(key, f"{key}-{name}", files[key, name]))
            return warnings(orders)

    shuffled = list(files)
    shuffle.shuffle(shuffled)
    assert warnings_of(shuffled) == warnings_of(sorted(files))


COLUMNS = [column.name for column in LINES.delivered_columns]


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=6), st.sets(st.sampled_from(COLUMNS)))
def test_every_missing_and_every_unknown_column_is_named_once(unknown: list[str], earlier: set[str]) -> None:
    contract = load_domain("orders")["lines"]
    delivered = [column.name for column in contract.delivered_columns if column.required]
    issues = find_issues(contract, delivered, unknown, dict.fromkeys(earlier, "earlier.csv"))
    missing = sorted(earlier - set(delivered))
    assert issues.errors == []
    reported_missing = [text.split()[2] for text in issues.warnings if " is missing, but earlier.csv had it" in text]
    assert sorted(reported_missing) == missing
    for name in unknown:
        assert sum(f"column {name!r}" in text for text in issues.warnings) == 1
