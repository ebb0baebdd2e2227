"""Triggers count the change log exactly, and stale periods are found from the counts as from the log itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from support.ledger import add_file
from waybill.contracts import load_domain
from waybill.derived.build import sha256
from waybill.derived.refresh import Derived, derived_tables, stale_periods
from waybill.period import Cadence, Period
from waybill.warehouse import change_log

LINES = "orders.lines"
OTHER = "orders.other"
DAYS = st.integers(0, 70).map(lambda days: date(2026, 1, 20) + timedelta(days=days))
CHANGES = st.lists(st.tuples(st.sampled_from([LINES, OTHER]), st.lists(DAYS, max_size=4)), max_size=12)
TABLE = next(table for table in derived_tables("orders") if table.inputs == (LINES,))


def log(connection: Connection, changes: list[tuple[str, list[date]]]) -> None:
    for table, days in changes:
        change_log.record(connection, table, days, None)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, removed=st.lists(DAYS, max_size=5), more=CHANGES, files=st.lists(DAYS, max_size=5))
def test_the_counts_are_those_of_the_log(
    empty_connection: Connection,
    changes: list[tuple[str, list[date]]],
    removed: list[date],
    more: list[tuple[str, list[date]]],
    files: list[date],
) -> None:
    with empty_connection.transaction(force_rollback=True):
        log(empty_connection, changes)
        empty_connection.execute("delete from waybill.change where day = any(%s)", (removed,))
        log(empty_connection, more)
        for number, day in enumerate(files):
            add_file(empty_connection, LINES, f"{number}.csv", day)
        counted = empty_connection.execute(
            "select table_name, day, changes from waybill.table_day where changes <> 0 order by 1, 2"
        ).fetchall()
        expected = empty_connection.execute(
            "select table_name, day, count(*) from waybill.change group by 1, 2 order by 1, 2"
        ).fetchall()
        assert counted == expected
        delivered = empty_connection.execute("select day from waybill.table_day where is_delivered order by 1")
        assert [day for (day,) in delivered] == sorted(set(files))


def window(table: Derived, period: Period, days: list[date]) -> int:
    """Return the number of changes that a period reads, counted one by one."""
    contract = table.contract
    first = date.min if contract.days_before is None else period.start - timedelta(days=contract.days_before)
    return sum(first <= day < period.end + timedelta(days=contract.days_after) for day in days)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=CHANGES,
    delivered=st.lists(st.tuples(st.sampled_from([LINES, OTHER]), DAYS), max_size=12),
    built=st.dictionaries(DAYS, st.integers(0, 3), max_size=12),
    days_before=st.sampled_from([None, 0, 1, 7, 40]),
    days_after=st.sampled_from([0, 1, 9]),
    cadence=st.sampled_from(["day", "week", "month"]),
)
@example(
    changes=[(LINES, [date(2026, 2, 1)])],
    delivered=[(LINES, date(2026, 1, 31)), (LINES, date(2026, 2, 1)), (LINES, date(2026, 2, 2))],
    built={date(2026, 1, 31): 0, date(2026, 2, 1): 1, date(2026, 2, 2): 1},
    days_before=0,
    days_after=0,
    cadence="day",
)
def test_stale_periods_are_those_of_a_plain_model(
    empty_connection: Connection,
    changes: list[tuple[str, list[date]]],
    delivered: list[tuple[str, date]],
    built: dict[date, int],
    days_before: int | None,
    days_after: int,
    cadence: Cadence,
) -> None:
    contract: Any = replace(TABLE.contract, cadences=(cadence,), days_before=days_before, days_after=days_after)
    table = replace(TABLE, contract=contract, datasets=frozenset([LINES]))
    sizes = {Period.of(cadence, day): seen for day, seen in built.items()}
    with empty_connection.transaction(force_rollback=True):
        log(empty_connection, changes)
        for number, (dataset, day) in enumerate(delivered):
            add_file(empty_connection, dataset, f"{number}.csv", day)
        for period, seen in sizes.items():
            empty_connection.execute(
                "insert into waybill.publication (report, cadence, period, row_count, content_sha256, sql_sha256, "
                "contract_sha256, code_version, file_ids, changes_seen) "
                "values (%s, %s, %s, 0, '', %s, %s, '', '{}', %s)",
                (contract.table, cadence, period.start, sha256(table.text), contract.sha256, seen),
            )
        found = stale_periods(empty_connection, "orders", table)
    days = [day for name, changed in changes for day in changed if name == LINES]
    own = [dataset.table for dataset in load_domain("orders").values()]
    expected = {
        period
        for period in {Period.of(cadence, day) for dataset, day in delivered if dataset in own}
        if sizes.get(period) != window(table, period, days)
    }
    assert found == sorted(expected)
