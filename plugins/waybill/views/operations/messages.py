"""The alerts of runs: which are open, and what settled the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import dict_row

from waybill.checks import approval
from waybill.ops import alert_delivery
from waybill.ops.incidents import Incident, incidents_of_runs
from waybill.views import catalog
from waybill.views.operations.problem import Action, run_page, runbook
from waybill.views.operations.runs import RunState, run_path, successor
from waybill.views.operations.scope import Scope

LISTED: Final = 10
"""How many alerts are listed."""


@dataclass(frozen=True)
class AlertLine:
    """An alert of a run."""

    kind: str
    message: str
    raised_at: datetime
    deliveries: list[str]
    is_open: bool
    outcome: str
    """What settled it, or what it waits for."""
    actions: tuple[Action, ...]


def alerts(connection: Connection, scope: Scope, runs: Sequence[RunState]) -> list[AlertLine]:
    """Return the newest alerts of the DAGs of a scope, with the deliveries of each. `runs` tell which are settled."""
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(
            "select dag_id, run_id, kind, message, raised_at from waybill.alert "
            "where dag_id = any(%(dags)s) and (%(run_id)s::text is null or run_id = %(run_id)s) "
            "and kind <> 'success' order by raised_at desc, dag_id, run_id, kind limit %(limit)s",
            {"dags": scope.dags, "run_id": scope.run_id, "limit": LISTED},
        )
        .fetchall()
    )
    states = alert_delivery.states(connection, [(row["dag_id"], row["run_id"], row["kind"]) for row in rows])
    incidents = incidents_of_runs(connection, [(row["dag_id"], row["run_id"]) for row in rows])
    waiting = _waiting_runs(connection, scope) if any(row["kind"] == "approval" for row in rows) else set()
    return [
        _line(
            row,
            states[row["dag_id"], row["run_id"], row["kind"]],
            runs,
            incidents.get((row["dag_id"], row["run_id"])),
            is_waiting=row["run_id"] in waiting,
            links=() if scope.run_id else (run_page(row["dag_id"], row["run_id"]),),
        )
        for row in rows
    ]


def _waiting_runs(connection: Connection, scope: Scope) -> set[str | None]:
    """Return the runs that wait for an approval."""
    return {
        one.run_id
        for domain in scope.domains
        for one in approval.held(connection, catalog.reports(domain).values())
        if not one.rejected_by
    }


def _line(
    row: dict[str, Any],
    deliveries: list[str],
    runs: Sequence[RunState],
    incident: Incident | None,
    *,
    is_waiting: bool,
    links: tuple[Action, ...],
) -> AlertLine:
    dag_id, run_id = row["dag_id"], row["run_id"]
    kind, _, _ = row["kind"].partition(" ")  # a number follows if the run has several alerts of the kind
    run = next((one for one in runs if (one.dag_id, one.run_id) == (dag_id, run_id)), None)
    if kind in _TOLD:
        is_open, outcome = False, _TOLD[kind]
    elif kind == "approval":
        is_open, outcome = is_waiting, "waits for an answer" if is_waiting else "answered"
    else:
        is_open, outcome = _state(kind, run, runs, incident)
    guide = Action("page", "Incidents", "incidents.html") if kind == "incidents" else runbook(kind, dag_id)
    return AlertLine(
        kind,
        row["message"],
        row["raised_at"],
        deliveries,
        is_open,
        outcome,
        (Action("airflow", "Open run", run_path(dag_id, run_id)), *links, guide),
    )


_TOLD: Final = {
    "warning": "for information: the rows are loaded",
    "incidents": "for information: see the incidents",
}
"""The outcome of alerts that nothing settles."""


def _state(kind: str, run: RunState | None, runs: Sequence[RunState], incident: Incident | None) -> tuple[bool, str]:
    """Return whether an alert about a failed or late run is open, and its outcome."""
    later = run if run and run.state == "success" else successor(run, runs) if run else None
    if later is not None:
        return False, f"recovered: the run {later.run_id} succeeded{_at(later.ended_at)}"
    if incident is not None and incident.closed_at:
        return False, f"incident {incident.incident_id} was closed by {incident.closed_by}{_at(incident.closed_at)}"
    if run is None:
        return incident is not None, "Airflow does not have the run any more"
    if run.state == "failed":
        return kind == "failure", f"the run failed{_at(run.ended_at)}"
    return True, f"the run is {run.state}"


def _at(moment: datetime | None) -> str:
    return f" at {moment:%Y-%m-%d %H:%M}" if moment else ""
