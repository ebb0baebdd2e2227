"""The columns about people follow from one declaration, and rows of forgotten people lose their values when read."""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from waybill.cli.forget import forget
from waybill.contracts import Contract, load_all, load_domain
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.people import OPTIONS, person_columns, replacement, unreached
from waybill.erasure.person import Target, without_person
from waybill.erasure.phrases import LONGEST, Phrases
from waybill.erasure.places import derived_ids
from waybill.files.landed_file import LandedFile
from waybill.intake.row_source import RowSource
from waybill.intake.validate import open_duckdb, validate_rows
from waybill.ops.column_sources import Source
from waybill.ops.manifest_lint import lint_manifests
from waybill.period import Period
from waybill.warehouse.forgotten import Forgotten, Person, hash_of, id_text

SHOP = load_domain("shop")
KEY = b"the key of this test, long enough"
DAY = date(2026, 3, 1)
CUSTOMER = {
    "customer_id": "123",
    "name": "Ann Example",
    "email": "ann@example.com",
    "registration_date": "2020-01-31",
    "country": "DE",
    "updated_at": "2026-03-01T10:00:00Z",
}


def forgotten(contract: Contract, *ids: str) -> Forgotten:
    """Return people who were forgotten; their tombstones are 1001, 1002 and so on."""
    people = tuple(
        one for one in person_columns({"customer": "customers.customer_id"}, SHOP) if one.contract is contract
    )
    known = {
        hash_of(KEY, "shop", "customer", value): Person(number, str(1000 + number))
        for number, value in enumerate(ids, start=1)
    }
    return Forgotten(people, {"customer": known}, 1, KEY)


def read(
    folder: Path, contract: Contract, rows: Iterable[Mapping[str, str | None]], people: Forgotten | None
) -> list[dict[str, Any]]:
    """Return the typed rows of a file."""
    body, lines = folder / "rows.csv", [*rows]
    with body.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([number, *line.values()] for number, line in enumerate(lines))
    landed = LandedFile("raw", "key", "", 0, Period.of("day", DAY), datetime(2026, 3, 2, tzinfo=UTC))
    source = RowSource(landed, body, len(lines), [*lines[0]], is_numbered=True)
    with closing(open_duckdb(folder)) as duck:
        return [row for batch in validate_rows(duck, source, contract, {}, people) for row in batch.to_pylist()]


def test_columns_with_the_id_follow_from_references() -> None:
    found = person_columns({"customer": "customers.customer_id"}, SHOP)
    assert {one.contract.name: [column.name for column in one.ids] for one in found} == {
        "customers": ["customer_id"],
        "transactions": ["customer_id"],
        "clickstream": ["customer_id"],
        "reviews": ["customer_id"],
    }
    assert {one.contract.name: [column.name for column in one.erased] for one in found} == {
        "customers": ["name", "email"],
        "transactions": [],
        "clickstream": [],
        "reviews": ["review_text"],
    }
    assert unreached(found, SHOP) == []
    assert unreached([one for one in found if one.contract.name != "reviews"], SHOP) == ["shop.reviews"]


def test_references_are_followed_by_way_of_others() -> None:
    columns = tuple(
        replace(one, reference=("reviews", "customer_id")) if one.name == "customer_id" else one
        for one in SHOP["clickstream"].columns
    )
    datasets = {**SHOP, "clickstream": replace(SHOP["clickstream"], columns=columns)}
    assert "clickstream" in {one.contract.name for one in person_columns({"c": "customers.customer_id"}, datasets)}


def test_values_are_replaced_before_rules_are_checked(tmp_path: Path) -> None:
    people = forgotten(SHOP["customers"], "123", "77")
    rows = [
        CUSTOMER,
        {**CUSTOMER, "customer_id": " 0123 ", "updated_at": "2026-03-01T11:00:00Z"},
        {**CUSTOMER, "customer_id": "124"},
        {**CUSTOMER, "customer_id": "77", "country": "Germany"},
        {**CUSTOMER, "email": "not an address", "updated_at": "2026-03-01T12:00:00Z"},
        {**CUSTOMER, "email": None, "updated_at": "2026-03-01T13:00:00Z"},
    ]
    first, second, other, rejected, wrong, blank = read(tmp_path, SHOP["customers"], rows, people)
    for row in (first, second):
        assert (row["customer_id"], row["name"], row["email"]) == (1001, "forgotten-1", "forgotten-1@forgotten.invalid")
        assert (row["country"], row["_reasons"]) == ("DE", None)
    assert first["_hash"] != second["_hash"]
    assert json.loads(first["_forgotten"])["email"] == "forgotten-1@forgotten.invalid"
    assert (other["customer_id"], other["name"], other["email"]) == (124, "Ann Example", "ann@example.com")
    assert other["_forgotten"] is None
    assert rejected["_reasons"] == ["pattern:country"]
    assert json.loads(rejected["_raw"]) == {
        **CUSTOMER,
        "customer_id": "1002",
        "name": "forgotten-2",
        "email": "forgotten-2@forgotten.invalid",
        "country": "Germany",
    }
    assert wrong["_reasons"], "a value that is not accepted stays one"
    assert blank["_reasons"] == ["required:email"]
    for row in (wrong, blank):
        assert "ann" not in row["_raw"].lower()
        assert "not an address" not in row["_raw"]
        assert json.loads(row["_raw"])["customer_id"] == "1001"


def test_rows_are_as_before_if_nobody_of_them_was_forgotten(tmp_path: Path) -> None:
    rows = [{**CUSTOMER, "customer_id": str(number)} for number in range(1, 50)] + [{**CUSTOMER, "email": "wrong"}]
    without = read(tmp_path, SHOP["customers"], rows, None)
    found = read(tmp_path, SHOP["customers"], rows, forgotten(SHOP["customers"], "5000"))
    assert [{name: value for name, value in row.items() if name != "_forgotten"} for row in found] == without


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12), st.sets(st.integers(1, 9), min_size=1), st.sampled_from("+0 ")
)
def test_joins_and_distinct_counts_stay(ids: list[int], gone: set[int], before: str) -> None:
    import tempfile

    people = forgotten(SHOP["reviews"], *map(str, sorted(gone)))
    row = {"review_id": "1", "product_id": "1", "customer_id": "1", "rating": "5", "review_text": "Nice, says Ann"}
    rows = [
        {**row, "review_id": str(place), "customer_id": f"{before}{value}", "review_date": "2026-03-01"}
        for place, value in enumerate(ids, start=1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), SHOP["reviews"], rows, people)
    places = {value: place for place, value in enumerate(sorted(gone), start=1)}
    assert [one["customer_id"] for one in found] == [1000 + places[value] if value in gone else value for value in ids]
    assert [one["review_text"] for one in found] == [None if value in gone else "Nice, says Ann" for value in ids]
    assert not any(one["_reasons"] for one in found)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (" +00123.00 ", "integer", "123"),
        ("12x", "bigint", None),
        (None, "integer", None),
        ("{1B4E28BA-2FA1-11D2-883F-0016D3CCA427}", "uuid", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        (" K-7 ", "text", "K-7"),
        ("\ufeffK-7\u200b", "text", "K-7"),
        ("  ", "text", None),
    ],
)
def test_an_id_has_one_form(text: str | None, kind: str, value: str | None) -> None:
    assert id_text(replace(SHOP["customers"].columns[0], physical_type=kind), text) == value


@pytest.mark.parametrize(
    ("text", "number_format", "value"),
    [
        ("1.000", {"thousands": ["."], "decimal": ","}, "1000"),
        ("1.000,00", {"thousands": ["."], "decimal": ","}, "1000"),
        ("4.711.234", {"thousands": ["."], "decimal": ","}, "4711234"),
        ("4711.0", {"thousands": ["."], "decimal": ","}, None),
        ("1,000.0", {"thousands": [","]}, "1000"),
        ("1000,0", {"decimal": ","}, "1000"),
        ("1.000", {}, "1"),
        ("4711.5", {}, None),
        ("1\N{NARROW NO-BREAK SPACE}234", {"thousands": ["\N{NARROW NO-BREAK SPACE}"]}, "1234"),
    ],
)
def test_an_id_is_read_as_its_column_writes_numbers(
    text: str, number_format: dict[str, Any], value: str | None
) -> None:
    column = replace(SHOP["customers"].columns[0], number_format=NumberFormat.of(number_format))
    assert id_text(column, text) == value


def test_a_rejected_row_whose_id_cannot_be_read_is_without_the_person(tmp_path: Path) -> None:
    people = forgotten(SHOP["customers"], "123")
    rows = [{**CUSTOMER, "customer_id": "123.0"}, {**CUSTOMER, "customer_id": "124.0"}]
    own, other = read(tmp_path, SHOP["customers"], rows, people)
    assert own["_reasons"] == other["_reasons"]
    assert json.loads(own["_raw"]) == {
        **CUSTOMER,
        "customer_id": "1001",
        "name": "forgotten-1",
        "email": "forgotten-1@forgotten.invalid",
    }
    assert json.loads(other["_raw"]) == {**CUSTOMER, "customer_id": "124.0"}


def test_a_record_without_fields_becomes_a_mark_if_it_names_somebody() -> None:
    people = forgotten(SHOP["customers"], "123")
    assert people.without_people(json.dumps('123,"Ann Example,ann@example.com')) == '"forgotten"'
    kept = json.dumps("1234,Ben,ben@example.com")
    assert people.without_people(kept) == kept


def problems_of(include_dir: Path, people: dict[str, str], contracts: dict[str, Contract] | None = None) -> list[str]:
    path = include_dir / "domains" / "shop.yaml"
    manifest = yaml.safe_load(path.read_text())
    manifest["people"] = people
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))
    found = "\n".join(lint_manifests((load_all() | (contracts or {})).values(), ()))
    return [line.partition("$.")[2] for line in found.splitlines() if "$." in line]


def changed(table: str, name: str, **values: Any) -> dict[str, Contract]:
    contract = load_all()[table]
    columns = [replace(one, **values) if one.name == name else one for one in contract.columns]
    return {table: replace(contract, columns=tuple(columns))}


PEOPLE = {"customer": "customers.customer_id"}


@pytest.mark.parametrize(
    ("people", "contracts", "problem"),
    [
        ({"customer": "customer.customer_id"}, {}, "people.customer: unknown dataset 'customer': did you mean"),
        ({"customer": "customers.id"}, {}, "people.customer: customers has no column 'id'"),
        ({"Customer": "customers.customer_id"}, {}, "people.Customer: must be lower case letters"),
        ({"value": "customers.customer_id"}, {}, "people.value: must be lower case letters"),
        ({"customer": "customers.registration_date"}, {}, "people.customer: its columns have the types date"),
        (
            PEOPLE,
            changed("shop.customers", "name", enum=("a", "b")),
            "shop.customers.'name' is classified and required",
        ),
        (PEOPLE, changed("shop.customers", "email", unique=True), "shop.customers.email is classified and a key"),
        (
            PEOPLE,
            changed("shop.customers", "email", options={"pattern": "[A-Z]{7}[0-9]"}),
            "shop.customers.'email' is classified and required",
        ),
        (
            PEOPLE,
            changed("shop.transactions", "price", classification="confidential"),
            "shop.transactions.price is classified and part of the row rule 'total_amount'",
        ),
        (
            PEOPLE,
            changed("shop.transactions", "price", classification="confidential", required=False),
            "shop.transactions.price is classified and part of the row rule 'total_amount'",
        ),
        (PEOPLE, changed("shop.clickstream", "device", classification="restricted"), "streams.clickstream"),
        ({"visitor": "clickstream.session_id"}, {}, "streams.clickstream: 'session_id' is about a visitor"),
    ],
)
def test_a_declaration_that_would_leave_somebody_is_refused(
    people: dict[str, str], contracts: dict[str, Contract], problem: str, include_dir: Path
) -> None:
    assert any(problem in one for one in problems_of(include_dir, people, contracts))


def test_the_people_of_the_shop_can_be_forgotten(include_dir: Path) -> None:
    assert problems_of(include_dir, PEOPLE) == []


def test_a_domain_whose_reports_are_not_rebuilt_is_refused(include_dir: Path) -> None:
    path = include_dir / "domains" / "messaging.yaml"
    path.write_text(path.read_text() + "\npeople: {customer: customers.customer_id}\n")
    found = "\n".join(lint_manifests(load_all().values(), ()))
    assert "needs `semantics: current`" in found


def test_replacements_meet_types_and_rules() -> None:
    column = replace(SHOP["customers"].columns[1], required=True, enum=(), options={})
    assert replacement(replace(column, required=False)) is None
    assert replacement(replace(column, physical_type="date", options={})) == "1900-01-01"
    assert replacement(replace(column, physical_type="date", options={"minimum": "2000-01-01"})) == "2000-01-01"
    assert replacement(replace(column, physical_type="numeric(10,2)", options={"exclusiveMinimum": 0})) == "1"
    assert replacement(replace(column, options={"pattern": r"\+[0-9]+"})) == "+000000000"


def target(*values: str) -> Target:
    people = tuple(person_columns({"customer": "customers.customer_id"}, SHOP))
    return Target("shop", "customer", "123", Person(7, "1007"), "", people, 0, frozenset(values))


def test_only_whole_values_of_a_person_are_found() -> None:
    person = target("Ann Li", "ann@example.com", "x" * (LONGEST + 1))
    assert person.is_in("says ANN LI, and left")
    assert person.is_in("x" * LONGEST + "yz")
    assert not person.is_in("Joann Lindt")
    assert not person.is_in("joann@example.com")


def test_a_cut_text_is_replaced_as_far_as_it_is_there() -> None:
    review = "Ann says: it broke at once, and then nobody from the shop answered"
    texts = Phrases([review, "Ann Li"])
    assert texts.replaced(f"text {review} in line 3", "-") == "text - in line 3"
    assert texts.replaced(f"text {review[:55]}… in line 3", "-") == "text -… in line 3"
    assert texts.replaced(f"text {review[:40]}… in line 3", "-") == f"text {review[:40]}… in line 3"
    assert texts.replaced(json.dumps(f'{review[:52]}"'), "-") == r'"-\""'
    assert texts.replaced(r"first line\nANN LI", "-") == r"first line\n-"


@settings(max_examples=100)
@given(st.lists(st.text("aAb.é ", min_size=1, max_size=6), min_size=1, max_size=30), st.text("aAb.é ", max_size=20))
def test_many_texts_are_found_as_each_of_them(texts: list[str], text: str) -> None:
    assert Phrases(texts).is_in(text) == any(Phrases([one]).is_in(text) for one in texts)


def test_a_person_who_was_forgotten_is_found_by_the_tombstone() -> None:
    raw = json.dumps({**CUSTOMER, "customer_id": "1007"})
    assert without_person(target(), "shop.customers", raw) is None
    found = without_person(replace(target(), erasures=1), "shop.customers", raw)
    assert found
    assert json.loads(found)["email"] == "forgotten-7@forgotten.invalid"


def test_an_id_of_another_name_is_one_if_nothing_but_ids_is_in_it() -> None:
    people = tuple(person_columns({"visit": "clickstream.event_id"}, SHOP))
    person = Target("shop", "visit", "", Person(7, ""), "", people, 0)
    own, other = Source("shop.clickstream", "event_id"), Source("shop.clickstream", "page")
    column = Source("shop_star.fact_sessions", "session_id")
    found = derived_ids(person, {column: frozenset([own])})
    assert [(one.contract.table, one.column.name) for one in found] == [column]
    assert derived_ids(person, {column: frozenset([own, other])}) == []
    number = Source("shop_star.fact_sales", "quantity")
    assert derived_ids(person, {number: frozenset([own])}) == []


def test_no_kind_of_person_has_the_name_of_an_option() -> None:
    names = {name.removeprefix("as_") for name in inspect.signature(forget).parameters} - {"context"}
    assert names | {"help"} == {*OPTIONS}


def test_a_rejected_record_of_somebody_else_stays() -> None:
    raw = json.dumps({**CUSTOMER, "customer_id": "1234", "name": "Joann Lindt", "email": "joann@example.com"})
    assert without_person(target("Ann Li", "ann@example.com"), "shop.customers", raw) is None


def test_a_rejected_record_is_the_person_s_by_a_value_in_any_field() -> None:
    raw = json.dumps({**CUSTOMER, "customer_id": "12x", "country": "ANN@EXAMPLE.COM", "name": "  "})
    found = without_person(target("ann@example.com"), "shop.customers", raw)
    assert found
    assert json.loads(found) == {
        **CUSTOMER,
        "customer_id": None,
        "name": "  ",
        "email": "forgotten-7@forgotten.invalid",
        "country": "forgotten-7",
    }


FIELDS = st.one_of(
    st.none(), st.sampled_from(["123", " 0123.0", "1234", "x", "Ann Example", "say ann@example.com"]), st.text()
)


@settings(max_examples=200)
@given(st.fixed_dictionaries(dict.fromkeys(CUSTOMER, FIELDS)) | st.text())
def test_nothing_of_a_person_stays_in_a_rejected_record(content: Any) -> None:
    person = target("Ann Example", "ann@example.com")
    found = without_person(person, "shop.customers", json.dumps(content))
    again = content if found is None else json.loads(found)
    assert not person.is_in(json.dumps(again))
    if isinstance(content, dict):
        assert [*again] == [*content]
        assert id_text(SHOP["customers"].columns[0], again["customer_id"]) != "123"
    assert found is None or without_person(person, "shop.customers", found) is None
