"""Files and reports that are missing or outdated."""

from __future__ import annotations

from psycopg import Connection

from waybill.ops.books import Gap, GapSummary, known_gaps, noticed_gaps, summarise
from waybill.period import Period
from waybill.views import catalog
from waybill.views.operations.scope import Scope
from waybill.warehouse.connection import one_row

PERIODS_EXPECTED = 31
"""How many of the newest periods of a domain are examined."""


def missing(connection: Connection, scope: Scope) -> list[GapSummary]:
    """Return what is missing or outdated in the newest periods of each domain.

    It equals the output of `waybill books`, without files that landed and are not loaded: the warehouse does not know
    them. Loaded files that are deleted from the bucket are listed whatever their period, once a run has noticed them.
    """
    found: list[Gap] = []
    for domain in scope.domains:
        if periods := _periods(connection, domain):
            found += known_gaps(connection, domain, periods)
        found += noticed_gaps(connection, domain)
    return summarise(found)


def _periods(connection: Connection, domain: str) -> list[Period]:
    """Return the newest periods of a domain since its first built report; none without loaded files."""
    datasets = catalog.of_schema(domain)
    first, last = one_row(
        connection,
        """
        select min(first.period), max(last.period)
        from unnest(%(datasets)s::text[]) as d (dataset)
        cross join lateral (
          select f.period from waybill.load_file as f
          where (f.dataset, f.status) = (d.dataset, 'loaded') order by f.period limit 1
        ) as first
        cross join lateral (
          select f.period from waybill.load_file as f
          where (f.dataset, f.status) = (d.dataset, 'loaded') order by f.period desc limit 1
        ) as last
        """,
        {"datasets": [contract.table for contract in datasets.values()]},
    )
    if first is None:
        return []
    (built,) = one_row(
        connection,
        "select min(period) from waybill.publication where report = any(%s)",
        ([contract.table for contract in catalog.reports(domain).values()],),
    )
    period, found = Period.of(next(iter(datasets.values())).cadence, last), list[Period]()
    while period.start >= max(first, built or first) and len(found) < PERIODS_EXPECTED:
        found.append(period)
        period = period.shift(-1)
    return found[::-1]
