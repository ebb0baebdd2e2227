"""What is said to whom when a run fails or is late: once for a run, whatever its tries and tasks."""

from __future__ import annotations

from psycopg import Connection


def claim(connection: Connection, dag_id: str, run_id: str, kind: str, message: str) -> bool:
    """Note the alert; False if one of this kind went out for this run before.

    Send within the same transaction: another claim of the run waits for its end.
    """
    claimed = connection.execute(
        "insert into waybill.alert as a (dag_id, run_id, kind, message) values (%s, %s, %s, %s) "
        "on conflict (dag_id, run_id, kind) do update set message = excluded.message, raised_at = now() "
        "where a.channels = '{}' returning true",
        (dag_id, run_id, kind, message),
    ).fetchone()
    return claimed is not None


def note_channels(connection: Connection, dag_id: str, run_id: str, kind: str, channels: list[str]) -> None:
    """Note over which channels the alert went out."""
    connection.execute(
        "update waybill.alert set channels = %s where dag_id = %s and run_id = %s and kind = %s",
        (channels, dag_id, run_id, kind),
    )


def failure_text(title: str, run_id: str, task_id: str | None, cause: str | None, url: str | None) -> str:
    """The message of a failed run: what failed (`title` is the DAG and the period), why, and where to look."""
    lines = [f"{title}: the run {run_id} failed" + (f" in the task {task_id}." if task_id else ".")]
    if cause:
        lines.append(f"Cause: {cause}")
    lines.append("Nothing of a failed step was published; the data of earlier runs is unchanged.")
    if url:
        lines.append(f"Log: {url}")
    return "\n".join(lines)


def deadline_text(title: str, run_id: str, deadline: str) -> str:
    """The message of a run that is late."""
    return (
        f"{title}: the run {run_id} has not finished by {deadline}.\n"
        "Look whether its files have landed (the task named landed waits for them) and whether a task is being retried."
    )
