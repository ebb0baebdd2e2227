"""Runs of the DAGs that load datasets, as Airflow knows them, and the problems of those that failed or are stuck."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from psycopg import Connection

from waybill.formatting import count
from waybill.ops.alerts import cause_of
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
    """Return a problem for each task in which runs failed, and for each run that is late or retries a task."""
    failures, active = open_failures(runs), [run for run in runs if run.state in ("queued", "running")]
    messages = _messages(connection, [*failures, *active])
    by_task: dict[tuple[str, str], list[RunState]] = {}
    for run in failures:
        task = run.failed_task
        by_task.setdefault((run.dag_id, task.task_id if task else ""), []).append(run)
    found = [_failure(task_id, failed, messages) for (_, task_id), failed in by_task.items()]
    for run in active:
        retried = next((task for task in run.tasks if task.state == "up_for_retry"), None)
        if late := messages.get((run.dag_id, run.run_id, "deadline")):
            found.append(_late(run, *late))
        elif retried:
            found.append(_retried(run, retried))
    return found


def _failure(
    task_id: str, failed: Sequence[RunState], messages: dict[tuple[str, str, str], tuple[datetime, str]]
) -> Problem:
    """Return the problem of runs of a DAG that failed in the same task, newest first."""
    newest, oldest = failed[0], failed[-1]
    since, _ = messages.get((oldest.dag_id, oldest.run_id, "failure"), (oldest.ended_at, ""))
    _, message = messages.get((newest.dag_id, newest.run_id, "failure"), (None, ""))
    place = f" in {task_id}" if task_id else ""
    if len(failed) == 1:
        what = f"{newest.title} failed{place}"
    else:
        periods = sorted({run.period for run in failed if run.period})
        span = f" ({periods[0]} to {periods[-1]})" if len(periods) > 1 else f" ({periods[0]})" if periods else ""
        what = f"{newest.dag_id}: {count(len(failed), 'run')}{span} failed{place}"
    path = task_path(newest.dag_id, newest.run_id, task_id) if task_id else run_path(newest.dag_id, newest.run_id)
    return Problem(
        "error",
        "runs",
        what,
        since,
        sentence(cause_of(message)) or "Airflow recorded no cause. The log has it.",
        (
            Action("airflow", "Open task" if task_id else "Open run", path),
            run_page(newest.dag_id, newest.run_id),
            runbook("failure", newest.dag_id),
        ),
    )


def _late(run: RunState, since: datetime, message: str) -> Problem:
    waiting = ", ".join(f"{task.task_id} ({task.state})" for task in run.tasks[:3])
    _, _, after = message.partition("\n")[0].partition("has not finished ")
    return Problem(
        "error",
        "runs",
        f"{run.title} is late",
        since,
        f"It has not finished {after or 'in time.'} " + (f"Open tasks: {waiting}." if waiting else "No task is open."),
        (
            Action("airflow", "Open run", run_path(run.dag_id, run.run_id)),
            run_page(run.dag_id, run.run_id),
            runbook("deadline", run.dag_id),
        ),
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


def _messages(connection: Connection, runs: Sequence[RunState]) -> dict[tuple[str, str, str], tuple[datetime, str]]:
    """Return (when, text) of the messages about failures and deadlines of runs, by DAG, run and kind."""
    rows = connection.execute(
        "select dag_id, run_id, kind, raised_at, message from waybill.alert "
        "where kind in ('failure', 'deadline') and (dag_id, run_id) in (select * from unnest(%s::text[], %s::text[]))",
        ([run.dag_id for run in runs], [run.run_id for run in runs]),
    ).fetchall()
    return {(dag_id, run_id, kind): (raised_at, message) for dag_id, run_id, kind, raised_at, message in rows}
