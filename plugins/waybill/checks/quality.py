"""Quality checks: each compares one number with a threshold, and each result is a row of `waybill.check_result`."""

from __future__ import annotations

import logging
import operator
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from psycopg import Connection, sql

from waybill.contracts import Check, Contract
from waybill.contracts.spark_engine import require_warehouse
from waybill.errors import DataError
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import HistoryRemoved, non_retryable_sql, one_row
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import as_of_function, columns_sql, relation

log = logging.getLogger(__name__)

_COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class CheckResult:
    """The result of a check."""

    subject: str
    check: Check
    period: Period
    observed: Decimal | None

    @property
    def passed(self) -> bool:
        """Return whether the number meets the threshold. A check without a number fails."""
        return self.observed is not None and bool(
            _COMPARE[self.check.operator](self.observed, Decimal(str(self.check.threshold)))
        )

    def __str__(self) -> str:
        meaning = f" ({self.check.description})" if self.check.description else ""
        return (
            f"{self.subject} {self.period}: {self.check.name} is {self.observed}, "
            f"must be {self.check.operator} {self.check.threshold:g}{meaning}"
        )


def _rows(contract: Contract) -> sql.Composed:
    """Return the rows of the period. Rows of datasets are those known at the period's end."""
    if contract.load_mode in ("report", "feature"):
        rows = sql.SQL("{} where {} = %(period_start)s").format(relation(contract), sql.Identifier(contract.key[0]))
        if len(contract.cadences) > 1:
            rows += sql.SQL(" and {} = %(cadence)s").format(sql.Identifier(contract.key[1]))
        return rows
    rows = sql.SQL("{}(%(period_end)s)").format(as_of_function(contract))
    if contract.is_merged:
        assert contract.period_column
        bounds = "{0} >= %(period_start)s and {0} < %(period_end)s"
        if contract.has_instants(contract.period_column):
            bounds = "{0} >= %(starts_at)s and {0} < %(ends_at)s"
        rows += sql.SQL(" where ") + sql.SQL(bounds).format(sql.Identifier(contract.period_column))
    return rows


def query_of(contract: Contract, check: Check) -> sql.SQL | sql.Composed:
    """Return the query of a check, which returns one number. Its parameters are those of a period."""
    return sql.SQL(check.query) if check.query else _metric(contract, check)


def _metric(contract: Contract, check: Check) -> sql.Composed:
    """Return the query of a check that has a metric instead of SQL."""
    if check.metric == "freshness":
        newest = sql.SQL("max({})").format(sql.Identifier(check.columns[0]))
        if not contract.has_instants(check.columns[0]):  # a date counts from its start
            newest = sql.SQL("{}::timestamp at time zone %(timezone)s").format(newest)
        return sql.SQL("select round(extract(epoch from %(ends_at)s - {}) / 3600, 2) from {}(%(period_end)s)").format(
            newest, as_of_function(contract)
        )
    columns, rows = columns_sql(list(check.columns)), _rows(contract)
    count: sql.Composable = sql.SQL("count(*)")
    found = count
    if check.metric == "nullValues":
        found = sql.SQL("count(*) filter (where num_nulls({}) > 0)").format(columns)
    elif check.metric == "duplicateValues":  # grouping can hash; count(distinct) sorts
        rows = sql.SQL("(select {0}, count(*) as _rows from {1} group by {0}) as _groups").format(columns, rows)
        count = sql.SQL("sum(_rows)")
        found = sql.SQL("coalesce(sum(_rows - 1) filter (where num_nulls({}) = 0), 0)").format(columns)
    if check.is_percent:
        found = sql.SQL("coalesce(round(100.0 * ({}) / nullif({}, 0), 4), 0)").format(found, count)
    return sql.SQL("select {} from {}").format(found, rows)


def evaluate(connection: Connection, contract: Contract, period: Period) -> list[CheckResult]:
    """Run every check of the contract for the period in the caller's transaction and return the results.

    Checks of drift need the previous period: the build of a feature view runs them.
    """
    return [_result(connection, contract, check, period) for check in contract.checks if check.metric != "drift"]


def _result(connection: Connection, contract: Contract, check: Check, period: Period) -> CheckResult:
    query = query_of(contract, check)
    with non_retryable_sql(f"the check {check.name} of {contract.table} {period}"):
        row = connection.execute(query, period.parameters(settings().timezone)).fetchone()
    observed = None if row is None or row[0] is None else Decimal(str(row[0]))
    return CheckResult(contract.table, check, period, observed)


def record(
    connection: Connection, results: Iterable[CheckResult], run: Run, checked_at: datetime | None = None
) -> None:
    """Store the results. The latest result of a check and period replaces the previous one.

    What is loaded after `checked_at`, by default now, is unchecked.
    """
    with connection.transaction():
        for result in results:
            connection.execute(
                """
                insert into waybill.check_result (
                  subject, check_name, cadence, period, severity, observed, operator, threshold, passed, run_id,
                  checked_at
                )
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, coalesce(%s, now()))
                on conflict (subject, check_name, cadence, period) do update
                set severity = excluded.severity, observed = excluded.observed, operator = excluded.operator,
                  threshold = excluded.threshold, passed = excluded.passed, run_id = excluded.run_id,
                  checked_at = excluded.checked_at
                """,
                (
                    result.subject,
                    result.check.name,
                    result.period.cadence,
                    result.period.start,
                    result.check.severity,
                    result.observed,
                    result.check.operator,
                    result.check.threshold,
                    result.passed,
                    run.run_id,
                    checked_at,
                ),
            )


def forget_removed(connection: Connection, contract: Contract, period: Period, results: Iterable[CheckResult]) -> None:
    """Delete the stored results of other checks of the period: the contract no longer has these checks."""
    connection.execute(
        """
        delete from waybill.check_result
        where (subject, cadence, period) = (%s, %s, %s) and not check_name = any(%s)
        """,
        (contract.table, period.cadence, period.start, [result.check.name for result in results]),
    )


def stop_or_warn(results: Iterable[CheckResult]) -> None:
    """Log every failed check of severity warning. Raise `DataError` for the failed checks of severity error."""
    failed = [result for result in results if not result.passed]
    for result in failed:
        if result.check.severity == "warning":
            log.warning("%s", result)
    if errors := [str(result) for result in failed if result.check.severity == "error"]:
        raise DataError("quality checks failed: " + "; ".join(errors))


def _due(connection: Connection, contract: Contract, period: Period) -> Contract:
    """Return the contract of a dataset with the checks that apply to the period."""
    if not contract.lands_any_time or not contract.checks:
        return contract
    is_known, has_arrived = one_row(
        connection,
        """
        with files as (
          select period from waybill.load_file where dataset = %(table)s and status in ('loaded', 'withdrawn')
        )
        select
          exists (select from files),
          exists (select from files where period >= %(start)s and period < %(end)s)
          or exists (
            select from waybill.change where table_name = %(table)s and day >= %(start)s and day < %(end)s
          )
        """,
        {"table": contract.table, "start": period.start, "end": period.end},
    )
    if has_arrived:
        return contract
    return replace(
        contract, checks=tuple(check for check in contract.checks if is_known and check.metric == "freshness")
    )


def check_datasets(
    connection: Connection, contracts: Collection[Contract], periods: Iterable[Period], run: Run
) -> list[CheckResult]:
    """Run and record the checks of datasets for the periods.

    Raises `DataError` if a check of severity error fails. A dataset without loaded files has no rows. Where files land
    at any time, a period for which no file of a dataset arrived is checked for freshness only. A check that asks for
    what was known before the horizon of a dataset is left out: the period cannot change any more, and earlier results
    stay. Raises `ContractError` for datasets on Spark.
    """
    for contract in contracts:
        require_warehouse(
            contract, "checks in PostgreSQL cannot read them", "Use `spark_tasks` in the DAG, which checks them, too"
        )
    with connection.transaction():
        for contract in contracts:
            ensure(connection, contract)
    results = []
    for period in periods:
        for contract in contracts:
            found, is_whole = list[CheckResult](), True
            for check in _due(connection, contract, period).checks:
                try:
                    with connection.transaction():
                        found.append(_result(connection, contract, check, period))
                except HistoryRemoved as error:
                    is_whole = False
                    log.warning("%s %s is not checked: %s", contract.table, period, error)
            if is_whole:
                forget_removed(connection, contract, period, found)
            results += found
    record(connection, results, run)
    stop_or_warn(results)
    return results
