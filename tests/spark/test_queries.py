"""The job runs the SQL of reports and checks, and a value that does not fit the contract is an error."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest

from support.lake import Lake
from support.spark_job import Shelf, SparkProcess, lake_address, lines
from waybill.contracts import Check, load_domain
from waybill.lakehouse.checks import metric_sql
from waybill.lakehouse.exchange import CheckQuery, Inputs, IntakeRequest, Query, ReportsRequest, ReportsResult

CLICKS = load_domain("shop")["clickstream"]
KEYED = {"customer_id": "integer", "name": "text"}
DAY = date(2026, 3, 2)
NEXT = DAY + timedelta(days=1)
LANDED_AT = datetime(2026, 3, 3, 3, tzinfo=UTC)
HEADER = "event_id,session_id,customer_id,event_type,page,product_id,timestamp,device"
INPUTS = Inputs(file_ids=(1,), tables=("shop.clickstream",), changes=1)


def event(number: int, day: date = DAY, *, page: str = "/", customer: str = "7") -> str:
    one = f"00000000-0000-0000-0000-{number:012d}"
    return f"{one},{one},{customer},page_view,{page},,{day}T10:00:00Z,mobile"


@dataclass(frozen=True)
class Asked:
    """Loaded files, and a job that answers questions about them."""

    shelf: Shelf
    spark: SparkProcess
    request: IntakeRequest

    def answer(self, queries: list[Query], checks: list[CheckQuery]) -> ReportsResult:
        request = ReportsRequest(
            domain="shop",
            requested_at=LANDED_AT,
            lake=lake_address(),
            timezone="Europe/Berlin",
            scratch=self.request.scratch,
            datasets=self.request.datasets,
            checks=tuple(checks),
            queries=tuple(queries),
        )
        address = self.shelf.sent(request)
        self.spark.tell(address)
        found = self.shelf.result(address)
        assert isinstance(found, ReportsResult)
        return found

    def rows(self, address: str | None) -> list[dict[str, Any]]:
        assert address
        key = address.removeprefix(f"s3://{self.shelf.lake.bucket}/")
        body = self.shelf.s3.get_object(Bucket=self.shelf.lake.bucket, Key=key)["Body"].read()
        return pq.read_table(io.BytesIO(body)).to_pylist()


def load(lake: Lake, spark: SparkProcess, dataset: str, bodies: dict[date, bytes]) -> Asked:
    """Load a file of each day."""
    shelf = Shelf(lake, {dataset: load_domain("shop")[dataset]})
    parts = [(dataset, day, [shelf.put(f"{day}.csv", body, LANDED_AT, period=day)]) for day, body in bodies.items()]
    request = shelf.request(parts)
    assert [file.status for file in spark.load(shelf, request).files] == ["loaded"] * len(bodies)
    return Asked(shelf, spark, shelf.request(parts))  # with the snapshots that the job has left


@pytest.fixture
def asked(lake: Lake, spark: SparkProcess) -> Asked:
    """Two days of clicks: the second file corrects a row of the first day and adds one to it."""
    first = lines(HEADER, [event(1), event(2, customer=""), event(3)])
    later = lines(HEADER, [event(2, page="/new"), event(4), event(5, NEXT)])
    return load(lake, spark, "clickstream", {DAY: first, NEXT: later})


def query(text: str, columns: dict[str, str], *, name: str = "probe", day: date = DAY) -> Query:
    return Query(report=name, cadence="day", period=day, text=text, columns=columns, inputs=INPUTS)


TYPES = {
    "small": ("smallint", "cast(7 as bigint)", 7),
    "whole": ("integer", "count(*)", 4),
    "big": ("bigint", "1", 1),
    "exact": ("numeric(9,4)", "1.50", Decimal("1.5000")),
    "any": ("numeric", "cast(1e-7 as decimal(38, 10))", "0.0000001000"),
    "float": ("real", "cast(0.5 as float)", 0.5),
    "double": ("double precision", "0.1d", 0.1),
    "day": ("date", ":period_start", DAY),
    "local": ("timestamp", "cast(:period_start as timestamp_ntz)", datetime(2026, 3, 2)),  # noqa: DTZ001
    "at": ("timestamptz", ":starts_at", datetime(2026, 3, 1, 23, tzinfo=UTC)),
    "flag": ("boolean", "true", True),
    "name": ("text", ":timezone", "Europe/Berlin"),
    "one": ("uuid", "min(session_id)", "00000000-0000-0000-0000-000000000001"),
    "some": ("text[]", "array('a', null)", ["a", None]),
    "absent": ("numeric(3,2)", "null", None),
}


def test_values_have_the_types_of_the_contract(asked: Asked) -> None:
    text = f"select {', '.join(f'{sql} as {name}' for name, (_, sql, _) in TYPES.items())} from shop.clickstream"
    text += "\nwhere ts < :ends_at;\n"
    (found,) = asked.answer([query(text, {name: kind for name, (kind, _, _) in TYPES.items()})], []).reports
    assert (found.error, found.rows) == (None, 1)
    assert asked.rows(found.address) == [{name: value for name, (_, _, value) in TYPES.items()}]


WRONG = {
    "select x from shop.clickstream": "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column or function parameter with",
    "select 1 as n from shop.orders": "[TABLE_OR_VIEW_NOT_FOUND] The table or view `shop`.`orders` cannot be found",
    "select :unbound as n": "[UNBOUND_SQL_PARAMETER] Found the unbound parameter: unbound",
    "select 1 as n frm": "[PARSE_SYNTAX_ERROR] Syntax error at or near",
    "select 1 as m": "does not return the column 'n' of the contract (smallint); returns the column 'm', which is not",
    "select 1 as n, 2 as n": "returns the column 'n' 2 times",
    "select 1.5 as n": "the column 'n' is decimal(2,1), but smallint: round it in the SQL, or change the contract",
    "select 1d as n": "the column 'n' is double, but smallint: write `cast(… as smallint)`, or change the contract",
    "select '1' as n": "the column 'n' is string, but smallint: write `cast(… as smallint)`",
    "select 40000 * customer_id as n from shop.clickstream": '[CAST_OVERFLOW] The value … of the type "INT" cannot be',
    "select cast(page as int) as n from shop.clickstream": '[CAST_INVALID_INPUT] The value … of the type "',
    "select 1 / (customer_id - 7) as n from shop.clickstream": "the column 'n' is double",
    "select cast(1 div (customer_id - 7) as int) as n from shop.clickstream": "[DIVIDE_BY_ZERO] Division by zero",
}


def test_a_query_that_fails_does_not_stop_the_others(asked: Asked) -> None:
    queries = [query(text, {"n": "smallint"}, name=f"q{number}") for number, text in enumerate(WRONG)]
    decimals = query("select cast(1000 as decimal(9, 2)) as n", {"n": "numeric(5,2)"}, name="decimals")
    good = query("select event_id as n from shop.clickstream where ts < :ends_at", {"n": "uuid"}, name="good")
    empty = query("select event_id as n from shop.clickstream where false", {"n": "uuid"}, name="empty")
    found = {one.report: one for one in asked.answer([*queries, decimals, good, empty], []).reports}
    for number, said in enumerate(WRONG.values()):
        assert (found[f"q{number}"].error or "").startswith(said), found[f"q{number}"]
    assert (found["decimals"].error or "").startswith("[NUMERIC_VALUE_OUT_OF_RANGE] … cannot be "), found["decimals"]
    assert (found["good"].error, found["good"].rows) == (None, 4)
    assert (found["empty"].error, found["empty"].rows, found["empty"].address) == (None, 0, None)


def test_reports_read_the_current_rows_and_those_of_the_end_of_the_period(asked: Asked) -> None:
    columns = {"event_id": "uuid", "page": "text"}
    texts = {name: f"select event_id, page from shop.{name}" for name in ("clickstream", "clickstream_as_of")}
    asked_for = [
        query(text, columns, name=f"{name}{day}", day=day) for name, text in texts.items() for day in (DAY, NEXT)
    ]
    found = asked.answer(asked_for, []).reports
    rows = {one.report: {int(row["event_id"][-2:]): row["page"] for row in asked.rows(one.address)} for one in found}
    current = {1: "/", 2: "/new", 3: "/", 4: "/", 5: "/"}
    assert rows == {
        f"clickstream{DAY}": current,
        f"clickstream{NEXT}": current,
        f"clickstream_as_of{DAY}": {1: "/", 2: "/", 3: "/"},
        f"clickstream_as_of{NEXT}": current,
    }


def test_a_dataset_of_changes_has_the_last_change_of_each_key(lake: Lake, spark: SparkProcess) -> None:
    header = "customer_id,name,email,registration_date,country,updated_at"
    first = [f"{number},Ann,a@b.c,2020-01-31,DE,{DAY}T0{number}:00:00Z" for number in (1, 2)]
    later = [f"1,Bob,a@b.c,2020-01-31,DE,{NEXT}T05:00:00Z", f"2,Cid,a@b.c,2020-01-31,DE,{DAY}T01:00:00Z"]
    asked = load(lake, spark, "customers", {DAY: lines(header, first), NEXT: lines(header, later)})
    names = ("customers", "customers_as_of", "customers_changes")
    queries = [query(f"select customer_id, name from shop.{name}", KEYED, name=name) for name in names]
    found = {
        one.report: sorted((row["customer_id"], row["name"]) for row in asked.rows(one.address))
        for one in asked.answer(queries, []).reports
    }
    assert found == {
        "customers": [(1, "Bob"), (2, "Ann")],
        "customers_as_of": [(1, "Ann"), (2, "Ann")],
        "customers_changes": [(1, "Ann"), (1, "Bob"), (2, "Ann"), (2, "Cid")],
    }


def check(name: str, metric: Any, *columns: str, percent: bool = False) -> Check:
    return Check(name, "", None, ">=", 0, "warning", metric, columns, percent)


CHECKS = {
    check("rows", "rowCount"): {DAY: 3, NEXT: 1},
    check("nulls", "nullValues", "customer_id", "page"): {DAY: 1, NEXT: 0},
    check("null_pct", "nullValues", "customer_id", percent=True): {DAY: Decimal("33.3333"), NEXT: 0},
    check("repeated", "duplicateValues", "page", "device"): {DAY: 2, NEXT: 0},
    check("repeated_pct", "duplicateValues", "customer_id", percent=True): {DAY: Decimal("33.3333"), NEXT: 0},
    check("freshness", "freshness", "ts"): {DAY: 13, NEXT: 13},
}


def test_metrics_of_datasets_are_those_of_the_periods_end(asked: Asked) -> None:
    found = asked.answer(
        [],
        [
            CheckQuery(dataset="clickstream", check=one.name, cadence="day", period=day, text=metric_sql(CLICKS, one))
            for one in CHECKS
            for day in (DAY, NEXT)
        ]
        + [
            CheckQuery(dataset="clickstream", check=name, cadence="day", period=DAY, text=text)
            for name, text in {"text": "select 'x'", "two": "select 1, 2", "none": "select 1 where false"}.items()
        ],
    ).checks
    observed = {(one.check, one.period): one.observed for one in found if one.error is None}
    expected = {(one.name, day): number for one, numbers in CHECKS.items() for day, number in numbers.items()}
    assert observed == expected | {("none", DAY): None}
    assert {one.check: one.error for one in found if one.error} == {
        "text": "the SQL must return one number, but returns string",
        "two": "the SQL must return one number, but returns int, int",
    }
