"""Rows that contradict others are kept as texts from which their columns read the same values again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from support.typed_values import column, read
from waybill.contracts import Column, Contract
from waybill.contracts.number_format import NumberFormat
from waybill.intake.written_values import fields_sql

SIGNS = NumberFormat(decimal=",", thousands=(".",), minus=("\u2212",), currency=("EUR",))
FRACTION = NumberFormat(percent="fraction", minus=("-",))
MOMENTS = st.datetimes(datetime(1901, 1, 1), datetime(2035, 12, 31))  # noqa: DTZ001
WINTER = st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1))  # noqa: DTZ001
BERLIN = {"defaultTimezone": "Europe/Berlin"}
DAYS = st.dates(date(1900, 1, 1), date(2035, 12, 31))


def to_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_minutes(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def dated(kind: str, *forms: str, **more: Any) -> Column:
    return column(kind, {"timestamptz": "timestamp"}.get(kind, kind), date_forms=forms, **more)


def in_utc(moments: st.SearchStrategy[datetime]) -> st.SearchStrategy[datetime]:
    return moments.map(lambda moment: moment.replace(tzinfo=UTC))


CASES: list[tuple[Column, st.SearchStrategy[Any]]] = [
    (column("smallint", "integer", number_format=SIGNS), st.integers(-(2**15), 2**15 - 1)),
    (column("bigint", "integer"), st.integers(-(2**63), 2**63 - 1)),
    (column("numeric(38,10)", "number", number_format=SIGNS), st.decimals(-(10**27), 10**27, places=10)),
    (column("numeric(12,4)", "number", number_format=FRACTION), st.decimals(-(10**7), 10**7, places=4)),
    (column("double precision", "number"), st.floats(allow_nan=False, allow_infinity=False)),
    (column("double precision", "number", number_format=SIGNS), st.floats(-1e15, 1e15)),
    (column("real", "number", number_format=SIGNS), st.floats(-(2**40), 2**40, width=32)),
    (dated("date", "yyyy-MM-dd"), DAYS),
    (dated("date", "D/M/YYYY"), DAYS),
    (dated("date", "d MMM yyyy"), DAYS),
    (dated("date", "yyyy-MM-dd '00:00:00'"), DAYS),
    (dated("date", "MMMM d, ''yy", pivot_year=1950), st.dates(date(1950, 1, 1), date(2035, 12, 31))),
    (dated("date", "excel"), DAYS),
    (dated("date", "dd.MM.yyyy", "yyyyMMdd"), DAYS),
    (dated("time", "HHmm", "HHmmss"), st.times().map(lambda one: one.replace(microsecond=0))),
    (dated("time", "h:mm a"), st.times().map(lambda one: one.replace(second=0, microsecond=0))),
    (dated("timestamp", "dd/MM/yyyy HH:mm", "dd/MM/yyyy HH:mm:ss.SSSSSS"), MOMENTS),
    (dated("timestamp", "yyyyMMddHHmmssSSS"), MOMENTS.map(to_milliseconds)),
    (dated("timestamp", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSS"), MOMENTS),
    (dated("timestamp", "excel"), MOMENTS.map(to_milliseconds)),
    (dated("timestamp", "iso_8601", "d/M/yyyy H:mm"), MOMENTS),
    (dated("timestamptz", "d/M/yyyy hh:mm a XXX"), in_utc(MOMENTS.map(to_minutes))),
    (dated("timestamptz", "d/M/yyyy HH:mm:ss x"), in_utc(MOMENTS.map(to_seconds))),
    (dated("timestamptz", "d/M/yyyy HH:mm:ss xxx", options={"timezone": True}), in_utc(MOMENTS.map(to_seconds))),
    (dated("timestamptz", "d/M/yyyy HH:mm", options=BERLIN), in_utc(WINTER.map(to_minutes))),
    (dated("timestamptz", "excel", options=BERLIN), in_utc(WINTER.map(to_minutes))),
    (dated("timestamptz", "d/M/yyyy HH:mm X", options=BERLIN), in_utc(MOMENTS.map(to_minutes))),
    (dated("timestamptz", "epoch_seconds"), in_utc(MOMENTS)),
    (dated("timestamptz", "epoch_milliseconds"), in_utc(MOMENTS)),
    (dated("timestamptz", "excel"), in_utc(MOMENTS.map(to_milliseconds))),
    (dated("timestamptz", "yyyy-MM-dd"), in_utc(MOMENTS)),
    (column("text[]", "array", list_separator="|"), st.lists(st.text(st.sampled_from('a|,"\\{}'), min_size=1))),
    (column("uuid", "string"), st.uuids()),
]


@pytest.fixture
def kept(empty_connection: Connection) -> Iterator[Connection]:
    with empty_connection.transaction(force_rollback=True):
        yield empty_connection


@pytest.mark.parametrize(("declared", "values"), CASES, ids=lambda case: getattr(case, "physical_type", ""))
@given(data=st.data())
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_kept_value_is_read_again(
    kept: Connection, declared: Column, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    written = [None, *data.draw(st.lists(values, min_size=20, max_size=40))]
    fields = keep(kept, declared, written)
    texts = [one["value"] if isinstance(one["value"], str | None) else str(one["value"]) for one in fields]
    found = read(declared, ["" if text is None else text for text in texts])
    expected = [value.bytes if declared.physical_type == "uuid" and value else value for value in written]
    assert [(value, reasons) for value, reasons in found] == [(value, []) for value in expected]


def keep(connection: Connection, declared: Column, values: list[Any]) -> list[dict[str, Any]]:
    """Return the fields of staged rows with these values."""
    contract = Contract("t", "rows", "1", "", "", (declared,), "merge", 100, 0, (), "", ("day",))
    kind = sql.SQL(declared.physical_type)
    cast = sql.SQL("::text::{}").format(kind)
    connection.execute("drop table if exists staged")
    connection.execute(sql.SQL("create temp table staged (_record integer, value {})").format(kind))
    insert = sql.SQL("insert into staged values (%s, %s{})").format(cast if are_numbers(values) else sql.SQL(""))
    with connection.cursor() as cursor:
        cursor.executemany(insert, [*enumerate(values)])
    rows = connection.execute(
        sql.SQL("select {} from staged as s order by _record").format(fields_sql(contract, "s"))
    ).fetchall()
    return [json.loads(text, parse_int=str, parse_float=str) for (text,) in rows]


def are_numbers(values: list[Any]) -> bool:
    return any(isinstance(value, Decimal | float | int) for value in values)


def test_json_is_kept_as_text_with_exact_numbers(empty_connection: Connection) -> None:
    [fields] = keep(empty_connection, column("jsonb", "object"), [Jsonb({"a": [1, None]})])
    assert fields == {"value": '{"a": [1, null]}'}
