"""Runs of the DAGs that load datasets, as Airflow knows them, and the problems of those that failed or are stuck."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

from psycopg import Connection

from waybill.formatting import count
from waybill.ops.alerts import cause_of
from waybill.ops.incidents import Incident, incidents_of_runs
from waybill.views.operations.problem import Action, Problem, run_page, runbook, sentence

NEWEST = 200
"""How many of the newest runs of a DAG are examined."""


@dataclass(frozen=True)
class TaskState:
    """A task of a run that failed, or has not ended."""

    task_id: str
    state: str
    tries: int
    max_tries: int
    """How many tries it has in all."""

    @property
    def asks(self) -> bool:
        """Whether it waits for the answer to a question."""
        return self.state == "awaiting_input"


@dataclass(frozen=True)
class RunState:
    """A run of a DAG."""

    dag_id: str
    run_id: str
    state: str
    """`queued`, `running`, `success` or `failed`."""
    period: str | None
    """The key of the period that it was started for, if it is known before it runs."""
    queued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    tasks: tuple[TaskState, ...] = ()
    """Its failed tasks, and those that are retried or wait."""

    @property
    def failed_task(self) -> TaskState | None:
        """The first failed task; None if none failed."""
        return next((task for task in self.tasks if task.state == "failed"), None)

    @property
    def title(self) -> str:
        """The DAG and the period."""
        return f"{self.dag_id} {self.period or ''}".strip()


FindRuns = Callable[[Sequence[str], str | None], Sequence[RunState]]
"""Returns the newest runs of DAGs, newest first: 200 of each DAG; or the one run with an id."""


def task_path(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the path in Airflow of a task of a run."""
    return f"{run_path(dag_id, run_id)}/tasks/{quote(task_id, safe='')}"


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path in Airflow of a run."""
    return f"dags/{dag_id}/runs/{quote(run_id, safe='')}"


def answer_path(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the path in Airflow's API that takes the answer to the required action of a task."""
    run = quote(run_id, safe="")
    return f"api/v2/dags/{dag_id}/dagRuns/{run}/taskInstances/{quote(task_id, safe='')}/-1/hitlDetails"


def successor(run: RunState, runs: Iterable[RunState]) -> RunState | None:
    """Return the first later successful run that did the work of a run: of its period, or any if that is unknown."""
    later = [
        one
        for one in runs
        if one.dag_id == run.dag_id and one.state == "success" and one.queued_at > run.queued_at
        if run.period in (None, one.period)
    ]
    return min(later, key=lambda one: one.queued_at, default=None)


def open_failures(runs: Sequence[RunState]) -> list[RunState]:
    """Return the failed runs whose work no later run has done, newest first."""
    failed = [run for run in runs if run.state == "failed" and successor(run, runs) is None]
    return sorted(failed, key=lambda one: one.queued_at, reverse=True)


def run_problems(connection: Connection, runs: Sequence[RunState]) -> list[Problem]:
    """Return a problem for each cause of failed or late runs, and for each run that retries a task.

    Runs with an open incident share its line; others share a line if they failed in the same task. Runs whose incident
    is closed are left out.
    """
    failures, active = open_failures(runs), [run for run in runs if run.state in ("queued", "running")]
    messages = _messages(connection, [*failures, *active])
    late = [run for run in active if (run.dag_id, run.run_id, "deadline") in messages]
    known = incidents_of_runs(connection, [(run.dag_id, run.run_id) for run in (*failures, *late)])
    return [
        *(_of_incident(_failure(failed, messages), incident) for incident, failed in _by_cause(failures, known)),
        *(replace(_late(waiting, messages), incident=incident) for incident, waiting in _by_cause(late, known)),
        *(
            _retried(run, task)
            for run in active
            if run not in late
            if (task := next((task for task in run.tasks if task.state == "up_for_retry"), None))
        ),
    ]


def _of_incident(problem: Problem, incident: Incident | None) -> Problem:
    """Return the problem of failed runs with its incident, which knows the newest cause."""
    is_own = incident is not None and incident.kind == "failure"
    return replace(problem, incident=incident, cause=sentence(incident.cause) if incident and is_own else problem.cause)


def _by_cause(
    runs: Iterable[RunState], known: Mapping[tuple[str, str], Incident]
) -> Iterable[tuple[Incident | None, list[RunState]]]:
    """Return the runs of each open incident, and those without an incident by DAG and failed task."""
    found: dict[tuple[object, ...], tuple[Incident | None, list[RunState]]] = {}
    for run in runs:
        incident = known.get((run.dag_id, run.run_id))
        task = run.failed_task
        cause = (incident.incident_id,) if incident else (run.dag_id, task and task.task_id)
        if incident is None or incident.closed_at is None:
            found.setdefault(cause, (incident, []))[1].append(run)
    return found.values()


_Messages = Mapping[tuple[str, str, str], tuple[datetime, str]]
"""(when, text) of the messages about runs, by DAG, run and kind."""


def _failure(failed: Sequence[RunState], messages: _Messages) -> Problem:
    """Return the problem of failed runs, newest first."""
    newest, oldest = failed[0], failed[-1]
    since, _ = messages.get((oldest.dag_id, oldest.run_id, "failure"), (oldest.ended_at, ""))
    _, message = messages.get((newest.dag_id, newest.run_id, "failure"), (None, ""))
    tasks = {run.failed_task.task_id if run.failed_task else "" for run in failed}
    place = f" in {next(iter(tasks))}" if len(tasks) == 1 and tasks != {""} else ""
    return Problem(
        "error",
        "runs",
        f"{_named(failed)} failed{place}",
        since,
        sentence(cause_of(message)) or "Airflow recorded no cause. The log has it.",
        (open_task(newest), run_page(newest.dag_id, newest.run_id), runbook("failure", newest.dag_id)),
        number=len(failed),
        topic="failure",
    )


def _named(runs: Sequence[RunState]) -> str:
    """Return the DAG and the period of runs of a DAG; of several runs, their number and the range of periods."""
    if len(runs) == 1:
        return runs[0].title
    periods = sorted({run.period for run in runs if run.period})
    span = f" ({periods[0]} to {periods[-1]})" if len(periods) > 1 else f" ({periods[0]})" if periods else ""
    return f"{runs[0].dag_id}: {count(len(runs), 'run')}{span}"


def open_task(run: RunState) -> Action:
    """Return the link to the first failed task of a run, or to the run."""
    if run.failed_task is None:
        return Action("airflow", "Open run", run_path(run.dag_id, run.run_id))
    return Action("airflow", "Open task", task_path(run.dag_id, run.run_id, run.failed_task.task_id))


def _late(late: Sequence[RunState], messages: _Messages) -> Problem:
    """Return the problem of late runs of a DAG, newest first."""
    oldest = late[-1]
    since, message = messages[oldest.dag_id, oldest.run_id, "deadline"]
    waiting = ", ".join(f"{task.task_id} ({task.state})" for task in oldest.tasks[:3])
    _, _, after = message.partition("\n")[0].partition("has not finished ")
    return Problem(
        "error",
        "runs",
        f"{_named(late)} {'is' if len(late) == 1 else 'are'} late",
        since,
        f"{'It' if len(late) == 1 else 'The oldest'} has not finished {after or 'in time.'} "
        + (f"Open tasks: {waiting}." if waiting else "No task is open."),
        (
            Action("airflow", "Open run", run_path(oldest.dag_id, oldest.run_id)),
            run_page(oldest.dag_id, oldest.run_id),
            runbook("deadline", oldest.dag_id),
        ),
        number=len(late),
        topic="deadline",
    )


def _retried(run: RunState, task: TaskState) -> Problem:
    return Problem(
        "warning",
        "runs",
        f"{run.title} retries {task.task_id}",
        run.started_at,
        f"Try {task.tries} of {task.max_tries} failed. The next one follows by itself.",
        (
            Action("airflow", "Open task", task_path(run.dag_id, run.run_id, task.task_id)),
            run_page(run.dag_id, run.run_id),
            runbook("retry", run.dag_id),
        ),
    )


def _messages(connection: Connection, runs: Sequence[RunState]) -> _Messages:
    """Return the messages about failures and deadlines of runs."""
    rows = connection.execute(
        "select dag_id, run_id, kind, raised_at, message from waybill.alert "
        "where kind in ('failure', 'deadline') and (dag_id, run_id) in (select * from unnest(%s::text[], %s::text[]))",
        ([run.dag_id for run in runs], [run.run_id for run in runs]),
    ).fetchall()
    return {(dag_id, run_id, kind): (raised_at, message) for dag_id, run_id, kind, raised_at, message in rows}
