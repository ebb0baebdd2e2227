"""Rows of a derived table meet the value rules of its contract, or its period keeps its rows."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from waybill.contracts import Column, Contract
from waybill.derived.build import BuildInputs, build_from_rows
from waybill.errors import DataError
from waybill.period import Period
from waybill.run import Run

COLUMNS = (
    Column("month", "", "date", "date", required=True, key_position=1),
    Column("place", "", "integer", "integer", required=True, key_position=2, options={"minimum": 1}),
    Column("share", "", "number", "numeric(6,2)", options={"exclusiveMinimum": 0, "maximum": 99.5}),
    Column("code", "", "string", "text", options={"minLength": 2, "maxLength": 4, "pattern": "[A-Z]+|x.z"}),
    Column("kind", "", "string", "text", enum=("it's", "B")),
    Column("since", "", "date", "date", options={"minimum": "2020-01-01"}),
    Column("is_new", "", "boolean", "boolean", enum=("True",)),
)
REPORT = Contract("test_report", "values", "1", "", "", COLUMNS, "report", 0, 0, (), "", ("month",))
MARCH = Period.parse("month", "2026-03")
RUN = Run("test", "test")


def broken_rules(row: dict[str, Any]) -> set[str]:
    """Return the rules that a row breaks, computed in plain Python. NULL breaks none."""
    holds = {
        "range:place": lambda: row["place"] >= 1,
        "range:share": lambda: Decimal(0) < row["share"] <= Decimal("99.5"),
        "length:code": lambda: 2 <= len(row["code"]) <= 4,
        "pattern:code": lambda: re.fullmatch("[A-Z]+|x.z", row["code"], re.DOTALL) is not None,
        "enum:kind": lambda: row["kind"] in ("it's", "B"),
        "range:since": lambda: row["since"] >= date(2020, 1, 1),
        "enum:is_new": lambda: row["is_new"],
    }
    return {rule for rule, is_so in holds.items() if row[rule.split(":")[1]] is not None and not is_so()}


CODES = ["AB", "ABCD", "ABCDE", "A", "ab", "x.z", "x\nz", "xyz", "AB\n", "\nAB", ""]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "place": st.integers(-1, 99),
            "share": st.none() | st.decimals("-1", "101", places=2),
            "code": st.none() | st.sampled_from(CODES),
            "kind": st.none() | st.sampled_from(["it's", "B", "b", "B ", ""]),
            "since": st.none() | st.sampled_from([date(2019, 12, 31), date(2020, 1, 1)]),
            "is_new": st.none() | st.booleans(),
        }
    ),
    max_size=6,
    unique_by=lambda row: row["place"],
)


def build(connection: Connection, rows: list[dict[str, Any]]) -> int:
    found = [{"month": MARCH.start, **row} for row in rows]
    return build_from_rows(connection, REPORT, lambda: BuildInputs([]), found, MARCH, RUN).rows


def stored(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select * from test_report.values order by place").fetchall()


@given(rows=ROWS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_rejected_as_plain_python_rejects_them(
    empty_connection: Connection, rows: list[dict[str, Any]]
) -> None:
    counts: dict[str, int] = {}
    for row in rows:
        for rule in broken_rules(row):
            counts[rule] = counts.get(rule, 0) + 1
    if not counts:
        assert build(empty_connection, rows) == len(rows)
        return
    with pytest.raises(DataError, match=r"test_report\.values 2026-03: its rows do not meet the contract: ") as caught:
        build(empty_connection, rows)
    reported = dict(re.findall(r"(\w+:\w+) in (\d+) row", str(caught.value)))
    assert {rule: int(count) for rule, count in reported.items()} == counts


def test_a_rejected_period_keeps_its_rows(empty_connection: Connection) -> None:
    good = {"place": 1, "share": Decimal("1.00"), "code": "AB", "kind": "B", "since": date(2026, 1, 1), "is_new": True}
    build(empty_connection, [good])
    before = stored(empty_connection)
    with pytest.raises(DataError, match=r"range:share in 1 row\. Correct the SQL or the contract"):
        build(empty_connection, [good, {**good, "place": 2, "share": Decimal(0)}])
    assert stored(empty_connection) == before != []
