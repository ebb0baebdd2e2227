"""What explains unusual values: missing columns of a dataset, and for a report unusual or missing files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from psycopg import Connection

from waybill.contracts import Contract, load_domain
from waybill.contracts.domains import load_manifest
from waybill.contracts.locations import domain_of, read_sql, report_files
from waybill.derived.build import known_datasets
from waybill.derived.refresh import derived_tables
from waybill.period import Period

_UNUSUAL: Final = """
select cadence, period
from waybill.anomaly
where dataset = any(%s) and settled_at is null and measure <> 'arrival'
"""
_LOADED: Final = """
select dataset, count(distinct period)
from waybill.load_file
where dataset = any(%s) and status = 'loaded' and period >= %s and period < %s
group by dataset
"""


_LACKING: Final = """
select f.period, d.column_name
from waybill.drift as d
inner join waybill.load_file as f using (dataset)
where d.dataset = %s and d.settled_at is null and d.kind in ('missing column', 'renamed column')
  and f.period = any(%s) and f.status = 'loaded' and not d.column_name = any(f.brought_columns)
"""


def lacking_columns(connection: Connection, dataset: str, periods: Sequence[Period]) -> set[tuple[date, str]]:
    """Return (first day, column) of the columns that files of periods lack, as open or accepted drift says."""
    return set(connection.execute(_LACKING, (dataset, [period.start for period in periods])).fetchall())


def inputs_of(report: Contract) -> list[Contract]:
    """Return the datasets that a report reads, also through other derived tables."""
    domain = domain_of(report.domain)
    if load_manifest(domain).semantics == "current":
        tables = {
            table for one in derived_tables(domain) if one.contract.table == report.table for table in one.datasets
        }
    else:
        texts = {path.stem: read_sql(path) for path in report_files(domain)}
        tables = {*known_datasets(domain, texts.get(report.name))}
    return [contract for contract in load_domain(domain).values() if contract.table in tables]


def explained(
    connection: Connection, report: Contract, inputs: Sequence[Contract], periods: Sequence[Period]
) -> set[Period]:
    """Return the periods of a report that datasets explain, so that one cause is one anomaly.

    These are periods whose window has an open or accepted anomaly of a dataset, and those for which a dataset that
    needs a file for each of its periods lacks one.
    """
    names = [contract.table for contract in inputs]
    unusual = [Period.of(cadence, start) for cadence, start in connection.execute(_UNUSUAL, (names,))]
    return {
        period
        for period in periods
        if any(_overlaps(report, period, one) for one in unusual) or _lacks_files(connection, inputs, period)
    }


def _overlaps(report: Contract, period: Period, other: Period) -> bool:
    first = period.start - timedelta(days=report.days_before or 0)
    return first < other.end and other.start < period.end + timedelta(days=report.days_after)


def _lacks_files(connection: Connection, inputs: Sequence[Contract], period: Period) -> bool:
    names = [contract.table for contract in inputs]
    loaded: dict[str, int] = dict(connection.execute(_LOADED, (names, period.start, period.end)).fetchall())
    for contract in inputs:
        if contract.lands_any_time:
            continue
        first = Period.of(contract.cadence, period.start)
        last = Period.of(contract.cadence, period.end - timedelta(days=1))
        needed = sum(period.covers(one) for one in first.until(last))
        if loaded.get(contract.table, 0) < needed:
            return True
    return False
