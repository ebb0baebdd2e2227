"""Find the days of derived tables that wait for a build, so that feature views which read them wait, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Final

from psycopg import Connection

from waybill.contracts import Contract
from waybill.contracts.odcs import load_derived
from waybill.derived.refresh import (
    Derived,
    derived_inputs,
    feature_tables,
    out_of_date,
    stale_periods,
    unseen_changes,
)
from waybill.period import ALL_TIME, Period


@dataclass(frozen=True)
class Waiting:
    """Days of a derived table that wait for a build, as another table reads them."""

    table: str
    first: date
    end: date
    """The day after the last one."""


def waiting_inputs(connection: Connection, domain: str, table: Derived, every: Mapping[str, Derived]) -> list[Waiting]:
    """Return the days of the derived tables that a feature view reads, also through others, that wait for a build.

    `every` has all derived tables of the domain, whose reports are current. A dimension that waits counts only if the
    view names it: a table that reads it waits itself for days that changed.
    """
    stale = cache(lambda name: stale_periods(connection, domain, every[name]))  # several tables may read the same one

    def of(reader: Derived, is_named: bool) -> list[Waiting]:
        found: list[Waiting] = []
        for one in (every[name] for name in reader.inputs if name in every):
            name, contract = one.contract.table, one.contract
            for period in stale(name):
                if period is not ALL_TIME:
                    found.append(Waiting(name, period.start, period.end))
                elif is_named and unseen_changes(connection, one, period) is not None:
                    found.append(Waiting(name, date.min, date.max))
            found += [_read_by(contract, inner) for inner in of(one, is_named=False)]
        return found

    return of(table, is_named=True)


def waiting_as_of(connection: Connection, domain: str, table: Derived, periods: Iterable[Period]) -> list[Waiting]:
    """Return the same for a domain whose reports are as of the end of a period.

    These are the periods of reports and other feature views that are out of date, and those among `periods` that were
    never built.
    """
    views = {one.contract.table: one for one in feature_tables(domain)}
    contracts = load_derived(domain)

    def of(reader: Derived, wanted: Iterable[Period]) -> list[Waiting]:
        found: list[Waiting] = []
        for name in derived_inputs(domain, reader):
            contract = contracts[name]
            query = "select period from waybill.publication where report = %s and cadence = %s"
            rows = connection.execute(query, (name, contract.cadence)).fetchall()
            built = [Period.of(contract.cadence, start) for (start,) in rows]
            missing = {one for one in wanted if one.cadence == contract.cadence}.difference(built)
            outdated = {period for _, period in out_of_date(connection, domain, built, name, with_features=True)}
            found += [Waiting(name, one.start, one.end) for one in sorted(missing | outdated)]
            if name in views:
                found += [_read_by(contract, inner) for inner in of(views[name], ())]
        return found

    return of(table, periods)


_LONGEST: Final = {"day": 1, "week": 7, "month": 31}


def _read_by(contract: Contract, waiting: Waiting) -> Waiting:
    """Return the days of a derived table whose rows rest on days that wait for a build."""
    longest = max(_LONGEST.get(cadence, 0) for cadence in contract.cadences)
    if contract.days_before is None or not longest or date.max in (waiting.first, waiting.end):
        return Waiting(waiting.table, date.min, date.max)
    return Waiting(
        waiting.table,
        waiting.first - timedelta(days=contract.days_after + longest - 1),
        waiting.end + timedelta(days=contract.days_before + longest - 1),
    )
