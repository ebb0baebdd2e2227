"""The later runs that checked or built the periods of a run again: they replaced its results."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

from psycopg import Connection
from psycopg.rows import class_row

from waybill.errors import DataError
from waybill.period import Period
from waybill.views import catalog
from waybill.views.operations.runs import RunState
from waybill.views.operations.scope import Scope

LISTED: Final = 10
"""How many later runs are listed."""
_PERIODS: Final = 100


@dataclass(frozen=True)
class Replacement:
    """The results of a later run for the periods of a run."""

    what: Literal["checks", "reports"]
    run_id: str
    number: int
    """How many results of checks, or periods of reports."""
    at: datetime


_REPLACED = """
with periods as (
  select * from unnest(%(cadences)s::text[], %(starts)s::date[]) as p (cadence, period)
)
select 'checks' as what, r.run_id, count(*)::integer as number, max(r.checked_at) as at
from waybill.check_result as r
inner join periods using (cadence, period)
where r.subject = any(%(subjects)s) and r.run_id <> %(run_id)s and r.checked_at > %(since)s
group by r.run_id
union all
select 'reports', p.run_id, count(*)::integer, max(p.built_at)
from waybill.publication as p
inner join periods using (cadence, period)
where p.report = any(%(subjects)s) and p.run_id <> %(run_id)s and p.built_at > %(since)s
group by p.run_id
order by at desc, run_id
limit %(limit)s
"""


def replacements(connection: Connection, scope: Scope, run: RunState | None) -> list[Replacement]:
    """Return the later results for the periods of the run of a scope, newest first, by run.

    The warehouse keeps only the newest result of each check and report. The periods of a run are those of the files
    that it loaded, and the one that it was started for.
    """
    loaded, since = _loaded(connection, scope)
    since = run.started_at if run and run.started_at else since
    periods = {(catalog.contracts()[dataset].cadence, start) for dataset, start in loaded}
    if run and run.period:
        with contextlib.suppress(DataError):
            named = Period.named(run.period)
            periods.add((named.cadence, named.start))
    if not periods or since is None:
        return []
    listed = sorted(periods)
    parameters = {
        "cadences": [cadence for cadence, _ in listed],
        "starts": [start for _, start in listed],
        "subjects": scope.subjects,
        "run_id": scope.run_id,
        "since": since,
        "limit": LISTED,
    }
    return connection.cursor(row_factory=class_row(Replacement)).execute(_REPLACED, parameters).fetchall()


def _loaded(connection: Connection, scope: Scope) -> tuple[list[tuple[str, date]], datetime | None]:
    """Return (the datasets and periods of the newest files that the run loaded, when it loaded the first)."""
    rows: list[tuple[Any, ...]] = connection.execute(
        """
        select dataset, period, min(loaded_at)
        from waybill.load_file
        where run_id = %s and dataset = any(%s)
        group by dataset, period
        order by period desc, dataset
        limit %s
        """,
        (scope.run_id, scope.datasets, _PERIODS),
    ).fetchall()
    return [(dataset, start) for dataset, start, _ in rows], min((at for *_, at in rows), default=None)
