"""The pages about incidents: the list of open and closed ones, and one with its history and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast, get_args

from psycopg import Connection

from waybill.ops.incidents import (
    Happened,
    Incident,
    State,
    closed_incidents,
    events_of,
    numbered,
    open_incidents,
    runs_of,
)
from waybill.views import catalog
from waybill.views.operations.attention import dag_of
from waybill.views.operations.problem import Action, Topic, run_page, runbook
from waybill.views.operations.runs import run_path
from waybill.views.operations.scope import Scope

STATES: Final[tuple[State, ...]] = get_args(State)
CLOSED: Final = 100
"""How many closed incidents are listed."""


@dataclass(frozen=True)
class IncidentRun:
    """A failed or late run of an incident."""

    dag_id: str
    run_id: str
    task_id: str
    failed_at: datetime
    settled_at: datetime | None
    link: Action


@dataclass(frozen=True)
class IncidentDetails:
    """An incident with its history."""

    incident: Incident
    dag: str
    """The DAG that users must be allowed to run to change it."""
    actions: tuple[Action, ...]
    events: Sequence[tuple[datetime, Happened, str, int]]
    """(time, event, run or person, number)."""
    runs: Sequence[IncidentRun]


def incident_list(connection: Connection, scope: Scope, state: State | None) -> list[Incident]:
    """Return the incidents of a scope with a state: open ones, then the newest closed ones."""
    domains = scope.incident_domains
    found = [] if state == "closed" else open_incidents(connection, domains)
    if state in (None, "closed"):
        found += closed_incidents(connection, domains, CLOSED)
    return [one for one in found if state in (None, one.state)]


def incident_details(connection: Connection, number: int) -> IncidentDetails:
    """Return an incident with its history and runs. Raises `CommandFailed` if there is none with this number."""
    incident = numbered(connection, number)
    dag = dag_of(connection, incident)
    return IncidentDetails(
        incident,
        dag,
        (runbook(cast("Topic", incident.kind), dag),),
        events_of(connection, number),
        [
            IncidentRun(dag_id, run_id, task_id, failed_at, settled_at, _link(dag_id, run_id))
            for dag_id, run_id, task_id, failed_at, settled_at in runs_of(connection, number)
        ],
    )


def _link(dag_id: str, run_id: str) -> Action:
    if catalog.domain_of(dag_id):
        return run_page(dag_id, run_id)
    return Action("airflow", "Open run", run_path(dag_id, run_id))
