"""Alerts and success messages of runs, sent over each channel that has an Airflow connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowNotFoundException

from waybill.operators.channels import CHANNELS, describe_error, was_rejected
from waybill.settings import settings

if TYPE_CHECKING:
    from psycopg import Connection as WarehouseConnection

    from waybill.checks.approval import Content
    from waybill.ops.alert_delivery import Alert, Delivery

log = logging.getLogger(__name__)


_SECONDS = 15
"""Time limit for sending. Airflow kills a task's process 20 seconds after the task ends (`task_success_overtime`) and
treats that as a failure."""

_Connections = dict[str, Connection | None]
"""The connection of each configured channel; None if it cannot be read."""


def _configured() -> _Connections:
    found: _Connections = {}
    for conn_id in CHANNELS:
        try:
            found[conn_id] = Connection.get(conn_id)
        except AirflowNotFoundException:
            continue
        except Exception as error:
            log.error("the connection %s cannot be read: %s", conn_id, describe_error(error))
            found[conn_id] = None
    return found


def _alert_once(dag_id: str, run_id: str, kind: str, text: str, *, even_without_warehouse: bool) -> None:
    """Send an alert once over every channel; a channel that fails does not stop the others.

    Alerts are recorded in the warehouse, so that they are sent later over a channel that is unavailable now.
    """
    from waybill.operators.session import warehouse
    from waybill.ops import alert_delivery

    alert, found, is_recorded = (dag_id, run_id, kind), _configured(), False
    if not found:
        log.error("no channel is configured for the alert: %s", text)
    try:
        with warehouse() as connection:
            alert_delivery.record(connection, alert, text, found.keys())
            is_recorded = True
            _deliver(connection, found, alert)
    except Exception:
        log.exception("the alert could not be recorded in the warehouse")
        if even_without_warehouse and not is_recorded:
            _send_unrecorded(found, text)


def send_waiting() -> None:
    """Send alerts that wait because a channel was unavailable. Raises no errors."""
    from waybill.operators.session import warehouse
    from waybill.ops import alert_delivery

    try:
        with warehouse() as connection:
            if alert_delivery.is_any_waiting(connection):
                _deliver(connection, _configured(), None)
    except Exception:
        log.exception("waiting alerts could not be sent")


def _deliver(warehouse: WarehouseConnection, found: _Connections, alert: Alert | None) -> None:
    """Send an alert and then other waiting alerts over each channel; channels that failed recently come last."""
    from waybill.ops import alert_delivery

    until = time.monotonic() + _SECONDS
    failing = alert_delivery.failing_channels(warehouse)
    for channel in sorted(found, key=lambda one: one in failing):
        waiting = alert_delivery.waiting(warehouse, channel, alert)
        if not waiting:
            continue
        connection = found[channel]
        if connection is None or _too_late(until, settings().alert_connect_seconds + settings().alert_read_seconds):
            log.warning("alerts over %s wait until the next run", channel)
        elif first := alert_delivery.lease(warehouse, waiting[0], channel):
            _send_all(warehouse, connection, first, waiting[1:], until)


def _too_late(until: float, seconds: float) -> bool:
    return time.monotonic() + seconds > until


def _send_all(
    warehouse: WarehouseConnection,
    connection: Connection,
    first: Delivery,
    others: Sequence[Alert],
    until: float,
) -> None:
    """Send alerts over a channel one by one, until one fails or the time is up."""
    from waybill.ops import alert_delivery

    channel, may_be_sent = first.channel, False
    current: Delivery | None = first
    try:
        with CHANNELS[channel](connection) as send:
            for alert in (None, *others):
                if alert is not None and not _too_late(until, settings().alert_read_seconds):
                    current = alert_delivery.lease(warehouse, alert, channel)
                if current is None or not alert_delivery.start_sending(warehouse, current):
                    continue
                may_be_sent = True
                send(current.message.partition("\n")[0], _text(current))
                alert_delivery.record_sent(warehouse, current)
                current, may_be_sent = None, False
    except Exception as error:
        reason = describe_error(error)
        log.error("the alert could not be sent over %s: %s", channel, reason)
        if current is not None:
            is_unknown = may_be_sent and not was_rejected(error)
            alert_delivery.record_failed(warehouse, current, reason, may_be_sent=is_unknown)


def _text(delivery: Delivery) -> str:
    if not delivery.is_late:
        return delivery.message
    return f"{delivery.message}\nSent late: the alert was raised at {delivery.raised_at:%Y-%m-%d %H:%M %Z}."


def _send_unrecorded(found: _Connections, text: str) -> None:
    """Send an alert once over every channel, without recording it."""
    until = time.monotonic() + _SECONDS
    for channel, connection in found.items():
        if connection is None or _too_late(until, 0):
            log.error("not sent over %s, because the connection is unreadable or the time is up: %s", channel, text)
            continue
        try:
            with CHANNELS[channel](connection) as send:
                send(text.partition("\n")[0], text)
        except Exception as error:
            log.error("the alert could not be sent over %s: %s", channel, describe_error(error))


def _title(dag_id: str, partition_key: str | None, conf: Mapping[str, Any] | None) -> str:
    """Return the DAG and the period of its run, if that is known."""
    conf = conf or {}
    return f"{dag_id} {partition_key or conf.get('month') or conf.get('day') or ''}".strip()


def _run(context: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the ids of a task's DAG and run, and the beginning of their messages."""
    dag_id, run = context["dag"].dag_id, context.get("dag_run")
    title = _title(dag_id, getattr(run, "partition_key", None), getattr(run, "conf", None))
    return dag_id, context["run_id"], title


def _alert_failure(context: Mapping[str, Any], *, even_without_warehouse: bool) -> None:
    from waybill.ops.alerts import failure_text

    dag_id, run_id, title = _run(context)
    task = context.get("ti")
    cause = context.get("exception") or context.get("reason")
    task_id, url = (getattr(task, name, None) for name in ("task_id", "log_url"))
    text = failure_text(title, run_id, task_id, str(cause) if cause else None, url)
    _alert_once(dag_id, run_id, "failure", text, even_without_warehouse=even_without_warehouse)


def alert_task_failure(context: Mapping[str, Any]) -> None:
    """Alert that a task has failed after its last retry: the task knows the cause."""
    _alert_failure(context, even_without_warehouse=False)


def alert_failure(context: Mapping[str, Any]) -> None:
    """Alert that a run has failed, if no task could do so, and also if the warehouse is unavailable."""
    _alert_failure(context, even_without_warehouse=True)


def alert_approval(context: Mapping[str, Any], waiting: Sequence[Content]) -> None:
    """Alert that a run waits for an approval."""
    from waybill.ops.alerts import approval_text

    dag_id, run_id, title = _run(context)
    # Derived from the address of the log: Airflow's own link to this page omits the path prefix of the deployment.
    url = f"{context['ti'].log_url.partition('?')[0]}/required_actions"
    text = approval_text(title, run_id, waiting, url)
    _alert_once(dag_id, run_id, "approval", text, even_without_warehouse=True)


def alert_anomalies(context: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Alert about the anomalies that a run found."""
    from waybill.ops.alerts import anomaly_text

    dag_id, run_id, title = _run(context)
    text = anomaly_text(title, run_id, lines, context["ti"].log_url)
    _alert_once(dag_id, run_id, "anomaly", text, even_without_warehouse=False)


def alert_drift(context: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Alert about the schema drift that a run found."""
    from waybill.ops.alerts import drift_text

    dag_id, run_id, title = _run(context)
    text = drift_text(title, run_id, lines, context["ti"].log_url)
    _alert_once(dag_id, run_id, "drift", text, even_without_warehouse=False)


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

        if not _notify_of_run(context, domain, "success", alerts.success_text):
            send_waiting()

    return notify


def _notify_of_run(
    context: Mapping[str, Any], domain: str, kind: str, text_of: Callable[[Any, str, str, str, str | None], str | None]
) -> bool:
    """Send the message about a run that `text_of` reads from the warehouse; False if there is none."""
    from waybill.operators.session import warehouse

    dag_id, run_id, title = _run(context)
    url = getattr(context.get("ti"), "log_url", None)
    try:
        with warehouse() as connection:
            text = text_of(connection, domain, title, run_id, url)
    except Exception:
        log.exception("the changes of the run %s of %s could not be read", run_id, dag_id)
        return False
    if text is None:
        return False
    _alert_once(dag_id, run_id, kind, text, even_without_warehouse=False)
    return True


def alert_deadline(after: str, context: Mapping[str, Any]) -> None:
    """Alert that a run is late, unless it has ended."""
    from waybill.ops.alerts import deadline_text

    run = context["dag_run"]
    if run["state"] in ("success", "failed"):  # Airflow keeps the deadline of a failed run
        log.info("%s: the run %s has ended, so it is not late", run["dag_id"], run["dag_run_id"])
        return
    title = _title(run["dag_id"], run.get("partition_key"), run.get("conf"))
    text = deadline_text(title, run["dag_run_id"], after)
    _alert_once(run["dag_id"], run["dag_run_id"], "deadline", text, even_without_warehouse=True)


def deadline_alert(hours: float) -> DeadlineAlert:
    """Return a deadline that alerts if a run has not finished so many hours after it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        # Seconds: Airflow 3.3 also accepts a timedelta, but then cannot clear the tasks of the run.
        interval=hours * 3600,  # type: ignore[arg-type]
        name=f"{hours:g} hours after its start",
        callback=SyncCallback(alert_deadline, kwargs={"after": f"{hours:g} hours after its start"}),
    )
