"""What one run did: its state, the files it loaded or rejected, and the reports it built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection

from waybill.checks import approval
from waybill.contracts.domains import load_manifest
from waybill.ops.alerts import cause_of
from waybill.ops.books import GapSummary
from waybill.ops.incidents import Incident, incidents_of_runs
from waybill.period import ALL_TIME, Period
from waybill.views import catalog
from waybill.views.operations.balances import balances
from waybill.views.operations.checks import CheckTable, checks
from waybill.views.operations.loads import loaded_files, rejected_files
from waybill.views.operations.messages import AlertLine, alerts
from waybill.views.operations.problem import Action, runbook
from waybill.views.operations.replaced import Replacement, replacements
from waybill.views.operations.runs import RunState, run_path, successor, task_path
from waybill.views.operations.scope import Scope, Total

BUILDS: Final = 2_000
"""How many built periods of reports are read."""


@dataclass(frozen=True)
class BuiltReport:
    """The periods of a report that a run built with the same result."""

    table: str
    result: str
    """`failed`, `waiting`, `changed` or `unchanged`."""
    periods: list[Period]
    rows: int
    published: int
    """How many of the periods this run published."""

    @property
    def listed_periods(self) -> str:
        """The periods, shortened if there are many."""
        return GapSummary(self.table, self.result, self.periods).listed_periods


@dataclass(frozen=True)
class RunReport:
    """The sections of the page of a run."""

    run: RunState | None
    """None if Airflow does not have it any more."""
    successor: RunState | None
    """A later run that succeeded for the period of this failed run."""
    cause: str
    incident: Incident | None
    """The incident of its failure or lateness."""
    actions: tuple[Action, ...]
    balances: list[dict[str, Any]]
    files: list[dict[str, Any]]
    total: Total
    rejected: list[dict[str, Any]]
    reports: list[BuiltReport]
    checks: list[CheckTable]
    replacements: list[Replacement]
    """The later runs that checked or built the same periods again."""
    alerts: list[AlertLine]

    def replaced(self, what: str) -> list[Replacement]:
        """Return the later runs that replaced the run's `checks` or `reports`."""
        return [one for one in self.replacements if one.what == what]

    def count(self, result: str) -> int:
        """Return how many periods of reports have a result."""
        return sum(len(one.periods) for one in self.reports if one.result == result)


@catalog.unchanged()
def run_report(connection: Connection, scope: Scope, runs: Sequence[RunState]) -> RunReport:
    """Return the report of the run of a scope. `runs` are the newest runs of its DAG, and the run."""
    run = next((one for one in runs if one.run_id == scope.run_id), None)
    dag_id = load_manifest(scope.domains[0]).dag
    files, total = loaded_files(connection, scope, None, 1)
    lines = alerts(connection, scope, runs)
    failure = next((one.message for one in lines if one.kind == "failure"), "")
    incidents = incidents_of_runs(connection, [(dag_id, scope.run_id)] if scope.run_id else [])
    return RunReport(
        run=run,
        successor=successor(run, runs) if run and run.state == "failed" else None,
        cause=cause_of(failure),
        incident=next(iter(incidents.values()), None),
        actions=_actions(dag_id, run),
        balances=balances(connection, scope),
        files=files,
        total=total,
        rejected=rejected_files(connection, scope, None, 1)[0],
        reports=_reports(connection, scope),
        checks=checks(connection, scope),
        replacements=replacements(connection, scope, run),
        alerts=lines,
    )


def _actions(dag_id: str, run: RunState | None) -> tuple[Action, ...]:
    if run is None:
        return (runbook("failure", dag_id),)
    task = run.failed_task or next(iter(run.tasks), None)
    guide = runbook("failure" if run.state == "failed" else "deadline", dag_id)
    if task is None:
        return Action("airflow", "Open run", run_path(dag_id, run.run_id)), guide
    return Action("airflow", "Open task", task_path(dag_id, run.run_id, task.task_id)), guide


_REPORTS = """
with built as (
  select report, cadence, period from waybill.publication where report = any(%(reports)s) and run_id = %(run_id)s
  union
  select subject, cadence, period from waybill.check_result where subject = any(%(reports)s) and run_id = %(run_id)s
  limit %(limit)s
)
select
  b.report, b.cadence, b.period,
  case
    when coalesce(c.failed, false) then 'failed'
    when coalesce(c.waits, false) then 'waiting'
    when p.run_id = %(run_id)s and exists (
      select
      from waybill.change as h
      where h.table_name = b.report and h.cadence = b.cadence and h.changed_at = p.built_at
        and (b.cadence = 'all' or h.day between b.period and b.period + 31)
    ) then 'changed'
    else 'unchanged'
  end as result,
  coalesce(p.row_count, 0) as row_count,
  coalesce(d.published_by = %(run_id)s, false) as is_published
from built as b
left join waybill.publication as p using (report, cadence, period)
left join waybill.published as d using (report, cadence, period)
left join lateral (
  select
    bool_or(not r.passed and r.severity = 'error' and r.check_name <> %(approval)s) as failed,
    bool_or(not r.passed and r.check_name = %(approval)s) as waits
  from waybill.check_result as r
  where (r.subject, r.cadence, r.period, r.run_id) = (b.report, b.cadence, b.period, %(run_id)s)
) as c on true
order by b.report, b.cadence, b.period
"""
_ORDER: Final[Mapping[str, int]] = {"failed": 0, "waiting": 1, "changed": 2, "unchanged": 3}


def _reports(connection: Connection, scope: Scope) -> list[BuiltReport]:
    """Return what the run built, unless a later run built it again: failed reports first."""
    rows = connection.execute(
        _REPORTS,
        {
            "reports": [table for table in scope.subjects if table not in scope.datasets],
            "run_id": scope.run_id,
            "approval": approval.CHECK,
            "limit": BUILDS,
        },
    ).fetchall()
    found: dict[tuple[str, str], BuiltReport] = {}
    for table, cadence, start, result, row_count, is_published in rows:
        period = ALL_TIME if cadence == "all" else Period.of(cadence, start)
        before = found.get((table, result), BuiltReport(table, result, [], 0, 0))
        found[table, result] = BuiltReport(
            table, result, [*before.periods, period], before.rows + row_count, before.published + is_published
        )
    return sorted(found.values(), key=lambda one: (_ORDER[one.result], one.table))
