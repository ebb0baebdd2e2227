"""The checks of datasets on Spark: their SQL, which the job runs, and their results, which are recorded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg import Connection

from waybill.checks import quality
from waybill.contracts import Check, Contract
from waybill.errors import DataError
from waybill.lakehouse.columns import quoted
from waybill.lakehouse.exchange import CheckQuery, ComputedCheck
from waybill.period import Period
from waybill.run import Run


def queries_of(contracts: Iterable[Contract], periods: Iterable[Period]) -> list[CheckQuery]:
    """Return the checks of datasets for periods, as the job runs them."""
    return [
        CheckQuery(
            dataset=contract.name,
            check=check.name,
            cadence=period.cadence,
            period=period.start,
            text=check.query or metric_sql(contract, check),
        )
        for period in periods
        for contract in contracts
        for check in contract.checks
    ]


_DUE = """
select
from unnest(%(subjects)s::text[], %(names)s::text[]) as c (subject, check_name)
left join waybill.check_result as r
  on (r.subject, r.check_name, r.cadence, r.period) = (c.subject, c.check_name, %(cadence)s, %(start)s)
where r.passed is null or (r.severity = 'error' and not r.passed)
  or r.checked_at < (
    select max(f.loaded_at) from waybill.load_file as f where f.dataset = c.subject and f.period <= %(start)s
  )
  or r.checked_at < (select max(k.applied_at) from waybill.contract as k where k.dataset = c.subject)
limit 1
"""


def checks_due(connection: Connection, contracts: Iterable[Contract], period: Period) -> bool:
    """Return whether a check of a period has not run since the last load of its dataset and its last contract.

    A check of severity error that failed is repeated until it passes.
    """
    checks = [(contract.table, check.name) for contract in contracts for check in contract.checks]
    values = {
        "subjects": [table for table, _ in checks],
        "names": [name for _, name in checks],
        "cadence": period.cadence,
        "start": period.start,
    }
    return connection.execute(_DUE, values).fetchone() is not None


def metric_sql(contract: Contract, check: Check) -> str:
    """Return the SQL of a check that has a metric instead of SQL, in Spark's dialect.

    Its rows are those of the period that are known at the period's end.
    """
    table = f"{quoted(contract.domain)}.{quoted(f'{contract.name}_as_of')}"
    if check.metric == "freshness":
        newest = f"max({quoted(check.columns[0])})"
        if not contract.has_instants(check.columns[0]):  # a date counts from its start
            newest = f"to_utc_timestamp({newest}, :timezone)"
        age = f"unix_micros(:ends_at) - unix_micros({newest})"
        return f"select round(cast({age} as decimal(20, 0)) / 3600000000, 2) from {table}"
    assert contract.period_column
    has_instants = contract.has_instants(contract.period_column)
    first, last = ("starts_at", "ends_at") if has_instants else ("period_start", "period_end")
    column = quoted(contract.period_column)
    rows = f"{table} where {column} >= :{first} and {column} < :{last}"
    columns = [quoted(name) for name in check.columns]
    count = found = "count(*)"
    if check.metric == "nullValues":
        found = f"count_if({' or '.join(f'{name} is null' for name in columns)})"
    elif check.metric == "duplicateValues":
        names = ", ".join(columns)
        rows = f"(select {names}, count(*) as _rows from {rows} group by {names})"
        count = "sum(_rows)"
        found = f"coalesce(sum(if({' and '.join(f'{name} is not null' for name in columns)}, _rows - 1, 0)), 0)"
    if check.is_percent:
        found = f"coalesce(round(100.0 * {found} / nullif({count}, 0), 4), 0)"
    return f"select {found} from {rows}"


def record_checks(
    connection: Connection,
    contracts: Iterable[Contract],
    computed: Iterable[ComputedCheck],
    run: Run,
    requested_at: datetime,
) -> None:
    """Record the results of the checks of datasets as of the time of their request: what was loaded later is unchecked.

    Raises `DataError` if the SQL of a check failed, or if a check of severity error does not pass.
    """
    declared = {(contract.name, check.name): (contract, check) for contract in contracts for check in contract.checks}
    results: dict[tuple[str, Period], list[quality.CheckResult]] = {}
    failures = []
    for one in computed:
        contract, check = declared.get((one.dataset, one.check), (None, None))
        if contract is None or check is None:  # the contract has changed since the request
            continue
        period = Period.of(one.cadence, one.period)
        if one.error:
            failures.append(f"the check {check.name} of {contract.table} {period}: {one.error}")
        else:
            result = quality.CheckResult(contract.table, check, period, one.observed)
            results.setdefault((contract.name, period), []).append(result)
    by_name = {contract.name: contract for contract, _ in declared.values()}
    with connection.transaction():
        for (name, period), found in results.items():
            quality.forget_removed(connection, by_name[name], period, found)
            quality.record(connection, found, run, requested_at)
    if failures:
        raise DataError("; ".join(failures))
    quality.stop_or_warn([result for found in results.values() for result in found])
