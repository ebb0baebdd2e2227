"""Feature views: their logs keep every value with the time at which it became known, whatever happens."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection, sql
from typer.testing import CliRunner

from support.landing import LANDED_AT, MemoryBucket, channel_rows, csv_body, customer_rows, traffic_rows
from support.messaging_months import RUN, build_month, database, month
from support.shop_landing import CONTRACTS, LAYOUTS, Shop
from support.stopping import refreshes
from waybill.cli import app
from waybill.contracts import ContractError, load_domain
from waybill.contracts.feature_views import FeatureView, find_feature_view
from waybill.contracts.people import people_of
from waybill.derived import read_window
from waybill.derived import refresh_features as refresh_features_module
from waybill.derived.affected import affected
from waybill.derived.feature import NotBuilt, built_from
from waybill.derived.refresh import out_of_date, refresh
from waybill.derived.refresh_features import refresh_features, unbuilt_periods
from waybill.erasure.forget import forget
from waybill.erasure.person import target_of
from waybill.erasure.search import Hit, _in_id_columns
from waybill.errors import DataError
from waybill.features.online import read_latest
from waybill.features.versions import new_version, retire
from waybill.intake.ingest import ingest_file
from waybill.ops import retire as retirement
from waybill.ops.lint import lint
from waybill.ops.provenance import built_report, trace
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.horizons import move_horizon
from waybill_devtools.stack import Stack

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: shop_feature.spend_v1
name: spend_v1
version: 1.0.0
status: active
domain: shop_feature
description: {purpose: Spend of a customer.}
team: {name: shop analytics}
schema:
  - name: spend_v1
    physicalType: table
    dataGranularityDescription: One row per day and customer with a sale on it or the day before.
    customProperties:
      - {property: loadMode, value: feature}
      - {property: daysBefore, value: 1}
    quality:
      - name: spend_v1_negative
        description: No customer has spent less than nothing.
        type: sql
        query: select count(*) from shop_feature.spend_v1 where day = %(period_start)s and spend < 0
        mustBe: 0
        severity: error
    properties:
      - name: day
        description: The day.
        logicalType: date
        physicalType: date
        primaryKey: true
        primaryKeyPosition: 1
        required: true
      - name: customer_id
        description: The customer.
        logicalType: integer
        physicalType: integer
        primaryKey: true
        primaryKeyPosition: 2
        required: true
      - name: event_ts
        description: The end of the day.
        logicalType: timestamp
        physicalType: timestamptz
        required: true
      - name: spend
        description: Amount of the sales of the day and the day before.
        logicalType: number
        physicalType: numeric(14,2)
        required: true
      - name: methods
        description: Ways of payment.
        logicalType: array
        physicalType: text[]
        items: {logicalType: string, physicalType: text}
slaProperties:
  - {property: frequency, value: 1, unit: d}
  - {property: latency, value: 6, unit: h}
  - {property: ttl, value: 30, unit: d}
"""
SQL = """
select
    %(period_start)s::date as day,
    customer_id,
    %(ends_at)s::timestamptz as event_ts,
    sum(total_amount)::numeric(14, 2) as spend,
    array_agg(distinct payment_method order by payment_method)::text[] as methods
from shop.transactions
where transaction_ts >= %(starts_at)s::timestamptz - interval '1 day' and transaction_ts < %(ends_at)s
group by customer_id
"""
DAYS = ["2026-03-28", "2026-03-29", "2026-03-30"]
LATENCY = timedelta(hours=6)
Rows = list[tuple[int, int, int]]
"""(number, customer, quantity)"""
Log = list[tuple[Any, ...]]


def at_end(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


@pytest.fixture
def view(include_dir: Path) -> FeatureView:
    """The only feature view of the project."""
    for kind in ("contracts", "sql"):
        for domain in ("shop", "messaging"):
            shutil.rmtree(include_dir / kind / f"{domain}_feature", ignore_errors=True)
        (include_dir / kind / "shop_feature").mkdir()
    (include_dir / "contracts/shop_feature/spend_v1.yaml").write_text(CONTRACT)
    (include_dir / "sql/shop_feature/spend_v1.sql").write_text(SQL)
    return find_feature_view("spend:1")


@pytest.fixture
def shop(empty_connection: Connection, view: FeatureView) -> Iterator[Shop]:
    with empty_connection.transaction(force_rollback=True):
        yield Shop(empty_connection)


def sell(shop: Shop, day: str, rows: Rows, name: str = "a.csv", landed_at: datetime = LANDED_AT) -> None:
    """Load a file of sales at noon of a day."""
    lines = [
        f"{number},{customer},1,{value},1.00,{value}.00,{day}T12:00:00Z,completed,card"
        for number, customer, value in rows
    ]
    shop.load("transactions", day, csv_body(LAYOUTS["transactions"].header, lines), name, landed_at)


def refreshed(connection: Connection) -> dict[str, list[str]]:
    return refresh_features(connection, "shop", RUN)


def log_of(connection: Connection, table: str = "shop_feature.spend_v1_log") -> Log:
    query = f"select customer_id, event_ts, known_ts, is_removed, spend, methods, run_id from {table}"
    return sorted(connection.execute(query).fetchall(), key=lambda row: row[:3])


def replayed(log: Log) -> Log:
    """Return the current values that a log ends with."""
    newest = {row[:2]: row for row in log}  # in the order of known_ts
    return sorted((*key, *row[4:6]) for key, row in newest.items() if not row[3])


def check(shop: Shop, before: Log) -> Log:
    """Compare the three tables with each other and with the sales, and return the log."""
    log = log_of(shop.connection)
    assert [row for row in before if row not in log] == [], "no row of the log is changed or lost"
    current = sorted(shop.all("select customer_id, event_ts, spend, methods from shop_feature.spend_v1"))
    assert replayed(log) == current
    newest = {row[0]: row for row in current}
    assert sorted(shop.all("select customer_id, event_ts, spend, methods from shop_feature.spend_v1_latest")) == sorted(
        newest.values()
    )
    built = {
        day for (day,) in shop.all("select period from waybill.publication where report = 'shop_feature.spend_v1'")
    }
    spend: dict[tuple[int, date], int] = {}
    for customer, sold, amount in shop.all(
        "select customer_id, transaction_ts::date, total_amount from shop.transactions"
    ):
        for day in {sold, sold + timedelta(days=1)} & built:
            spend[customer, day] = spend.get((customer, day), 0) + amount
    assert {(customer, at.date() - timedelta(days=1)): amount for customer, at, amount, _ in current} == spend
    return log


SALES = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2)), max_size=3, unique_by=lambda row: row[0]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.sampled_from(DAYS), st.sampled_from(["a.csv", "b.csv"]), SALES),
        st.tuples(st.just("withdraw"), st.sampled_from(DAYS), st.sampled_from(["a.csv", "b.csv"]), st.just([])),
        st.just(("refresh", "", "", [])),
    ),
    min_size=3,
    max_size=9,
)
FIRST = ("load", DAYS[0], "a.csv", [(1, 1, 1), (2, 2, 1)])
REFRESH = ("refresh", "", "", list[Any]())


@given(steps=STEPS)
# The value of a customer changes, is gone, and comes back.
@example(
    steps=[
        FIRST,
        REFRESH,
        ("load", DAYS[0], "a.csv", [(1, 1, 2)]),
        REFRESH,
        ("withdraw", DAYS[0], "a.csv", []),
        REFRESH,
        FIRST,
    ]
)
@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_log_keeps_every_value_and_ends_with_the_current_ones(
    empty_connection: Connection, view: FeatureView, steps: list[tuple[str, str, str, Rows]]
) -> None:
    with empty_connection.transaction(force_rollback=True):
        shop, log, loaded = Shop(empty_connection), list[Any](), set[tuple[str, str]]()
        for step, day, name, rows in [*steps, REFRESH]:
            if step == "load":
                sell(shop, day, rows, name)
                loaded.add((day, name))
            elif step == "withdraw" and (day, name) in loaded:
                shop.withdraw("transactions", day, name)
                loaded.remove((day, name))
            elif step == "refresh":
                before = log
                refreshed(shop.connection)
                log = check(shop, before)
                moments = {row[2] for row in before}
                assert all(row[2] > max(moments) for row in log if row not in before and moments and not _on_time(row))
                assert refreshed(shop.connection) == {}
                assert log_of(shop.connection) == log, "nothing new is known, so nothing is appended"


def _on_time(row: tuple[Any, ...]) -> bool:
    return bool(row[2] == row[1] + LATENCY)


def test_history_is_known_on_time_and_what_comes_later_when_it_is_built(shop: Shop, view: FeatureView) -> None:
    sell(shop, DAYS[0], [(1, 1, 5), (2, 2, 7)])
    sell(shop, DAYS[1], [(3, 1, 1)])
    began = datetime.now(UTC)
    refreshed(shop.connection)
    [(created,)] = shop.all("select created_at from waybill.feature_version where feature_table = %s", (view.table,))
    assert began < created < datetime.now(UTC)
    history = log_of(shop.connection)
    assert len(history) == 4
    assert all(_on_time(row) and row[6] == RUN.run_id for row in history)

    later = created + timedelta(hours=1)
    sell(shop, DAYS[0], [(4, 1, 10)], "late.csv", later)  # changes two days, of which both were built
    began = datetime.now(UTC)
    assert refreshed(shop.connection) == {view.table: DAYS[:2]}
    added = [row for row in log_of(shop.connection) if row not in history]
    assert [(row[0], row[1], row[3], row[4]) for row in added] == [
        (1, at_end(DAYS[0]), False, 15),
        (1, at_end(DAYS[1]), False, 16),
    ]
    assert all(began < row[2] < datetime.now(UTC) for row in added)

    sell(shop, DAYS[2], [(5, 3, 1)], landed_at=later)  # a new day, of a file that landed after the version was created
    began = datetime.now(UTC)
    refreshed(shop.connection)
    [new] = [row for row in log_of(shop.connection) if row[:2] == (3, at_end(DAYS[2]))]
    assert new[2] > began
    assert trace(shop.connection, built_report(shop.connection, "spend:1"), Period.named(DAYS[2])).row_count == 2


def register_set(connection: Connection, view: FeatureView, name: str, rows: int, *, is_as_of_now: bool) -> None:
    connection.execute(
        """
        insert into waybill.training_set (
          name, views, is_as_of_now, location, row_count, labels_sha256, content_sha256, manifest, code_version,
          created_by
        )
        values (%s, %s, %s, 's3://lake/set.parquet', %s, '', '', '{}', 'test', 'ann')
        """,
        (name, [view.table], is_as_of_now, rows),
    )


def test_a_training_set_ends_the_history(shop: Shop, view: FeatureView) -> None:
    sell(shop, DAYS[0], [(1, 1, 5)])
    refreshed(shop.connection)
    sell(shop, DAYS[2], [(2, 1, 5)])
    register_set(shop.connection, view, "now", 5, is_as_of_now=True)
    register_set(shop.connection, view, "empty", 0, is_as_of_now=False)
    assert unbuilt_periods(shop.connection, view) == [Period.named(DAYS[2])]
    refreshed(shop.connection)
    assert unbuilt_periods(shop.connection, view) == []
    assert [_on_time(row) for row in log_of(shop.connection)] == [True, True]
    register_set(shop.connection, view, "churn", 5, is_as_of_now=False)
    sell(shop, DAYS[1], [(3, 2, 5)])
    refreshed(shop.connection)
    late = [row for row in log_of(shop.connection) if not _on_time(row)]
    assert {row[:2] for row in late} == {(1, at_end(DAYS[1])), (2, at_end(DAYS[1])), (2, at_end(DAYS[2]))}


DIMENSION_SQL = """
select
    %(period_start)s::date as day,
    sales.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    sum(sales.total_amount)::numeric(14, 2) as spend,
    array[max(customers.country)]::text[] as methods
from shop_star.fact_sales as sales
inner join shop_star.dim_customer as customers on sales.customer_key = customers.customer_key
where sales.sale_date >= %(period_start)s::date - 1 and sales.sale_date < %(period_end)s
group by sales.customer_id
"""


@pytest.fixture
def of_star(shop: Shop, view: FeatureView, include_dir: Path) -> Callable[[], dict[str, list[str]]]:
    """Make the view read the star schema; return what builds both."""
    (include_dir / "sql/shop_feature/spend_v1.sql").write_text(DIMENSION_SQL)

    def build() -> dict[str, list[str]]:
        refresh(shop.connection, "shop", "shop_star", RUN)
        return refreshed(shop.connection)

    return build


def test_a_late_file_of_a_dimension_is_not_known_on_time(
    shop: Shop, view: FeatureView, of_star: Callable[[], dict[str, list[str]]]
) -> None:
    sell(shop, DAYS[0], [(1, 1, 5)])
    of_star()
    [(created,)] = shop.all("select created_at from waybill.feature_version where feature_table = %s", (view.table,))
    sell(shop, DAYS[2], [(2, 1, 5)])
    rows = [LAYOUTS["customers"].line(1, at_end(DAYS[0]), 1)]
    body = csv_body(LAYOUTS["customers"].header, rows)
    shop.load("customers", DAYS[1], body, landed_at=created + timedelta(hours=1))
    of_star()
    on_time = {row[1]: _on_time(row) for row in reversed(log_of(shop.connection))}  # the first of each
    assert on_time == {at_end(DAYS[0]): True, at_end(DAYS[1]): False, at_end(DAYS[2]): False}


def test_what_a_withdrawn_file_leaves_is_not_known_on_time(shop: Shop, view: FeatureView) -> None:
    sell(shop, DAYS[0], [(1, 1, 5)])
    refreshed(shop.connection)
    shop.connection.execute("update waybill.feature_version set created_at = now()")  # the transaction's begin
    sell(shop, DAYS[2], [(2, 1, 5)])
    sell(shop, DAYS[2], [(3, 1, 5)], "b.csv")
    shop.withdraw("transactions", DAYS[2], "b.csv")
    refreshed(shop.connection)
    assert [_on_time(row) for row in log_of(shop.connection)] == [True, False]


def test_a_forgotten_customer_is_not_logged_before_the_star_is_built(
    stack_environment: dict[str, str],
    shop: Shop,
    view: FeatureView,
    of_star: Callable[[], dict[str, list[str]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    sell(shop, DAYS[0], [(1, 1, 5), (2, 2, 5)])
    of_star()
    sell(shop, DAYS[1], [(3, 2, 5)])
    refresh(shop.connection, "shop", "shop_star", RUN)
    [certificate] = forget(shop.connection, "shop", [("customer", "1")], RUN, "test", is_dry=False)
    assert refreshed(shop.connection) == {}
    assert (
        f"{view.table} {DAYS[1]} is not built: shop_star.dim_customer and shop_star.fact_sales must be" in caplog.text
    )
    assert of_star() == {view.table: DAYS[:2]}
    assert {row[0] for row in log_of(shop.connection)} == {2, int(certificate.tombstone)}


def test_a_customer_who_is_forgotten_while_features_are_built_is_not_logged(
    stack_environment: dict[str, str],
    shop: Shop,
    view: FeatureView,
    of_star: Callable[[], dict[str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forget_then(*given: Any) -> list[Period]:
        found = buildable(*given)
        forget(shop.connection, "shop", [("customer", "1")], RUN, "test", is_dry=False)
        return found

    sell(shop, DAYS[0], [(1, 1, 5)])
    of_star()
    sell(shop, DAYS[1], [(2, 2, 5)])
    refresh(shop.connection, "shop", "shop_star", RUN)
    buildable = refresh_features_module._buildable
    monkeypatch.setattr(refresh_features_module, "_buildable", forget_then)
    with pytest.raises(DataError, match="somebody was forgotten while the task ran"):
        refreshed(shop.connection)
    monkeypatch.setattr(refresh_features_module, "_buildable", buildable)
    of_star()
    assert 1 not in {row[0] for row in log_of(shop.connection)}


def test_what_is_not_over_yet_is_known_when_it_is_built(shop: Shop, view: FeatureView) -> None:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    sell(shop, day, [(1, 1, 5)])
    refreshed(shop.connection)
    [row] = log_of(shop.connection)
    assert row[2] < row[1] + LATENCY


def test_a_clock_that_is_set_back_does_not_hide_newer_values(shop: Shop, view: FeatureView) -> None:
    sell(shop, DAYS[0], [(1, 1, 5)])
    refreshed(shop.connection)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    shop.connection.execute("update waybill.feature_version set last_known_ts = %s", (ahead,))
    sell(shop, DAYS[0], [(1, 1, 6)])
    refreshed(shop.connection)
    assert [row[2] for row in log_of(shop.connection)] == [at_end(DAYS[0]) + LATENCY, ahead + timedelta(microseconds=1)]


def test_a_version_with_values_stays_as_it_is_and_the_next_one_lives_beside_it(
    shop: Shop, view: FeatureView, include_dir: Path
) -> None:
    contract, text = include_dir / "contracts/shop_feature/spend_v1.yaml", include_dir / "sql/shop_feature/spend_v1.sql"
    text.write_text(SQL.replace("sum(", "max("))
    refreshed(shop.connection)
    text.write_text(SQL)  # a version without values may change
    with pytest.raises(NotBuilt, match=r"spend:1 has no values, and its SQL changed.*next run"):
        built_from(shop.connection, view)
    sell(shop, DAYS[0], [(1, 1, 5), (2, 1, 5)])
    refreshed(shop.connection)
    assert [row[4] for row in log_of(shop.connection)] == [10]
    contract.write_text(CONTRACT.replace("description: The customer.", "description: Who bought."))
    assert refreshed(shop.connection) == {}

    text.write_text(SQL.replace("sum(", "max("))
    contract.write_text(CONTRACT.replace("numeric(14,2)", "numeric(16,2)"))
    sell(shop, DAYS[1], [(3, 2, 5)])
    with pytest.raises(DataError, match=r"its SQL and its contract changed.*waybill features new-version spend:1"):
        refreshed(shop.connection)
    assert len(log_of(shop.connection)) == 1
    with pytest.raises(DataError, match="its SQL and its contract changed"), shop.connection.transaction():
        read_latest(shop.connection, find_feature_view("spend:1"), {"customer_id": "1"})
    assert any("spend_v1 has values, and its SQL and its contract changed" in one for one in lint(shop.connection)[1])
    contract.write_text(CONTRACT)
    [problem] = lint(shop.connection)[1]
    assert problem.startswith("shop_feature.spend_v1 has values, and its SQL changed.")
    assert lint(None)[1] == []
    text.write_text(SQL)

    copies = new_version(view)
    assert [path.name for path in copies] == ["spend_v2.yaml", "spend_v2.sql"]
    copies[1].write_text(SQL.replace("sum(", "max("))
    second = find_feature_view("spend:2")
    assert second.contract.version == "2.0.0"
    assert "shop_feature.spend_v2 where" in str(second.contract.checks[0].query)
    assert lint(None)[1] == []
    assert refreshed(shop.connection) == {view.table: [DAYS[1]], second.table: DAYS[:2]}
    assert [row[4] for row in log_of(shop.connection)] == [10, 10, 5]
    assert [row[4] for row in log_of(shop.connection, second.log)] == [5, 5, 5]
    assert refreshed(shop.connection) == {}


def test_a_retired_version_is_not_built_and_keeps_its_log(shop: Shop, view: FeatureView, include_dir: Path) -> None:
    with pytest.raises(DataError, match="was never built"):
        retire(shop.connection, view, "test")
    sell(shop, DAYS[0], [(1, 1, 5)])
    refreshed(shop.connection)
    log, period = log_of(shop.connection), Period.named(DAYS[1])
    assert "keeps 1 row" in retire(shop.connection, view, "test")
    sell(shop, DAYS[1], [(2, 1, 5)])
    assert refreshed(shop.connection) == {}
    assert out_of_date(shop.connection, "shop", [period], view.table, with_features=True) == []
    files = [(load_domain("shop")["transactions"], period)]
    assert view.table not in {table for table, _ in affected(shop.connection, "shop", files, [period])}
    assert log_of(shop.connection) == log
    with pytest.raises(DataError, match="it was retired"), shop.connection.transaction():
        read_latest(shop.connection, view, {"customer_id": "1"})
    with pytest.raises(DataError, match="was retired on"):
        retire(shop.connection, view, "test")
    (include_dir / "contracts/shop_feature/spend_v1.yaml").unlink()
    (include_dir / "sql/shop_feature/spend_v1.sql").unlink()
    assert [one for one in lint(shop.connection)[1] if one.startswith(f"{view.table}: the warehouse has this version")]


@pytest.mark.parametrize("is_forced", [False, True])
def test_the_log_of_a_version_without_files_goes_only_if_no_training_set_rests_on_it(
    shop: Shop, view: FeatureView, include_dir: Path, *, is_forced: bool
) -> None:
    sell(shop, DAYS[0], [(1, 1, 5)])
    refreshed(shop.connection)
    (include_dir / "contracts/shop_feature/spend_v1.yaml").unlink()
    (include_dir / "sql/shop_feature/spend_v1.sql").unlink()
    unused = retirement.plan(shop.connection, view.table)
    register_set(shop.connection, view, "churn", 5, is_as_of_now=True)
    text = r"1 training set rests on spend:1: churn\..*cannot be made again.*--force"
    with pytest.raises(DataError, match=text):
        retirement.plan(shop.connection, view.table)
    with pytest.raises(DataError, match=text):  # the set came after the question
        retirement.retire(shop.connection, unused)
    assert len(log_of(shop.connection)) == 1
    if is_forced:
        found = retirement.plan(shop.connection, view.table, is_forced=True)
        assert "what 1 training set was made from: churn" in found.drops
        retirement.retire(shop.connection, found)
        assert shop.all("select to_regclass('shop_feature.spend_v1_log')") == [(None,)]


def test_an_entity_is_read_by_its_key_within_five_milliseconds(shop: Shop, view: FeatureView) -> None:
    day = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    sell(shop, day, [(number, number, 2) for number in range(1, 501)])
    sell(shop, DAYS[0], [(900, 900, 3)])
    refreshed(shop.connection)
    latest = read_latest(shop.connection, view, {"customer_id": "7"})
    assert latest
    assert (latest.event_ts, latest.is_expired) == (at_end(day), False)
    assert latest.values == {"spend": 2, "methods": ["card"]}
    old = read_latest(shop.connection, view, {"customer_id": "900"})
    assert old
    assert (old.is_expired, old.values) == (True, {"spend": None, "methods": None})
    assert read_latest(shop.connection, view, {"customer_id": "12345"}) is None
    for wrong in ({}, {"customer": "7"}, {"customer_id": "x"}):
        with pytest.raises(DataError, match="customer_id"), shop.connection.transaction():
            read_latest(shop.connection, view, wrong)
    took = []
    for number in range(50):
        began = time.perf_counter()
        read_latest(shop.connection, view, {"customer_id": str(number + 1)})
        took.append(time.perf_counter() - began)
    assert min(took) <= 0.005  # others may have waited for a processor
    plan = shop.all("explain select * from shop_feature.spend_v1_latest where customer_id = 7")
    assert "Index Scan" in str(plan) or "Bitmap" in str(plan)


def test_values_must_belong_to_their_period(shop: Shop, view: FeatureView, include_dir: Path) -> None:
    path = include_dir / "sql/shop_feature/spend_v1.sql"
    path.write_text(SQL.replace("%(ends_at)s::timestamptz as event_ts", "%(starts_at)s::timestamptz as event_ts"))
    sell(shop, DAYS[0], [(1, 1, 5)])
    with pytest.raises(DataError, match="1 row with an event_ts outside of the period"):
        refreshed(shop.connection)
    path.write_text(SQL)
    assert refreshed(shop.connection) == {view.table: [DAYS[0]]}


UNBOUNDED = SQL.replace(" and transaction_ts < %(ends_at)s", "")
SHIFTED = """
with later as (
    select customer_id
    from shop.transactions
    where transaction_ts >= %(ends_at)s
)

select
    %(period_start)s::date as day,
    sales.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    sum(sales.total_amount)::numeric(14, 2) as spend,
    case when sales.customer_id in (select customer_id from later) then array['comes back'] end as methods
from shop.transactions as sales
where sales.transaction_ts >= %(starts_at)s and sales.transaction_ts < %(ends_at)s
group by sales.customer_id
"""
FAILING = SHIFTED.replace(
    "sum(sales.total_amount)", "(sum(sales.total_amount) / (select count(*) from later))"
).replace("case when sales.customer_id in (select customer_id from later) then array['comes back'] end", "null::text[]")
OF_FACTS = """
select
    %(period_start)s::date as day,
    fact_sales.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    sum(fact_sales.total_amount)::numeric(14, 2) as spend,
    null::text[] as methods
from shop_star.fact_sales
where fact_sales.sale_date >= %(period_start)s::date - 1
group by fact_sales.customer_id
"""
OF_MONTHS = """
select
    %(period_start)s::date as day,
    customer_id,
    %(ends_at)s::timestamptz as event_ts,
    max(net_revenue)::numeric(14, 2) as spend,
    null::text[] as methods
from shop_report.top_buyers
where month = date_trunc('month', %(period_start)s::timestamp)::date
group by customer_id
"""
OF_ITSELF = """
select
    %(period_start)s::date as day,
    sales.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    (sum(sales.total_amount) + coalesce(max(others.spend), 0))::numeric(14, 2) as spend,
    null::text[] as methods
from shop.transactions as sales
left join shop_feature.spend_v1 as others on sales.customer_id = others.customer_id and others.day <> %(period_start)s
where sales.transaction_ts >= %(starts_at)s and sales.transaction_ts < %(ends_at)s
group by sales.customer_id
"""
OF_VERSIONS = """
select
    %(period_start)s::date as day,
    sales.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    sum(sales.total_amount)::numeric(14, 2) as spend,
    array[max(products.valid_to)::text] as methods
from SHOP.Transactions as sales
inner join shop.products_history as products
    on sales.product_id = products.product_id and products.valid_from < %(period_end)s
where sales.transaction_ts >= %(starts_at)s and sales.transaction_ts < %(ends_at)s
group by sales.customer_id
"""
FUTURE = f"after {DAYS[0]}: it reads the future"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (UNBOUNDED, f"2 rows would differ without the rows of shop.transactions {FUTURE}"),
        (SHIFTED, f"1 row would differ without the rows of shop.transactions {FUTURE}"),
        (FAILING, f"2 rows would differ without the rows of shop.transactions {FUTURE}"),
        (OF_FACTS, f"2 rows would differ without the rows of shop_star.fact_sales {FUTURE}"),
        (OF_MONTHS, f"3 rows would differ without the rows of shop_report.top_buyers {FUTURE}"),
        (
            SQL.replace("interval '1 day'", "interval '2 days'"),
            "1 row would differ without the rows of shop.transactions before 2026-03-27, and `daysBefore` is 1",
        ),
    ],
    ids=["no end", "a flag", "a divisor", "facts", "a month that goes on", "more days than declared"],
)
def test_values_that_rest_on_rows_outside_of_the_window_are_refused(
    shop: Shop, view: FeatureView, include_dir: Path, text: str, reason: str
) -> None:
    (include_dir / "sql/shop_feature/spend_v1.sql").write_text(text)
    sell(shop, "2026-03-26", [(9, 2, 1)])
    sell(shop, DAYS[0], [(1, 1, 5), (4, 2, 3)])
    sell(shop, DAYS[1], [(2, 1, 7), (3, 3, 7)])
    for schema in ("shop_star", "shop_report"):
        refresh(shop.connection, "shop", schema, RUN)
    with pytest.raises(DataError, match=re.escape(f"shop_feature.spend_v1 {DAYS[0]}: {reason}")):
        refreshed(shop.connection)
    assert shop.all("select from shop_feature.spend_v1 where day = %s", (DAYS[0],)) == []
    assert [row for row in log_of(shop.connection) if row[1] == at_end(DAYS[0])] == []


def test_later_rows_of_the_view_itself_and_later_ends_of_versions_are_refused(
    shop: Shop, view: FeatureView, include_dir: Path
) -> None:
    path = include_dir / "sql/shop_feature/spend_v1.sql"
    path.write_text(OF_ITSELF)
    sell(shop, DAYS[0], [(1, 1, 5), (2, 2, 5)])
    sell(shop, DAYS[1], [(3, 1, 7)])
    assert refreshed(shop.connection) == {view.table: DAYS[:2]}, "the second day reads the first one"
    assert shop.all("select spend from shop_feature.spend_v1 where day = %s", (DAYS[1],)) == [(12,)]
    sell(shop, DAYS[0], [(4, 2, 1)], "late.csv")
    own = f"1 row would differ without the rows of {view.table} after 2026-03-27: it reads the future"
    with pytest.raises(DataError, match=re.escape(own)):
        refreshed(shop.connection)

    shop.connection.execute("delete from shop_feature.spend_v1_log")
    path.write_text(OF_VERSIONS)
    for day, price in zip(DAYS[:2], ("1.00", "2.00"), strict=True):
        shop.load(
            "products", day, csv_body(",".join(CONTRACTS["products"].names), [f"1,Pen,Books,Acme,Acme,{price},3"])
        )
    ends = f"2 rows would differ without the rows of shop.products_history {FUTURE}"
    with pytest.raises(DataError, match=re.escape(ends)):
        refreshed(shop.connection)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            SQL.replace("sum(total_amount)", "total_amount")
            .replace("group by customer_id", "group by transaction_id")
            .replace("array_agg(distinct payment_method order by payment_method)", "null"),
            "must appear in the GROUP BY",
        ),
        (
            SQL.replace("    customer_id,", "    shop.transactions.customer_id,"),
            "invalid reference to FROM-clause entry",
        ),
    ],
    ids=["grouped by a key", "no alias"],
)
def test_sql_that_cannot_run_without_later_rows_is_built_with_a_warning(
    shop: Shop, view: FeatureView, include_dir: Path, caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    (include_dir / "sql/shop_feature/spend_v1.sql").write_text(text)
    sell(shop, DAYS[0], [(1, 1, 5)])
    sell(shop, "2026-03-30", [(2, 1, 7)])
    assert refreshed(shop.connection)[view.table][0] == DAYS[0]
    assert f"{view.table} {DAYS[0]}: it is unknown whether its SQL reads later rows" in caplog.text
    assert why in caplog.text


@pytest.mark.parametrize(
    ("kind", "one", "other", "differs"),
    [
        ("double precision", "0.1", "0.10000000000000002", False),
        ("double precision", "1e-17", "0", False),
        ("double precision", "0.1", "0.1001", True),
        ("double precision", "infinity", "5", True),
        ("double precision", "infinity", "infinity", False),
        ("double precision", "nan", "5", True),
        ("double precision", None, "5", True),
        ("double precision", None, None, False),
        ("real", "12345.678", "12345.68", False),
        ("real", "12345", "12355", True),
    ],
)
def test_sums_of_doubles_may_differ_by_their_order(
    empty_connection: Connection, view: FeatureView, kind: str, one: str | None, other: str | None, differs: bool
) -> None:
    condition = read_window._differs(replace(view.features[0], physical_type=kind))
    found = empty_connection.execute(
        sql.SQL(
            "select {condition} from (select %s::{kind} as spend) as o cross join (select %s::{kind} as spend) as n"
        ).format(condition=condition, kind=sql.SQL(kind)),
        (one, other),
    ).fetchone()
    assert found == (differs,)


def test_what_a_plan_says_is_what_a_refresh_builds(shop: Shop, view: FeatureView) -> None:
    sell(shop, DAYS[0], [(1, 1, 5)])
    sell(shop, DAYS[1], [(2, 1, 5)])
    refreshed(shop.connection)
    sell(shop, DAYS[0], [(3, 1, 5)], "late.csv")
    periods = [Period.named(day) for day in DAYS]
    planned = [period.key for table, period in affected(shop.connection, "shop", [], periods) if table == view.table]
    assert refreshed(shop.connection) == {view.table: planned}


def test_a_forgotten_customer_is_in_no_value_and_no_run_brings_them_back(
    stack_environment: dict[str, str], shop: Shop, view: FeatureView
) -> None:
    connection = shop.connection
    sell(shop, DAYS[0], [(1, 1, 5), (2, 2, 7)])
    sell(shop, DAYS[1], [(3, 1, 6)])
    refreshed(connection)
    sell(shop, DAYS[0], [(1, 1, 9), (2, 2, 7)])
    refreshed(connection)
    before = log_of(connection)
    [certificate] = forget(connection, "shop", [("customer", "1")], RUN, "test", is_dry=False)
    tombstone = int(certificate.tombstone)
    assert {name: rows for name, rows in certificate.erased.items() if "_feature" in name} == {
        "shop_feature.spend_v1": 2,
        "shop_feature.spend_v1_log": 4,
        "shop_feature.spend_v1_latest": 1,
    }
    assert "shop_feature.spend_v1.customer_id" in certificate.columns
    renamed = sorted(((tombstone if row[0] == 1 else row[0]), *row[1:]) for row in before)
    assert sorted(log_of(connection)) == renamed
    target = target_of(connection, "shop", "customer", "1", people_of("shop"))
    assert list[Hit](_in_id_columns(connection, target)) == []
    refreshed(connection)
    assert sorted(log_of(connection)) == renamed, "the person is not logged as gone"
    assert check(shop, []) == log_of(connection)


MESSAGING = (
    ("shop_feature", "messaging_feature"),
    ("name: day", "name: month"),
    ("unit: d}\n  - {property: latency", "unit: months}\n  - {property: latency"),
    ("- {property: daysBefore, value: 1}\n", "- {property: daysBefore, value: all}\n"),
    ("where day =", "where month ="),
)
MESSAGING_SQL = """
select
    %(period_start)s::date as month,
    traffic.customer_id,
    %(ends_at)s::timestamptz as event_ts,
    sum(traffic.revenue_eur)::numeric(14, 2) as spend,
    array[max(top.customer_rank)::text]::text[] as methods
from messaging.traffic_as_of(%(period_end)s) as traffic
left join messaging_report.top_customers as top
    on traffic.customer_id = top.customer_id and top.month = %(period_start)s
where traffic.send_date >= %(period_start)s and traffic.send_date < %(period_end)s
group by traffic.customer_id
"""


def test_reports_as_of_a_month_have_features_as_of_it(
    empty_connection: Connection, view: FeatureView, include_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contract = CONTRACT
    for old, new in MESSAGING:
        assert old in contract
        contract = contract.replace(old, new)
    for kind, name, text in (("contracts", "spend_v1.yaml", contract), ("sql", "spend_v1.sql", MESSAGING_SQL)):
        shutil.rmtree(include_dir / kind / "shop_feature")
        (include_dir / kind / "messaging_feature").mkdir()
        (include_dir / kind / "messaging_feature" / name).write_text(text)
    table, contracts = "messaging_feature.spend_v1", load_domain("messaging")
    path = include_dir / "sql/messaging_feature/spend_v1.sql"
    for known in ("messaging.traffic", "messaging.traffic_as_of(current_date)"):
        path.write_text(MESSAGING_SQL.replace("messaging.traffic_as_of(%(period_end)s)", known))
        assert any(f"reads {known.partition('(')[0]} as it is known later" in problem for problem in lint(None)[1])
    path.write_text(MESSAGING_SQL)
    assert not any("as it is known later" in problem for problem in lint(None)[1])
    bucket = MemoryBucket()
    header = {name: ",".join(contract.names) for name, contract in contracts.items()}
    bodies = {"customers": customer_rows(), "channels": channel_rows(), "traffic": traffic_rows(12)}
    with empty_connection.transaction(force_rollback=True):
        connection = empty_connection

        def load(name: str, key: str, rows: list[str], file: str = "a.csv", landed_at: datetime = LANDED_AT) -> None:
            body = csv_body(header[name], rows)
            landed = bucket.land(name, key, body, file, landed_at)
            assert ingest_file(connection, bucket, landed, contracts[name], contracts, RUN)  # type: ignore[arg-type]

        for key in ("2026-02", "2026-03"):
            for name in ("customers", "channels"):
                load(name, key, bodies[name])
            load("traffic", key, [row.replace("2026-03", key) for row in bodies["traffic"]], f"{key}.csv")
        build_month(connection, "2026-02")
        refresh = partial(refresh_features, connection, "messaging", RUN)
        assert refresh(month("2026-02")) == {table: ["2026-02"]}, "the reports of March, which it reads, are not there"
        build_month(connection, "2026-03")
        with connection.transaction(force_rollback=True), caplog.at_level("INFO"):
            move_horizon(connection, contracts["traffic"], date(2026, 5, 1), RUN)
            assert refresh(month("2026-02")) == {}, "what was known at the end of March cannot be told"
        assert "1 month before 2026-05-01 cannot be built" in caplog.text
        assert refresh(month("2026-02")) == {table: ["2026-03"]}, "a period without values is built by any run"
        history = log_of(connection, f"{table}_log")
        assert {row[2] - row[1] for row in history} == {LATENCY}
        assert refresh(month("2026-03")) == {}
        assert out_of_date(connection, "messaging", [month("2026-03")], with_features=True) == []

        [(created,)] = connection.execute("select created_at from waybill.feature_version").fetchall()
        more = [f"9{row}" for row in traffic_rows(2, revenue="7.00")]
        load("traffic", "2026-03", more, "late.csv", created + timedelta(hours=1))
        outdated = out_of_date(connection, "messaging", [month("2026-03")], with_features=True)
        assert (table, month("2026-03")) in outdated
        assert refresh(month("2026-02")) == {}, "a run builds its own period, as for reports"
        caplog.clear()
        assert refresh(month("2026-03")) == {}, "traffic of the late file and ranks without it do not belong together"
        assert f"{table} 2026-03 is not built: messaging_report.top_customers must be built first" in caplog.text
        assert log_of(connection, f"{table}_log") == history
        build_month(connection, "2026-03")
        assert refresh(month("2026-03")) == {table: ["2026-03"]}
        added = [row for row in log_of(connection, f"{table}_log") if row not in history]
        assert added
        assert all(row[2] > created for row in added)


@pytest.fixture(scope="module")
def sold(stack: Stack) -> Iterator[str]:
    """The address of a warehouse with three days of sales."""
    with database(stack) as dsn:
        with connect(dsn) as connection:
            shop = Shop(connection)
            for number, day in enumerate(DAYS):
                sell(shop, day, [(100 * number + one, one, 1) for one in range(1, 6)])
        yield dsn


def expected(stack: Stack, sold: str) -> list[tuple[Any, ...]]:
    with database(stack, sold) as dsn, connect(dsn) as connection:
        refreshed(connection)
        return replayed(log_of(connection))


KILLED_AT = [
    ("waybill.derived.feature:_moment", 2),
    ("waybill.derived.build:record_build", 2),
]


def test_a_killed_refresh_and_two_at_once_leave_no_row_twice(
    stack: Stack, stack_environment: dict[str, str], view: FeatureView, sold: str
) -> None:
    wanted = expected(stack, sold)
    assert len(wanted) == 15
    for point, number in KILLED_AT:
        with database(stack, sold) as dsn:
            [killed] = refreshes(dsn, "shop", 1, point, number)
            assert killed.exitcode == -9
            with connect(dsn) as connection:
                refreshed(connection)
                assert replayed(log_of(connection)) == wanted
                assert len(log_of(connection)) == len(wanted)
    with database(stack, sold) as dsn:
        assert [process.exitcode for process in refreshes(dsn, "shop", 2)] == [0, 0]
        with connect(dsn) as connection:
            assert replayed(log_of(connection)) == wanted
            assert len(log_of(connection)) == len(wanted)
            assert refreshed(connection) == {}


def test_the_commands_list_read_copy_and_retire(
    stack: Stack, stack_environment: dict[str, str], view: FeatureView, sold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["features", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    with database(stack, sold) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        owner = view.contract.owner.split()
        listed = [line.split() for line in run("list").splitlines()]
        assert ["spend:1", *owner, "customer_id", "not", "built", "yet"] in listed
        with connect(dsn) as connection:
            refreshed(connection)
        listed = [line.split() for line in run("list", "--domain", "shop").splitlines()]
        assert ["spend:1", *owner, "customer_id", "5", "2026-03-31"] in listed
        [of_program] = json.loads(run("list", "--domain", "shop", "--json"))
        assert {name: of_program[name] for name in ("view", "table", "owner", "entity", "entities", "newest")} == {
            "view": "spend:1",
            "table": "shop_feature.spend_v1",
            "owner": view.contract.owner,
            "entity": ["customer_id"],
            "entities": 5,
            "newest": "2026-03-31T00:00:00+00:00",
        }
        assert of_program["features"] == ["spend", "methods"]
        assert '"event_ts": "2026-03-31T00:00:00+00:00"' in run("get", "spend:1", "--key", "customer_id=3")
        assert "has no values" in run("get", "spend:1", "--key", "customer_id=99", code=1)
        assert "no feature view 'spend:7'" in run("get", "spend:7", "--key", "customer_id=3", code=1)
        for given in ([], ["--key", "customer_id"], ["--key", "customer_id=3", "--key", "customer_id=4"]):
            assert "spend:1 is found by customer_id: write it like --key customer_id=123" in run(
                "get", "spend:1", *given, code=1
            )
        assert "There is no domain 'nope'" in run("list", "--domain", "nope", code=1)
        assert "There is no domain 'nope'" in run("get", "spend:1", "--domain", "nope", code=1)
        assert "spend_v2.sql" in run("new-version", "spend:1")
        assert "spend:2 is a copy of spend:1, and was not changed" in run("new-version", "spend:1", code=1)
        assert "keeps 15 rows" in run("retire", "spend:1")
        assert " retired " in run("list")


def test_restricted_features_are_for_nobody_but_who_asks(shop: Shop, view: FeatureView, include_dir: Path) -> None:
    path = include_dir / "contracts/shop_feature/spend_v1.yaml"
    path.write_text(
        CONTRACT.replace("description: Ways of payment.", "description: Ways.\n        classification: restricted")
    )
    restricted = find_feature_view("spend:1")
    sell(shop, f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}", [(1, 1, 5)])
    refreshed(shop.connection)
    may = shop.all(
        "select c.relname, a.attname from pg_class as c inner join pg_attribute as a on a.attrelid = c.oid "
        "where c.relnamespace = 'shop_feature'::regnamespace and c.relkind = 'r' and a.attnum > 0 "
        "and has_column_privilege('waybill_analyst', c.oid, a.attnum, 'select')"
    )
    tables = {name.rpartition(".")[2]: name for name in (view.table, view.log, view.latest)}
    assert {table for table, column in may if column == "spend"} == set(tables)
    assert {table for table, column in may if column == "methods"} == set()
    assert {column for table, column in may if table.endswith("_log")} >= {"known_ts", "is_removed"}
    latest = read_latest(shop.connection, restricted, {"customer_id": "1"})
    assert latest
    assert latest.values == {"spend": 5}
    asked = read_latest(shop.connection, restricted, {"customer_id": "1"}, with_restricted=True)
    assert asked
    assert asked.values == {"spend": 5, "methods": ["card"]}
    assert "keeps 1 row" in retire(shop.connection, restricted, "test"), "a view of the current values goes with them"


def test_a_feature_view_lies_in_its_folder(view: FeatureView, include_dir: Path) -> None:
    path = include_dir / "contracts/shop_report/spend_v1.yaml"
    path.write_text(CONTRACT.replace("domain: shop_feature", "domain: shop_report"))
    assert any("in folders named <domain>_feature" in problem for problem in lint(None)[1])
    path.unlink()
    reader = include_dir / "sql/shop/daily_kpis.sql"
    text = reader.read_text()
    reader.write_text(text.replace("shop_star.fact_sales", "shop_feature.spend_v1"))
    assert any("feature views are built after it" in problem for problem in lint(None)[1])
    reader.write_text(text)
    of_view = include_dir / "sql/shop_feature/spend_v1.sql"
    for name in ("shop.products", "shop.customers", "SHOP.Customers"):
        of_view.write_text(SQL.replace("from shop.transactions", f"from shop.transactions cross join {name}"))
        found = f"reads {name.lower()}, which has only the rows of today"
        assert any(found in problem for problem in lint(None)[1])
    for argument in ("'2030-01-01'", "%(period_end)s + 30", "current_date"):
        of_view.write_text(SQL.replace("from shop.transactions", f"from shop.transactions_as_of({argument})"))
        assert any("reads shop.transactions_as_of as it is known later" in problem for problem in lint(None)[1])
    for argument in (
        "%(period_start)s",
        "cast(%(period_end)s as date)",
        "(%(period_end)s)::date",
        " %(period_end)s - 1 ",
    ):
        of_view.write_text(SQL.replace("from shop.transactions", f"from shop.transactions_as_of ({argument})"))
        assert not any("spend_v1.sql" in problem for problem in lint(None)[1])
    of_view.write_text(SQL)
    other = include_dir / "contracts/shop_feature/spend_v1.yaml"
    other.write_text(
        CONTRACT.replace("value: feature", "value: report")
        .replace("  - {property: ttl, value: 30, unit: d}\n", "")
        .replace("  - {property: latency, value: 6, unit: h}\n", "")
    )
    with pytest.raises(ContractError, match="loadMode: feature"):
        find_feature_view("spend:1")
