"""Whether datasets arrive in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from psycopg import Connection

from waybill.contracts import Contract
from waybill.formatting import count
from waybill.period import Period
from waybill.views import catalog
from waybill.views.operations.scope import Scope


@dataclass(frozen=True)
class Freshness:
    """The newest loaded period of a dataset, and the latency that its contract declares."""

    dataset: str
    newest: Period | None
    loaded_at: datetime | None
    expected: str
    """Like `2 days after the month`."""
    late: int
    """How many periods are overdue; 0 without a declared latency, and for a domain that has no loaded file."""


def freshness(connection: Connection, scope: Scope, today: date) -> list[Freshness]:
    """Return the freshness of every dataset, the most overdue first. `today` is in the business time zone."""
    rows = connection.execute(
        """
        select d.dataset, newest.period, max(f.loaded_at)
        from unnest(%(datasets)s::text[]) as d (dataset)
        cross join lateral (
          select f.period
          from waybill.load_file as f
          where f.dataset = d.dataset and f.status = 'loaded'
          order by f.period desc
          limit 1
        ) as newest
        inner join waybill.load_file as f on (d.dataset, newest.period, 'loaded') = (f.dataset, f.period, f.status)
        group by d.dataset, newest.period
        """,
        {"datasets": scope.datasets},
    ).fetchall()
    newest = {dataset: (start, loaded_at) for dataset, start, loaded_at in rows}
    contracts = [catalog.contracts()[table] for table in scope.datasets]
    used = {contract.domain for contract in contracts if contract.table in newest}
    found = [
        _freshness(contract, newest.get(contract.table), today, is_used=contract.domain in used)
        for contract in contracts
    ]
    return sorted(found, key=lambda one: (-one.late, one.dataset))


def _freshness(contract: Contract, newest: tuple[date, datetime] | None, today: date, *, is_used: bool) -> Freshness:
    period = Period.of(contract.cadence, newest[0]) if newest else None
    late, expected = 0, "no latency declared"
    if contract.latency_days is not None:
        days = contract.latency_days
        expected = f"{count(days, 'day')} after the {contract.cadence}"
        due = Period.of(contract.cadence, today - timedelta(days=days)).shift(-1)
        if period is None:
            late = int(is_used)
        elif due > period:
            late = distance(period, due)
    return Freshness(contract.table, period, newest[1] if newest else None, expected, late)


def distance(first: Period, last: Period) -> int:
    """Return how many periods the last one is after the first one."""
    if first.cadence == "month":
        return (last.start.year - first.start.year) * 12 + last.start.month - first.start.month
    return (last.start - first.start).days // (last.end - last.start).days
