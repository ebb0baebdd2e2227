"""Every type of a contract, from files into the warehouse, through quarantine and replay, and out into the lake."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from psycopg import Connection, sql

from support.json_texts import DEEP, JSON, as_json
from support.lake import Lake
from support.landing import csv_body, total
from support.messaging_months import RUN
from support.shop_landing import Shop
from support.texts import BLANK, mutated
from waybill.contracts import Column, Contract, RowRule
from waybill.contracts.number_format import NumberFormat
from waybill.intake.replay import replay
from waybill.outputs.export import copy_csv
from waybill.settings import settings

if TYPE_CHECKING:
    pass

DAY = "2026-03-02"
COLUMNS = (
    Column("id", "", "integer", "smallint", required=True, key_position=1),
    Column("at", "", "timestamp", "timestamp", required=True),
    Column("opens", "", "time", "time"),
    Column("level", "", "number", "double precision", options={"exclusiveMaximum": 1e300}),
    Column("ratio", "", "number", "real", options={"minimum": -0.1}),
    Column("size", "", "integer", "smallint", options={"maximum": 500}),
)
CONTRACT = Contract("shop", "meters", "1", "", "", COLUMNS, "merge", 100, 7, (), "meters", ("day",), period_column="at")
NAMES = [column.name for column in COLUMNS]
NOON = datetime(2026, 3, 2, 12)  # noqa: DTZ001
Row = Sequence[str | None]

GOOD: list[tuple[Row, tuple[Any, ...]]] = [
    (("1", "2026-03-02T12:00:00", "08:30", "0.1", "0.1", "500"), (NOON, time(8, 30), 0.1, "0.1", 500)),
    (("2", "2026-03-02 12:00", "23:59:59.999999", "1e-320", "-0.1", ""), (NOON, time.max, 1e-320, "-0.1", None)),
    (("-3", "2026-03-02T12:00:00.0000000", "", "-0", "-0.0", "-32768"), (NOON, None, 0.0, "0", -32768)),
    (("4", "2026-03-01T24:00", "00:00", "", "", ""), (datetime(2026, 3, 2), time.min, None, None, None)),  # noqa: DTZ001
    (("5", "2026-03-02T12:00", "", "123456789.12345678", "1e10", "007"), (NOON, None, 123456789.12345678, "1e+10", 7)),
]
BAD: list[tuple[Row, str]] = [
    (("32768", "2026-03-02T12:00", "", "", "", ""), "type:id"),
    (("11", "2026-03-02T12:00Z", "", "", "", ""), "type:at"),
    (("12", "2026-03-02T12:00+01:00", "", "", "", ""), "type:at"),
    (("13", "2026-03-03T00:00", "", "", "", ""), "after_period"),
    (("14", "2026-02-22T23:59:59.999999", "", "", "", ""), "too_late"),
    (("15", "2026-03-02T12:00", "24:00", "", "", ""), "type:opens"),
    (("16", "2026-03-02T12:00", "08:30 AM", "", "", ""), "type:opens"),
    (("17", "2026-03-02T12:00", "", "NaN", "", ""), "type:level"),
    (("18", "2026-03-02T12:00", "", "1e400", "", ""), "type:level"),
    (("19", "2026-03-02T12:00", "", "1e301", "", ""), "range:level"),
    (("20", "2026-03-02T12:00", "", "9007199254740993", "", ""), "type:level"),
    (("21", "2026-03-02T12:00", "", "", "16777217", ""), "type:ratio"),
    (("22", "2026-03-02T12:00", "", "", "-0.11", ""), "range:ratio"),
    (("23", "2026-03-02T12:00", "", "", "", "501"), "range:size"),
    (("24", "2026-03-02T12:00", "", "", "", "7.0"), "type:size"),
]


@pytest.fixture
def shop(empty_connection: Connection) -> Shop:
    shop = Shop(empty_connection)
    shop.contracts["meters"] = CONTRACT
    return shop


def written(rows: Sequence[Row], form: str) -> tuple[str, bytes]:
    if form == "csv":
        return "a.csv", csv_body(",".join(NAMES), (",".join(field or "" for field in row) for row in rows))
    members = [dict(zip(NAMES, (field or None for field in row), strict=True)) for row in rows]
    return "a.jsonl", "\n".join(map(json.dumps, members)).encode()


def stored(shop: Shop, table: str = "meters") -> dict[int, tuple[Any, ...]]:
    rows = shop.all(f"select id, at, opens, level, ratio::text, size from shop.{table} order by id")
    return {number: tuple(rest) for number, *rest in rows}


def rejects(shop: Shop) -> dict[int, list[str]]:
    return dict(shop.all("select record, reasons from waybill.quarantine order by record"))


@pytest.mark.parametrize("form", ["csv", "lines"])
def test_each_value_is_loaded_exactly_or_its_row_is_rejected(form: str, shop: Shop) -> None:
    name, body = written([row for row, _ in (*GOOD, *BAD)], form)
    books = shop.load("meters", DAY, body, name)
    assert books
    assert (books.inserted, books.rejected, total(books)) == (len(GOOD), len(BAD), len(GOOD) + len(BAD))
    assert stored(shop) == {int(row[0] or 0): values for row, values in GOOD}
    assert rejects(shop) == {len(GOOD) + 1 + place: [reason] for place, (_, reason) in enumerate(BAD)}


def test_equal_values_in_other_spellings_are_unchanged_and_others_update(shop: Shop) -> None:
    name, body = written([row for row, _ in GOOD], "csv")
    shop.load("meters", DAY, body, name)
    again = [
        ("1", "2026-03-02 12:00", "08:30:00.0", "1e-1", "1E-1", "+500"),
        ("-3", "2026-03-02 12:00", "", "0.000", "0", "-32768"),
        ("5", "2026-03-02T12:00", "", "123456789.1234567", "1e+10", "7"),
    ]
    books = shop.load("meters", DAY, written(again, "csv")[1], "b.csv")
    assert books
    assert (books.unchanged, books.updated) == (2, 1)
    assert stored(shop)[5][2] == 123456789.1234567
    assert stored(shop, "meters_superseded").keys() == {1, -3, 5}


def test_a_contradicting_repeat_can_be_replayed(shop: Shop) -> None:
    row = ("1", "2026-03-02T12:00:00", "08:30", "0.1", "0.1", "5")
    rows = [row, ("1", "2026-03-02 12:00", "08:30:00", "0.10", "1e-1", "05"), (*row[:3], "1e-7", "3.4e38", "5")]
    books = shop.load("meters", DAY, written(rows, "csv")[1])
    assert books
    assert (books.inserted, books.duplicate, rejects(shop)) == (1, 1, {3: ["conflict"]})
    shop.connection.execute("delete from shop.meters")
    [replayed] = replay(shop.connection, CONTRACT, shop.contracts, RUN)
    assert (replayed.books.inserted, replayed.books.rejected) == (1, 0)
    assert stored(shop)[1][2:4] == (1e-7, "3.4e+38")


def test_a_contradicting_repeat_is_kept_in_the_form_that_its_column_accepts(shop: Shop) -> None:
    german = NumberFormat(decimal=",", thousands=(".",), minus=("\u2212",))
    columns = (
        Column("id", "", "integer", "integer", required=True, key_position=1, number_format=german),
        Column("day", "", "date", "date", required=True, date_forms=("D/M/YYYY",)),
        Column("amount", "", "number", "numeric(12,3)", number_format=german),
        Column("share", "", "number", "numeric(6,4)", number_format=replace(german, percent="fraction")),
        Column("level", "", "number", "double precision", number_format=german),
    )
    shop.contracts["sales"] = contract = replace(CONTRACT, name="sales", columns=columns, period_column="day")
    rows = ['1,2/3/2026,"1.234,567","12,5%","0,1"', '1,1/3/2026,"\u22121,234","\u22127%","0,0000001"']
    books = shop.load("sales", DAY, csv_body("id,day,amount,share,level", rows))
    assert books
    assert (books.inserted, rejects(shop)) == (1, {2: ["conflict"]})
    shop.connection.execute("delete from shop.sales")
    [replayed] = replay(shop.connection, contract, shop.contracts, RUN)
    assert (replayed.books.inserted, replayed.books.rejected) == (1, 0)
    found = shop.all("select day, amount, share, level from shop.sales")
    assert found == [(date(2026, 3, 1), Decimal("-1.234"), Decimal("-0.07"), 1e-7)]


OTHER_ID = "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
IDENTIFIERS = [
    ("smallint", "integer", "7", "007", "8"),
    ("bigint", "integer", "9007199254740993", "+9007199254740993", "9007199254740992"),
    ("numeric(6,2)", "number", "1.5", "1.50", "1.51"),
    ("date", "date", "2026-03-01", " 2026-03-01", "2026-03-02"),
    ("time", "time", "08:30", "08:30:00.0", "08:31"),
    ("timestamp", "timestamp", "2026-03-01T24:00", "2026-03-02 00:00:00", "2026-03-02T00:01"),
    ("timestamptz", "timestamp", "2026-03-01T12:00Z", "2026-03-01T14:00+02:00", "2026-03-01T14:00Z"),
    ("boolean", "boolean", "true", "1", "f"),
    ("uuid", "string", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", OTHER_ID),
    ("text", "string", "a", " a ", "A"),
]


@pytest.mark.parametrize(("kind", "logical", "first", "again", "other"), IDENTIFIERS, ids=lambda one: one)
def test_a_type_identifies_rows_and_is_referred_to(
    kind: str, logical: str, first: str, again: str, other: str, shop: Shop
) -> None:
    key = Column("key", "", logical, kind, required=True, key_position=1)
    day = Column("day", "", "date", "date", required=True)
    target = replace(CONTRACT, name="targets", columns=(key, day), period_column="day")
    of = replace(key, name="target", key_position=None, reference=("targets", "key"))
    number = Column("id", "", "integer", "integer", required=True, key_position=1)
    source = replace(CONTRACT, name="sources", columns=(number, of, day), period_column="day")
    shop.contracts |= {"targets": target, "sources": source}
    books = shop.load("targets", DAY, csv_body("key,day", [f"{first},{DAY}", f"{again},{DAY}"]))
    assert books
    assert (books.inserted, books.duplicate) == (1, 1)
    rows = [f"{n},{one},{DAY}" for n, one in enumerate((again, other))]
    books = shop.load("sources", DAY, csv_body("id,target,day", rows))
    assert books
    assert (books.inserted, rejects(shop)) == (1, {2: ["reference:target"]})


@pytest.mark.parametrize("kind", ["smallint", "time", "timestamp"])
def test_a_version_may_have_any_type_with_an_order(kind: str, shop: Shop) -> None:
    versions = {"smallint": ("9", "10"), "time": ("09:30", "10:00"), "timestamp": (f"{DAY}T09:00", f"{DAY} 10:00")}
    logical = {"smallint": "integer"}.get(kind, kind)
    columns = (COLUMNS[0], COLUMNS[1], Column("version", "", logical, kind, required=True), COLUMNS[3])
    shop.contracts["meters"] = replace(CONTRACT, columns=columns, load_mode="changes", version_column="version")
    old, new = versions[kind]
    rows = [f"1,{DAY}T12:00,{new},0.2", f"1,{DAY}T12:00,{old},0.1"]
    books = shop.load("meters", DAY, csv_body("id,at,version,level", rows))
    assert books
    assert books.inserted == 2
    assert shop.all("select level from shop.meters") == [(0.2,)]


def test_a_snapshot_keeps_the_history_of_each_type(shop: Shop) -> None:
    shop.contracts["meters"] = replace(CONTRACT, load_mode="snapshot", period_column=None)
    shop.load("meters", DAY, written([row for row, _ in GOOD], "csv")[1])
    changed = [list(row) for row, _ in GOOD]
    changed[0][2], changed[1][3] = "09:30", "2e-320"
    books = shop.load("meters", "2026-03-03", written(changed, "csv")[1])
    assert books
    assert (books.updated, books.unchanged) == (2, len(GOOD) - 2)
    assert stored(shop, "meters_as_of('2026-03-03')")[1][1] == time(8, 30)
    assert (stored(shop)[1][1], stored(shop)[2][2]) == (time(9, 30), 2e-320)


# --- JSON and lists of texts --------------------------------------------------------------------------------------

EVENTS = Contract(
    "shop",
    "events",
    "1",
    "",
    "",
    (
        Column("id", "", "integer", "integer", required=True, key_position=1),
        Column("day", "", "date", "date", required=True),
        Column("payload", "", "object", "jsonb"),
        Column("tags", "", "array", "text[]", list_separator="|", options={"maxItems": 3}),
    ),
    "merge",
    100,
    7,
    (),
    "events",
    ("day",),
    period_column="day",
    row_rules=(RowRule("kind", "coalesce(payload ->> 'kind', '') <> 'test'"),),
)
LONG = "0." + "1" * 60
"""A number that no binary number can hold."""
ACCEPTED: list[tuple[str, str, str, list[str] | None]] = [
    (
        f'{{"kind":"a","n":{LONG},"big":1e200}}',
        "red| dark blue ",
        f'{{"n": {LONG}, "big": 1{"0" * 200}, "kind": "a"}}',
        ["red", "dark blue"],
    ),
    ("[1, 2.50]", "[]", "[1, 2.50]", []),
    ("", "", "", None),
    ("{}", '["a|b", "c,\\"{}"]', "{}", ["a|b", 'c,"{}']),
]
REFUSED = [
    ('{"kind":"a","kind":"b"}', "", "type:payload"),
    ('{"kind":"\\u0000"}', "", "type:payload"),
    ('{"kind":"\\ud800"}', "", "type:payload"),
    ("[1e99999]", "", "type:payload"),
    ("[" * 10_000 + "]" * 10_000, "", "type:payload"),
    ("7", "", "type:payload"),
    ('{"kind":"test"}', "", "rule:kind"),
    ("", "a||b", "type:tags"),
    ("", "a|b|c|d", "length:tags"),
    ("", "a|#N/A", "placeholder:tags"),
    ("", '["a", 1]', "type:tags"),
]


def event_file(rows: Sequence[tuple[int, str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([("id", "day", "payload", "tags"), *((n, DAY, *rest) for n, *rest in rows)])
    return text.getvalue().encode()


@pytest.fixture
def events(shop: Shop) -> Shop:
    shop.contracts["events"] = EVENTS
    return shop


def test_json_and_lists_are_loaded_exactly_or_their_rows_are_rejected(events: Shop) -> None:
    rows = [(n, payload, tags) for n, (payload, tags, *_) in enumerate([*ACCEPTED, *REFUSED], start=1)]
    books = events.load("events", DAY, event_file(rows))
    assert books
    assert (books.inserted, books.rejected) == (len(ACCEPTED), len(REFUSED))
    found = events.all("select coalesce(payload::text, ''), tags from shop.events order by id")
    assert found == [(payload, tags) for *_, payload, tags in ACCEPTED]
    assert rejects(events) == {len(ACCEPTED) + n: [reason] for n, (*_, reason) in enumerate(REFUSED, start=1)}


def test_nested_values_of_json_files_are_loaded_as_they_are(events: Shop) -> None:
    record = f'{{"id": 1, "day": "{DAY}", "payload": {{"a": [1.10, {LONG}, {{"b": null}}]}}, "tags": ["x|y", "z"]}}'
    repeated = f'{{"id": 2, "day": "{DAY}", "payload": {{"a": 1, "a": 2}}, "tags": []}}'
    events.load("events", DAY, f"{record}\n{repeated}\n".encode(), "a.jsonl")
    found = events.all("select payload::text, tags from shop.events")
    assert found == [(f'{{"a": [1.10, {LONG}, {{"b": null}}]}}', ["x|y", "z"])]
    assert rejects(events) == {2: ["type:payload"]}


def test_another_spelling_of_the_same_json_is_unchanged_and_a_conflict_can_be_replayed(events: Shop) -> None:
    first = [(1, '{"a":1,"b":[1.5]}', "x|y"), (1, '{"b":[1.50], "a":1.0}', '["x","y"]'), (1, f"[{LONG}]", '["|"]')]
    books = events.load("events", DAY, event_file(first))
    assert books
    assert (books.inserted, books.duplicate, rejects(events)) == (1, 1, {3: ["conflict"]})
    books = events.load("events", DAY, event_file([(1, '{ "b": [1.5], "a": 1 }', "x | y")]), "part-2.csv")
    assert books
    assert books.unchanged == 1
    events.connection.execute("delete from shop.events; delete from shop.events_superseded")
    [replayed] = replay(events.connection, EVENTS, events.contracts, RUN)
    assert replayed.books.inserted == 1
    assert events.all("select payload::text, tags from shop.events") == [(f"[{LONG}]", ["|"])]


@pytest.mark.parametrize("mode", ["snapshot", "arrival"])
def test_json_and_lists_have_a_history(mode: str, events: Shop) -> None:
    contract = replace(EVENTS, load_mode="snapshot", period_column=None)
    if mode == "arrival":
        columns = tuple(replace(one, name="landed_on") if one.name == "day" else one for one in EVENTS.columns)
        contract = replace(EVENTS, columns=columns, period_column="landed_on", landing_day_column="landed_on")
    events.contracts["events"] = contract
    events.load("events", DAY, event_file([(1, '{"a":1}', "x|y"), (2, "[]", "x")]))
    books = events.load("events", "2026-03-03", event_file([(1, '{"a":1.0}', "x | y"), (2, "[0]", "x")]))
    assert books
    assert (books.unchanged + books.duplicate, books.updated) == (1, 1)
    select = "select payload::text, tags from shop.events_as_of('{}') order by id"
    assert events.all(select.format("2026-03-03")) == [('{"a": 1}', ["x", "y"]), ("[]", ["x"])]
    assert [row[0] for row in events.all(select.format("2026-03-04"))][1] == "[0]"


def test_json_and_lists_leave_for_the_lake_and_for_people(events: Shop, lake: Lake, tmp_path: Path) -> None:
    events.load("events", DAY, event_file([(n, payload, tags) for n, (payload, tags, *_) in enumerate(ACCEPTED)]))
    lake.write(events.connection, EVENTS, [date(2026, 3, 2)])
    found = lake.day(EVENTS, date(2026, 3, 2))
    assert [found.schema.field(name).type for name in ("payload", "tags")] == [pa.string(), pa.list_(pa.string())]
    expected = [(payload or None, tags) for *_, payload, tags in ACCEPTED]
    assert [(row["payload"], row["tags"]) for row in found.to_pylist()] == expected
    types = {field.name: str(field.field_type) for field in lake.table(EVENTS).schema().fields}
    assert (types["payload"], types["tags"]) == ("string", "list<string>")
    rows = sql.SQL("from shop.events order by id")
    exported = b"".join(copy_csv(events.connection, EVENTS, rows, neutralise=True))
    books = events.load("events", DAY, exported, "z.csv")
    assert books
    assert books.unchanged == len(ACCEPTED)


# --- against Python's readers -------------------------------------------------------------------------------------

CLOCK = st.times().map(str)
MOMENT = st.datetimes(datetime(1900, 1, 1), datetime(2035, 12, 31)).map(str)  # noqa: DTZ001
NUMBER = st.one_of(
    st.floats().map(repr), st.decimals(allow_nan=False).map(str), st.floats(width=32).map(lambda one: f"{one:.9g}")
)
READERS: dict[str, tuple[Column, st.SearchStrategy[str], Callable[[str], Any]]] = {
    "double": (Column("double", "", "number", "double precision"), NUMBER, float),
    "small": (Column("small", "", "integer", "smallint"), st.integers(-(2**16), 2**16).map(str), int),
    "clock": (Column("clock", "", "time", "time"), CLOCK, time.fromisoformat),
    "moment": (Column("moment", "", "timestamp", "timestamp"), MOMENT, datetime.fromisoformat),
    "document": (Column("document", "", "object", "jsonb"), st.one_of(JSON, DEEP), as_json),
    "items": (Column("items", "", "array", "text[]"), st.lists(st.text()).map(json.dumps), json.loads),
}


def exact(text: str | None) -> Any:
    return None if text is None else json.loads(text, parse_float=Decimal, parse_int=Decimal)


@given(data=st.data())
@examples(max_examples=12, suppress_health_check=[*HealthCheck])
def test_a_loaded_value_is_the_one_that_python_reads(shop: Shop, data: st.DataObject) -> None:
    damage = '-+.:eE0159TZ{}[]\\"u, \u00a0'
    columns = tuple(column for column, *_ in READERS.values())
    key = (Column("id", "", "integer", "bigint", required=True, key_position=1), replace(EVENTS.columns[1]))
    shop.contracts["values"] = replace(EVENTS, name="values", columns=(*key, *columns), row_rules=())
    first = next(NUMBERS) * 1000
    names = data.draw(st.lists(st.sampled_from([*READERS]), min_size=10, max_size=40))  # one value in each row
    rows = []
    for name in names:
        _, texts, _ = READERS[name]
        written = data.draw(st.one_of(texts, mutated(texts, damage))).replace("\0", "")
        rows.append([written if name == one else "" for one in READERS])
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "day", *READERS])
    writer.writerows([[first + n, DAY, *row] for n, row in enumerate(rows)])
    books = shop.load("values", DAY, text.getvalue().encode(), f"{first}.csv")
    assert books
    assert total(books) == len(rows)
    rejected = dict(shop.all("select (raw::jsonb ->> 'id')::bigint, reasons from waybill.quarantine"))
    found = shop.all("select id, double, small, clock, moment, document::text, items from shop.values")
    for number, *values in found:
        if number >= first:
            for value, written, (column, _, reader) in zip(values, rows[number - first], READERS.values(), strict=True):
                bare = written.strip(BLANK)
                meant = reader(bare) if bare else None
                if column.name == "items" and meant is not None:
                    meant = [item.strip(BLANK) for item in meant]
                assert (column.name, exact(value) if column.name == "document" else value) == (column.name, meant)
    assert len(found) + len(rejected) >= len(rows)


NUMBERS = itertools.count()


# --- the lake and files for people --------------------------------------------------------------------------------

LAKE_TYPES = {
    "id": (pa.int32(), "int"),
    "at": (pa.timestamp("us"), "timestamp"),
    "opens": (pa.string(), "string"),
    "level": (pa.float64(), "double"),
    "ratio": (pa.float32(), "float"),
    "size": (pa.int32(), "int"),
}


@pytest.fixture
def loaded(shop: Shop) -> Connection:
    shop.load("meters", DAY, written([row for row, _ in GOOD], "csv")[1])
    return shop.connection


def test_the_lake_has_the_values_in_types_of_its_own(
    loaded: Connection, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_TIMEZONE", "Pacific/Kiritimati")
    settings.cache_clear()
    day = date(2026, 3, 2)
    assert lake.write(loaded, CONTRACT, [day]) == {day: len(GOOD)}
    found = lake.day(CONTRACT, day).schema
    assert {field.name: field.type for field in found} == {name: kind for name, (kind, _) in LAKE_TYPES.items()}
    types = {field.name: str(field.field_type) for field in lake.table(CONTRACT).schema().fields}
    assert types == {name: kind for name, (_, kind) in LAKE_TYPES.items()} | {"lake_day": "date"}
    (tmp_path / "a.parquet").write_bytes(lake.body(CONTRACT, day))
    with duckdb.connect() as connection:
        rows = connection.execute(f"select * exclude lake_day from '{tmp_path}/a.parquet'").fetchall()
    expected = {}
    for row, (at, opens, level, ratio, size) in GOOD:
        single = None if ratio is None else pa.scalar(float(ratio), pa.float32()).as_py()
        expected[int(row[0] or 0)] = (at, opens.isoformat() if opens else None, level, single, size)
    assert {number: tuple(rest) for number, *rest in rows} == expected


def test_an_exported_file_loads_again(loaded: Connection, shop: Shop) -> None:
    before = stored(shop)
    rows = sql.SQL("from shop.meters order by id")
    body = b"".join(copy_csv(loaded, CONTRACT, rows, neutralise=True))
    books = shop.load("meters", DAY, body, "z.csv")
    assert books
    assert (books.unchanged, books.rows_in) == (len(before), len(before))
