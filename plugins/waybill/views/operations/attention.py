"""The list *Needs attention*: every open problem of a scope, the most severe and oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.ops.books import GapSummary
from waybill.ops.dead_letters import DeadLetters
from waybill.ops.incidents import Incident, open_incidents, runs_of
from waybill.views import catalog
from waybill.views.operations.anomalies import anomaly_problems
from waybill.views.operations.drift import drift_problems
from waybill.views.operations.file_problems import dead_letters, gone_files, rejected_files, rejected_periods
from waybill.views.operations.freshness import Freshness
from waybill.views.operations.overdue import overdue_raw_files
from waybill.views.operations.period_problems import (
    failed_checks,
    missing_files,
    outdated_reports,
    unbalanced_books,
    waiting_reports,
)
from waybill.views.operations.problem import Action, Problem, Topic, runbook, sentence
from waybill.views.operations.row_problems import row_problems
from waybill.views.operations.runs import RunState, run_path, run_problems
from waybill.views.operations.scope import Scope
from waybill.views.operations.stream_problems import stream_problems
from waybill.views.operations.unclassified import unclassified_columns

LISTED: Final = 100
"""How many problems are listed."""


def attention(
    connection: Connection,
    scope: Scope,
    runs: Sequence[RunState],
    letters: Iterable[DeadLetters],
    *,
    freshness: Iterable[Freshness],
    gaps: Sequence[GapSummary],
    balances: Iterable[dict[str, Any]],
) -> list[Problem]:
    """Return the open problems of a scope with their incidents. The page shows `freshness`, `gaps` and `balances`, too.

    Incidents of runs that Airflow does not list are among them.
    """
    known = {one.key: one for one in open_incidents(connection, scope.incident_domains)}
    data = [
        *data_problems(connection, scope, runs, freshness=freshness, gaps=gaps, balances=balances),
        *dead_letters(letters),
    ]
    found = [
        *_with_stopped_runs(
            [replace(one, incident=known.get(one.key)) for one in data], run_problems(connection, runs)
        ),
        *row_problems(connection, scope),
    ]
    shown = {one.incident.incident_id for one in found if one.incident}
    found += [
        _of_unlisted_runs(connection, one) for one in known.values() if one.is_of_runs and one.incident_id not in shown
    ]
    found = [replace(one, dag=dag_of(connection, one.incident)) if one.incident else one for one in found]
    return sorted(found, key=lambda one: one.order)


def _with_stopped_runs(data: Iterable[Problem], runs: Sequence[Problem]) -> Iterator[Problem]:
    """Return problems of data and of runs; runs that a problem of data stopped are a part of its line."""
    of_incident = {one.incident.incident_id: one for one in runs if one.incident}
    for one in data:
        stopped = of_incident.pop(one.incident.incident_id, None) if one.incident else None
        yield replace(one, actions=(stopped.actions[0], *one.actions), stopped=stopped.number) if stopped else one
    yield from (one for one in runs if one.incident is None or one.incident.incident_id in of_incident)


def _of_unlisted_runs(connection: Connection, incident: Incident) -> Problem:
    dag_id, run_id, *_ = runs_of(connection, incident.incident_id)[0]
    topic = cast("Topic", incident.kind)
    return Problem(
        "error",
        "runs",
        incident.what,
        incident.opened_at,
        sentence(incident.cause),
        (Action("airflow", "Open run", run_path(dag_id, run_id)), runbook(topic, dag_id)),
        number=incident.number,
        topic=topic,
        key=incident.key,
        incident=incident,
    )


def dag_of(connection: Connection, incident: Incident) -> str:
    """Return the DAG that users must be allowed to run to change an incident: that of its domain, or of its runs."""
    if incident.domain in catalog.domains():
        return load_manifest(incident.domain).dag
    return next((dag_id for dag_id, *_ in runs_of(connection, incident.incident_id)), "")


def data_problems(
    connection: Connection,
    scope: Scope,
    runs: Sequence[RunState] = (),
    *,
    freshness: Iterable[Freshness],
    gaps: Sequence[GapSummary],
    balances: Iterable[dict[str, Any]],
    limit: int = LISTED,
) -> list[Problem]:
    """Return the open problems of files, periods, values and streams. `runs` tell which reports can be approved now.

    `limit` is how many deleted files, failed checks, anomalies and changes of columns are read.
    """
    return [
        *rejected_files(connection, scope),
        *gone_files(connection, scope, limit),
        *missing_files(scope, freshness, gaps, rejected_periods(connection, scope)),
        *unbalanced_books(balances),
        *failed_checks(connection, scope, limit),
        *waiting_reports(connection, scope, runs),
        *outdated_reports(connection, scope, gaps),
        *anomaly_problems(connection, scope, limit),
        *drift_problems(connection, scope, limit),
        *unclassified_columns(connection, scope),
        *overdue_raw_files(connection, scope),
        *stream_problems(connection, scope),
    ]
