"""What is told over the channels whose Airflow connections exist, SNS, Slack or e-mail: alerts, and success."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowNotFoundException

from waybill.operators.channels import CHANNELS, in_words, was_refused
from waybill.settings import settings

if TYPE_CHECKING:
    from psycopg import Connection as WarehouseConnection

    from waybill.checks.approval import Held
    from waybill.ops.alert_delivery import Alert, Delivery

log = logging.getLogger(__name__)


_SECONDS = 15
"""How long one occasion may take. Airflow ends a task's process 20 seconds after the task (`task_success_overtime`),
and takes that for a failure that may be tried again."""

_Found = dict[str, Connection | None]
"""The channels that are configured, with their connections; None for one that could not be read."""


def _configured() -> _Found:
    found: _Found = {}
    for conn_id in CHANNELS:
        try:
            found[conn_id] = Connection.get(conn_id)
        except AirflowNotFoundException:
            continue
        except Exception as error:
            log.error("the connection %s could not be read: %s", conn_id, in_words(error))
            found[conn_id] = None
    return found


def _alert_once(dag_id: str, run_id: str, kind: str, text: str, *, even_without_warehouse: bool) -> None:
    """Send an alert over every channel that has not carried it; one that fails does not keep the others from sending.

    What is noted in the warehouse is sent once over each channel, and later if a channel is away.
    """
    from waybill.operators.session import warehouse
    from waybill.ops import alert_delivery

    alert, found, is_noted = (dag_id, run_id, kind), _configured(), False
    if not found:
        log.error("no alert channel took the alert: %s", text)
    try:
        with warehouse() as connection:
            alert_delivery.note(connection, alert, text, found.keys())
            is_noted = True
            _deliver(connection, found, alert)
    except Exception:
        log.exception("the alert could not be noted in the warehouse")
        if even_without_warehouse and not is_noted:
            _send_unnoted(found, text)


def send_waiting() -> None:
    """Send what could not be sent when it was raised, over channels that were away. Raises nothing."""
    from waybill.operators.session import warehouse
    from waybill.ops import alert_delivery

    try:
        with warehouse() as connection:
            if alert_delivery.is_any_waiting(connection):
                _deliver(connection, _configured(), None)
    except Exception:
        log.exception("alerts that wait could not be sent")


def _deliver(warehouse: WarehouseConnection, found: _Found, alert: Alert | None) -> None:
    """Send an alert, and then others that wait, over each channel; the channels that failed of late come last."""
    from waybill.ops import alert_delivery

    until = time.monotonic() + _SECONDS
    troubled = alert_delivery.troubled(warehouse)
    for channel in sorted(found, key=lambda one: one in troubled):
        waiting = alert_delivery.waiting(warehouse, channel, alert)
        if not waiting:
            continue
        connection = found[channel]
        if connection is None or _too_late(until, settings().alert_connect_seconds + settings().alert_read_seconds):
            log.warning("alerts over %s wait for the next occasion", channel)
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
    """Send alerts over a channel, one after the other, until one fails or there is no time left."""
    from waybill.ops import alert_delivery

    channel, may_be_sent = first.channel, False
    current: Delivery | None = first
    try:
        with CHANNELS[channel](connection) as send:
            for alert in (None, *others):
                if alert is not None and not _too_late(until, settings().alert_read_seconds):
                    current = alert_delivery.lease(warehouse, alert, channel)
                if current is None or not alert_delivery.begin(warehouse, current):
                    continue
                may_be_sent = True
                send(current.message.partition("\n")[0], _text(current))
                alert_delivery.note_sent(warehouse, current)
                current, may_be_sent = None, False
    except Exception as error:
        reason = in_words(error)
        log.error("the alert could not be sent over %s: %s", channel, reason)
        if current is not None:
            is_unknown = may_be_sent and not was_refused(error)
            alert_delivery.note_failed(warehouse, current, reason, may_be_sent=is_unknown)


def _text(delivery: Delivery) -> str:
    if not delivery.is_late:
        return delivery.message
    return f"{delivery.message}\nSent late: it was raised at {delivery.raised_at:%Y-%m-%d %H:%M %Z}."


def _send_unnoted(found: _Found, text: str) -> None:
    """Send over every channel once, without the warehouse."""
    until = time.monotonic() + _SECONDS
    for channel, connection in found.items():
        if connection is None or _too_late(until, 0):
            log.error("no connection or no time to send over %s: %s", channel, text)
            continue
        try:
            with CHANNELS[channel](connection) as send:
                send(text.partition("\n")[0], text)
        except Exception as error:
            log.error("the alert could not be sent over %s: %s", channel, in_words(error))


def _title(dag_id: str, partition_key: str | None, conf: Mapping[str, Any] | None) -> str:
    """The DAG and the period that the run stands for, if that is known."""
    conf = conf or {}
    return f"{dag_id} {partition_key or conf.get('month') or conf.get('day') or ''}".strip()


def _run(context: Mapping[str, Any]) -> tuple[str, str, str]:
    """The ids of a task's DAG and run, and what its messages begin with."""
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
    """A task has failed for good: it knows the cause, so it is the one that says so."""
    _alert_failure(context, even_without_warehouse=False)


def alert_failure(context: Mapping[str, Any]) -> None:
    """A run has failed: speaks for tasks that could not, and when the warehouse itself is away."""
    _alert_failure(context, even_without_warehouse=True)


def alert_approval(context: Mapping[str, Any], waiting: Sequence[Held]) -> None:
    """A run waits for somebody's word on what it may publish."""
    from waybill.ops.alerts import approval_text

    dag_id, run_id, title = _run(context)
    # Beside the task's log. Airflow's own link to that page loses the path below which Airflow is, if there is one.
    url = f"{context['ti'].log_url.partition('?')[0]}/required_actions"
    text = approval_text(title, run_id, waiting, url)
    _alert_once(dag_id, run_id, "approval", text, even_without_warehouse=True)


def notify_warnings(domain: str) -> Callable[[Mapping[str, Any]], None]:
    """What says that a run of the domain's DAG loaded files with warnings, however the run ended: once a run."""

    def notify(context: Mapping[str, Any]) -> None:
        from waybill.ops import alerts

        _tell_of_run(context, domain, "warning", alerts.warning_text)

    return notify


def notify_success(domain: str) -> Callable[[Mapping[str, Any]], None]:
    """What says that a run of the domain's DAG has ended well: once, and only if the run changed something."""

    def notify(context: Mapping[str, Any]) -> None:
        from waybill.ops import alerts

        if not _tell_of_run(context, domain, "success", alerts.success_text):
            send_waiting()

    return notify


def _tell_of_run(
    context: Mapping[str, Any], domain: str, kind: str, text_of: Callable[[Any, str, str, str, str | None], str | None]
) -> bool:
    """Send what `text_of` reads from the warehouse about a run; False if it has no text."""
    from waybill.operators.session import warehouse

    dag_id, run_id, title = _run(context)
    url = getattr(context.get("ti"), "log_url", None)
    try:
        with warehouse() as connection:
            text = text_of(connection, domain, title, run_id, url)
    except Exception:
        log.exception("what the run %s of %s changed could not be read", run_id, dag_id)
        return False
    if text is None:
        return False
    _alert_once(dag_id, run_id, kind, text, even_without_warehouse=False)
    return True


def alert_deadline(after: str, context: Mapping[str, Any]) -> None:
    """A run is late, unless it has ended by now."""
    from waybill.ops.alerts import deadline_text

    run = context["dag_run"]
    if run["state"] in ("success", "failed"):  # Airflow keeps the deadline of a run that failed
        log.info("%s: the run %s has ended: nobody waits for it", run["dag_id"], run["dag_run_id"])
        return
    title = _title(run["dag_id"], run.get("partition_key"), run.get("conf"))
    text = deadline_text(title, run["dag_run_id"], after)
    _alert_once(run["dag_id"], run["dag_run_id"], "deadline", text, even_without_warehouse=True)


def deadline_alert(hours: float) -> DeadlineAlert:
    """Alert when a run has not finished so many hours after it was queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        # Seconds, not a timedelta: Airflow 3.3 reads both, but cannot clear the tasks of a run whose deadline is one.
        interval=hours * 3600,  # type: ignore[arg-type]
        name=f"{hours:g} hours after its start",
        callback=SyncCallback(alert_deadline, kwargs={"after": f"{hours:g} hours after its start"}),
    )
