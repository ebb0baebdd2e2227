"""Predict which periods of derived tables runs rebuild once files are loaded, without reading the files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TypeAlias

from psycopg import Connection

from waybill.contracts import Contract, load_domain
from waybill.contracts.domains import load_manifest
from waybill.derived.feature import is_retired
from waybill.derived.refresh import derived_tables, out_of_date, tables_as_of
from waybill.period import ALL_TIME, Period

Files: TypeAlias = Sequence[tuple[Contract, Period]]
"""The dataset and period of each file that is to be loaded."""
_Span: TypeAlias = tuple[date, date]
"""The first and the last of consecutive days."""


def affected(connection: Connection, domain: str, files: Files, periods: Sequence[Period]) -> list[tuple[str, Period]]:
    """Return (table, period) of the derived tables that are stale, or that rows of the files may change, in order.

    `periods` are those of the runs. If reports are current, each run rebuilds all stale periods; otherwise each run
    builds its own period, and later periods are returned if they were built and may be out of date afterwards.
    """
    if load_manifest(domain).semantics == "current":
        return _affected_current(connection, domain, files)
    return _affected_as_of(connection, domain, files, periods)


def _affected_current(connection: Connection, domain: str, files: Files) -> list[tuple[str, Period]]:
    datasets = [*load_domain(domain).values()]
    rows = connection.execute(
        "select distinct day from waybill.table_day where table_name = any(%s) and is_delivered",
        ([contract.table for contract in datasets],),
    ).fetchall()
    days = sorted({day for (day,) in rows} | {period.start for _, period in files})
    if not days:
        return []
    cadence = datasets[0].cadence
    between = [Period.of(cadence, days[0]), Period.of(cadence, days[-1])]
    stale = set(out_of_date(connection, domain, between, with_features=True))
    changed: dict[str, list[_Span]] = {}
    for contract, period in files:
        changed.setdefault(contract.table, []).append(_days_of_file(contract, period))
    found = []
    for table in derived_tables(domain, with_features=True):
        contract, name = table.contract, table.contract.table
        if is_retired(connection, contract):
            continue
        spans = _merged(span for one in table.inputs for span in changed.get(one, ()))
        if contract.load_mode in ("dimension", "summary"):
            periods = [ALL_TIME] if spans or (name, ALL_TIME) in stale else []
            if periods and contract.load_mode == "dimension":  # facts of later days may refer to another version
                changed[name] = [(spans[0][0] if spans else date.min, date.max)]
        else:
            first_built = _periods_of(
                contract, (period.start for dataset, period in files if dataset.table in table.datasets)
            )
            periods = sorted(
                period
                for period in _periods_of(contract, days)
                if period in first_built or (name, period) in stale or _reads(contract, period, spans)
            )
            changed[name] = [(period.start, period.start) for period in periods]
        found += [(name, period) for period in periods]
    return found


def _periods_of(contract: Contract, days: Iterable[date]) -> set[Period]:
    """Return the periods of a derived table that contain the days."""
    return {Period.of(cadence, day) for day in days for cadence in contract.cadences}


def _days_of_file(contract: Contract, period: Period) -> _Span:
    """Return the days of which a file may change rows.

    Rows that move from an earlier day change that day, too; nothing tells before the file is read.
    """
    if contract.lands_any_time:
        return date.min, date.max
    if not contract.is_merged:
        return period.start, period.start
    first = date.min if contract.lookback_periods is None else period.shift(-contract.lookback_periods).start
    return first, date.fromordinal(period.end.toordinal() - 1)


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Return the spans in order, with overlapping and adjacent ones as one."""
    found: list[_Span] = []
    for first, last in sorted(spans):
        if found and first.toordinal() <= found[-1][1].toordinal() + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _reads(contract: Contract, period: Period, spans: Iterable[_Span]) -> bool:
    """Return whether the window of a report's period has one of the days."""
    end = period.end.toordinal() + contract.days_after
    begin = 0 if contract.days_before is None else period.start.toordinal() - contract.days_before
    return any(first.toordinal() < end and last.toordinal() >= begin for first, last in spans)


def _affected_as_of(
    connection: Connection, domain: str, files: Files, periods: Sequence[Period]
) -> list[tuple[str, Period]]:
    stale = set(out_of_date(connection, domain, periods, with_features=True))
    found = []
    for contract, read, _ in tables_as_of(domain, with_features=True):
        if is_retired(connection, contract):
            continue
        first = min((period.start for dataset, period in files if dataset.table in read), default=None)
        rows = connection.execute(
            "select period from waybill.publication where report = %s and cadence = %s",
            (contract.table, contract.cadence),
        ).fetchall()
        built = {Period.of(contract.cadence, start) for (start,) in rows}
        outdated = {period for period in [*built, *periods] if first is not None and first < period.end}
        missing = {period for period in periods if period not in built}
        of_report = {period for table, period in stale if table == contract.table}
        found += [(contract.table, period) for period in sorted(outdated | missing | of_report)]
    return found
