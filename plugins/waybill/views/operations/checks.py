"""Results of quality checks by period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.checks import approval
from waybill.period import Period
from waybill.views import catalog
from waybill.views.operations.scope import Scope

PERIODS_CHECKED = 12
"""How many periods of each cadence are shown."""
_SEVERITIES = ("error", "warning")


@dataclass(frozen=True)
class CheckRow:
    """A check, and its result in each period of a table."""

    subject: str
    check: str
    description: str
    expected: str
    """Like `<= 0.05`."""
    cells: list[dict[str, Any] | None]
    """None for a period in which it did not run."""

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The results that failed."""
        return [cell for cell in self.cells if cell and not cell["passed"]]


@dataclass(frozen=True)
class CheckTable:
    """The results of the checks of a cadence by period."""

    cadence: str
    periods: list[Period]
    rows: list[CheckRow]
    failed: int
    """How many of these results failed."""


# Steps from check to check and from period to period in the key, so the time does not depend on the number of results.
_NEWEST = """
select r.*
from (
  with recursive kinds as (
    select d.subject, f.check_name, f.cadence
    from unnest(%(subjects)s::text[]) as d (subject)
    cross join lateral (
      select r.check_name, r.cadence
      from waybill.check_result as r
      where r.subject = d.subject
      order by r.check_name, r.cadence
      limit 1
    ) as f
    union all
    select k.subject, n.check_name, n.cadence
    from kinds as k
    cross join lateral (
      select r.check_name, r.cadence
      from waybill.check_result as r
      where r.subject = k.subject and (r.check_name, r.cadence) > (k.check_name, k.cadence)
      order by r.check_name, r.cadence
      limit 1
    ) as n
  )
  select * from kinds
) as k
cross join lateral (
  select *
  from waybill.check_result as r
  where (r.subject, r.check_name, r.cadence) = (k.subject, k.check_name, k.cadence)
  order by r.period desc
  limit %(periods)s
) as r
"""
_OF_RUN = "select * from waybill.check_result where subject = any(%(subjects)s) and run_id = %(run_id)s"
_RESULTS = """
with newest as ({newest}),
ranked as (
  select *, dense_rank() over (partition by cadence order by period desc) as place from newest
)
select subject, check_name, cadence, period, severity, observed, operator, threshold, passed
from ranked
where place <= %(periods)s
order by cadence, subject, check_name, period
"""


def checks(connection: Connection, scope: Scope) -> list[CheckTable]:
    """Return a table for each cadence: the checks, most errors first, by the newest periods, newest first."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            sql.SQL(_RESULTS).format(newest=sql.SQL(_OF_RUN if scope.run_id else _NEWEST)),
            {"subjects": scope.subjects, "run_id": scope.run_id, "periods": PERIODS_CHECKED},
        )
        .fetchall()
    )
    tables = []
    for cadence in sorted({row["cadence"] for row in rows}):
        of_cadence = [row for row in rows if row["cadence"] == cadence]
        starts = sorted({row["period"] for row in of_cadence}, reverse=True)
        by_check: dict[tuple[str, str], dict[date, dict[str, Any]]] = {}
        for row in of_cadence:
            by_check.setdefault((row["subject"], row["check_name"]), {})[row["period"]] = row
        listed = []
        for (subject, check), results in by_check.items():
            newest = results[max(results)]
            expected = f"{newest['operator']} {newest['threshold']:g}"
            cells = [results.get(start) for start in starts]
            listed.append(CheckRow(subject, check, _description(subject, check), expected, cells))
        listed.sort(key=lambda row: [-sum(cell["severity"] == kind for cell in row.failed) for kind in _SEVERITIES])
        failed = sum(not row["passed"] for row in of_cadence)
        tables.append(CheckTable(cadence, [Period.of(cadence, start) for start in starts], listed, failed))
    return tables


def _description(subject: str, check: str) -> str:
    """Return what a check of a table means, from its contract; "" for a check that the contract no longer has."""
    if check == approval.CHECK:
        return approval.DESCRIPTION
    found = (one.description for one in catalog.contracts()[subject].checks if one.name == check)
    return next(found, "").strip()
