"""Messages of runs: incidents that open, escalate or close, approvals, warnings about files, and successes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from waybill.contracts.contract import ContractError
from waybill.contracts.domains import domain_of_dag
from waybill.operators.searching import now, search
from waybill.operators.sending import send
from waybill.operators.session import started_for

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.checks.approval import Content
    from waybill.ops.alerts import Message
    from waybill.ops.dead_letters import DeadLetters
    from waybill.ops.incidents import Event, FailedRun

log = logging.getLogger(__name__)


def _scope(partition_key: str | None, conf: Mapping[str, Any] | None) -> str:
    """Return the period of a run, or the parameters that limit it; empty if it does all open work."""
    conf = conf or {}
    parts = (started_for(partition_key, conf), conf.get("last_day"), conf.get("file"))
    return " ".join(str(part) for part in parts if part)


def _title(dag_id: str, partition_key: str | None, conf: Mapping[str, Any] | None) -> str:
    """Return the DAG and the period of its run, if that is known."""
    return f"{dag_id} {started_for(partition_key, conf) or ''}".strip()


def _run(context: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the ids of a task's DAG and run, and the beginning of their messages."""
    dag_id, run = context["dag"].dag_id, context.get("dag_run")
    title = _title(dag_id, getattr(run, "partition_key", None), getattr(run, "conf", None))
    return dag_id, context["run_id"], title


def _domain_of(dag_id: str) -> str:
    """Return the domain whose datasets a DAG loads; empty for other DAGs, and if a manifest is invalid."""
    try:
        return domain_of_dag(dag_id) or ""
    except ContractError:
        log.exception("the domain of %s is unknown", dag_id)
        return ""


def _is_quiet(context: Mapping[str, Any]) -> bool:
    """Return whether the run belongs to a backfill, which opens incidents without an alert."""
    return getattr(context.get("dag_run"), "run_type", None) == "backfill"


def _waits_for_files(context: Mapping[str, Any]) -> bool:
    """Return whether the task of a context waits for files to land."""
    from waybill.operators.datasets import LandedSensor

    return isinstance(getattr(context.get("ti"), "task", None), LandedSensor)


def _failed_run(context: Mapping[str, Any]) -> FailedRun:
    from waybill.ops.incidents import FailedRun

    task, run = context.get("ti"), context.get("dag_run")
    task_id, index = getattr(task, "task_id", None) or "", getattr(task, "map_index", -1)
    name = f"{task_id}[{index}]" if index is not None and index >= 0 else task_id
    scope = _scope(getattr(run, "partition_key", None), getattr(run, "conf", None))
    return FailedRun(context["dag"].dag_id, context["run_id"], name, scope)


def look_at(
    connection: Connection,
    domain: str,
    run_id: str,
    *,
    is_watch: bool = False,
    letters: Sequence[DeadLetters] | None = None,
) -> list[Event]:
    """Compare the problems of a domain's data with its incidents; return nothing if they cannot be read."""
    from waybill.views.operations.incidents import look

    try:
        with connection.transaction():
            return look(connection, domain, run_id, now(), is_watch=is_watch, letters=letters)
    except Exception:
        log.exception("the problems of %s could not be compared with its incidents", domain)
        return []


def _is_told_by(event: Event, error: BaseException | None) -> bool:
    """Return whether the error of a run names the dataset whose rejected files opened an incident."""
    kind, _, subject = event.incident.key.partition(" ")
    return event.event == "opened" and kind in ("file", "drift") and subject in str(error)


def _alert_failure(context: Mapping[str, Any], *, is_of_run: bool) -> None:
    from waybill.ops import alert_delivery
    from waybill.ops.alerts import Message, failure_text, incident_messages
    from waybill.ops.incident_updates import has_failed, is_data_error, settle_late

    dag_id, run_id, title = _run(context)
    task, error, is_quiet = context.get("ti"), context.get("exception"), _is_quiet(context)
    cause = error or context.get("reason")
    task_id, url = (getattr(task, name, None) for name in ("task_id", "log_url"))
    text = failure_text(title, run_id, task_id, str(cause) if cause else None, url)
    domain, run = _domain_of(dag_id), _failed_run(context)
    is_of_data = bool(domain) and is_data_error(error)
    if is_of_run:  # Airflow passes some task of the run
        run = replace(run, task_id="")

    def compose(connection: Connection) -> list[Message]:
        from waybill.views.operations.incidents import failed

        if is_of_run:
            settle_late(connection, dag_id, run_id)  # the failure is what people hear of
            if has_failed(connection, dag_id, run_id, getattr(context.get("dag_run"), "start_date", None)):
                return []  # a task has recorded it
        found = look_at(connection, domain, run_id) if is_of_data else []
        incident, event = failed(
            connection, domain, run, error, title, is_quiet=is_quiet, waits_for_files=_waits_for_files(context)
        )
        opened = next(
            (one for one in [*([event] if event else []), *found] if one.incident.incident_id == incident), None
        )
        is_sent = opened is not None and opened.is_alerted
        key = (dag_id, run_id, "failure")
        if alert_delivery.is_recorded(connection, key):
            # Another task of the run has failed before.
            key = (dag_id, run_id, f"failure {incident}")
        own = [Message(key, text, domain, "error", is_sent)] if is_sent or key[2] == "failure" else []
        others = [one for one in found if one is not opened and not _is_told_by(one, error)]
        return [*own, *incident_messages(dag_id, run_id, others)]

    fallback = Message((dag_id, run_id, "failure"), text, domain, "error", not is_quiet) if is_of_run else None
    send(compose, fallback)


def alert_task_failure(context: Mapping[str, Any]) -> None:
    """Record that a task has failed after its last retry, and alert unless the incident of its cause is open."""
    _alert_failure(context, is_of_run=False)


def alert_failure(context: Mapping[str, Any]) -> None:
    """Record that a run has failed, if no task could do so, and alert also if the warehouse is unavailable."""
    _alert_failure(context, is_of_run=True)


def after_each_task(context: Mapping[str, Any], _result: Any = None) -> None:
    """Settle the failures of a task that has succeeded, and say so if this closes an incident. Raises no errors.

    The last task also settles the failures of the run as a whole.
    """
    from waybill.operators.session import is_dry_run
    from waybill.ops.alerts import incident_messages
    from waybill.ops.incident_updates import settle

    task, chosen = getattr(context.get("ti"), "task", None), context["params"].get("datasets")
    if is_dry_run(context) or (chosen is not None and getattr(task, "dataset", None) not in (None, *chosen)):
        return  # it has done nothing
    run = _failed_run(context)
    names = [run.task_id, ""] if _is_last(task) else [run.task_id]
    send(
        lambda connection: incident_messages(
            run.dag_id, run.run_id, settle(connection, run.dag_id, run.scope, names, run.run_id)
        ),
        waits=False,
    )


def _is_last(task: Any) -> bool:
    """Return whether nothing but tasks without work follow a task."""
    from airflow.providers.standard.operators.empty import EmptyOperator

    return all(isinstance(one, EmptyOperator) for one in getattr(task, "downstream_list", ()))


def look_after_run(context: Mapping[str, Any], domain: str) -> None:
    """Search the data of a domain, and compare its problems with its incidents. Raises no errors."""
    from waybill.ops.alerts import incident_messages

    run = _failed_run(context)
    search(context, domain)

    def compose(connection: Connection) -> list[Message]:
        return incident_messages(run.dag_id, run.run_id, look_at(connection, domain, run.run_id))

    send(compose, waits=False)


def alert_approval(context: Mapping[str, Any], waiting: Sequence[Content]) -> None:
    """Alert that a run waits for an approval."""
    from waybill.ops.alerts import Message, approval_text, incident_messages

    dag_id, run_id, title = _run(context)
    # Derived from the address of the log: Airflow's own link to this page omits the path prefix of the deployment.
    url = f"{context['ti'].log_url.partition('?')[0]}/required_actions"
    domain = _domain_of(dag_id)
    message = Message(
        (dag_id, run_id, "approval"),
        approval_text(title, run_id, waiting, url),
        domain,
        "warning",
        not _is_quiet(context),
    )

    def compose(connection: Connection) -> list[Message]:
        found = look_at(connection, domain, run_id) if domain else []
        others = [one for one in found if one.incident.key != f"approval {dag_id} {run_id}"]
        return [message, *incident_messages(dag_id, run_id, others)]

    send(compose, message)


def notify_warnings(domain: str) -> Callable[[Mapping[str, Any]], None]:
    """Return a callback that sends, once for each run, the warnings about the files of the domain that it loaded."""

    def notify(context: Mapping[str, Any]) -> None:
        from waybill.ops import alerts

        _notify_of_run(context, domain, "warning", alerts.warning_text)

    return notify


def notify_success(domain: str) -> Callable[[Mapping[str, Any]], None]:
    """Return a callback that sends, once for each run, a success message if the run changed data of the domain."""

    def notify(context: Mapping[str, Any]) -> None:
        from waybill.ops import alerts

        _notify_of_run(context, domain, "success", alerts.success_text)

    return notify


def _notify_of_run(
    context: Mapping[str, Any],
    domain: str,
    kind: str,
    text_of: Callable[[Any, str, str, str, str | None], str | None],
) -> None:
    """Send the message about a run that `text_of` reads from the warehouse, if there is one, and waiting ones."""
    from waybill.ops.alerts import Message

    dag_id, run_id, title = _run(context)
    url = getattr(context.get("ti"), "log_url", None)

    def compose(connection: Connection) -> list[Message]:
        text = text_of(connection, domain, title, run_id, url)
        return [Message((dag_id, run_id, kind), text, domain, "warning", not _is_quiet(context))] if text else []

    send(compose)


def alert_deadline(after: str, context: Mapping[str, Any]) -> None:
    """Alert that a run is late, unless it has ended, or another run of the DAG is late already."""
    from waybill.ops.alerts import Message, deadline_text
    from waybill.ops.incident_updates import fail
    from waybill.ops.incidents import FailedRun, Found

    run = context["dag_run"]
    if run["state"] in ("success", "failed"):  # Airflow keeps the deadline of a failed run
        log.info("%s: the run %s has ended, so it is not late", run["dag_id"], run["dag_run_id"])
        return
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    title = _title(dag_id, run.get("partition_key"), run.get("conf"))
    text, domain = deadline_text(title, run_id, after), _domain_of(dag_id)
    found = Found(
        key=f"deadline {dag_id}",
        kind="deadline",
        domain=domain,
        severity="error",
        what=f"{title} is late",
        cause=f"It has not finished {after}.",
        remedy="Open the run: is a file missing, an approval pending, or a task being retried?",
    )
    late = FailedRun(dag_id, run_id, "", _scope(run.get("partition_key"), run.get("conf")))

    def compose(connection: Connection) -> list[Message]:
        _, event = fail(connection, found, late, is_quiet=run.get("run_type") == "backfill")
        return [Message((dag_id, run_id, "deadline"), text, domain, "error", event is not None and event.is_alerted)]

    send(compose, Message((dag_id, run_id, "deadline"), text, domain, "error"))


def deadline_alert(hours: float) -> DeadlineAlert:
    """Return a deadline that alerts if a run has not finished so many hours after it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        # Seconds: Airflow 3.3 also accepts a timedelta, but then cannot clear the tasks of the run.
        interval=hours * 3600,  # type: ignore[arg-type]
        name=f"{hours:g} hours after its start",
        callback=SyncCallback(alert_deadline, kwargs={"after": f"{hours:g} hours after its start"}),
    )
