"""Waits of tasks for files or people. Airflow keeps them with the task, for the measurement of the run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_SINCE, _UNTIL = "waits_since", "waited_until"


def begin_wait(context: Mapping[str, Any], since: datetime | None = None) -> None:
    """Record that the task waits from now on, or that it has waited since an instant."""
    context["ti"].xcom_push(key=_SINCE, value=(since or datetime.now(UTC)).isoformat())


def end_wait(context: Mapping[str, Any]) -> None:
    """Record that the wait of the task is over."""
    context["ti"].xcom_push(key=_UNTIL, value=datetime.now(UTC).isoformat())


def waits_of_run(context: Mapping[str, Any], ended: datetime) -> list[tuple[datetime, datetime]]:
    """Return beginning and end of each wait of a run. A wait that was not ended lasted until the end of the run.

    A task that is tried again has only the wait of its last try.
    """
    tasks = sorted(context["dag"].task_ids)
    since, until = (context["ti"].xcom_pull(task_ids=tasks, key=key, map_indexes=-1) for key in (_SINCE, _UNTIL))
    return [
        (datetime.fromisoformat(begins), datetime.fromisoformat(ends) if ends else ended)
        for begins, ends in zip(since, until, strict=True)
        if begins
    ]
