"""What is told over the channels whose Airflow connections exist, SNS, Slack or e-mail: alerts, and success."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from waybill.approval import Held

log = logging.getLogger(__name__)


def _send_sns(connection: Connection, subject: str, text: str) -> None:
    from airflow.providers.amazon.aws.hooks.sns import SnsHook

    hook = SnsHook(aws_conn_id=connection.conn_id)  # type: ignore[no-untyped-call]
    hook.publish_to_target(target_arn=connection.extra_dejson["topic_arn"], message=text, subject=subject[:99])


def _send_slack(connection: Connection, _subject: str, text: str) -> None:
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    SlackWebhookHook(slack_webhook_conn_id=connection.conn_id).send(text=text)


def _send_email(connection: Connection, subject: str, text: str) -> None:
    from html import escape

    from airflow.providers.smtp.hooks.smtp import SmtpHook

    with SmtpHook(smtp_conn_id=connection.conn_id) as hook:
        hook.send_email_smtp(
            to=connection.extra_dejson["to_email"], subject=subject, html_content=f"<pre>{escape(text)}</pre>"
        )


CHANNELS: dict[str, Callable[[Connection, str, str], None]] = {
    "waybill_alerts_sns": _send_sns,
    "waybill_alerts_slack": _send_slack,
    "waybill_alerts_email": _send_email,
}
"""Connection id of a channel and how to send over it. A channel without a connection is off."""


def send(subject: str, text: str) -> list[str]:
    """Send over every channel that is configured; one that fails does not keep the others from sending."""
    sent = []
    for conn_id, function in CHANNELS.items():
        try:
            function(Connection.get(conn_id), subject, text)
        except AirflowNotFoundException:
            continue
        except Exception:
            log.exception("the alert could not be sent over %s", conn_id)
        else:
            sent.append(conn_id)
    if not sent:
        log.error("no alert channel took the alert: %s", text)
    return sent


def _alert_once(dag_id: str, run_id: str, kind: str, text: str, *, even_without_warehouse: bool) -> None:
    from waybill import alerts
    from waybill.operators.session import warehouse

    subject = text.splitlines()[0]
    try:
        with warehouse() as connection, connection.transaction():
            if alerts.claim(connection, dag_id, run_id, kind, text):
                alerts.note_channels(connection, dag_id, run_id, kind, send(subject, text))
    except Exception:
        log.exception("the alert could not be noted in the warehouse")
        if even_without_warehouse:
            send(subject, text)


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
    from waybill.alerts import failure_text

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
    from waybill.alerts import approval_text

    dag_id, run_id, title = _run(context)
    # Beside the task's log. Airflow's own link to that page loses the path below which Airflow is, if there is one.
    url = f"{context['ti'].log_url.partition('?')[0]}/required_actions"
    text = approval_text(title, run_id, waiting, url)
    _alert_once(dag_id, run_id, "approval", text, even_without_warehouse=True)


def notify_warnings(domain: str) -> Callable[[Mapping[str, Any]], None]:
    """What says that a run of the domain's DAG loaded files with warnings, however the run ended: once a run."""

    def notify(context: Mapping[str, Any]) -> None:
        from waybill import alerts

        _tell_of_run(context, domain, "warning", alerts.warning_text)

    return notify


def notify_success(domain: str) -> Callable[[Mapping[str, Any]], None]:
    """What says that a run of the domain's DAG has ended well: once, and only if the run changed something."""

    def notify(context: Mapping[str, Any]) -> None:
        from waybill import alerts

        _tell_of_run(context, domain, "success", alerts.success_text)

    return notify


def _tell_of_run(
    context: Mapping[str, Any], domain: str, kind: str, text_of: Callable[[Any, str, str, str, str | None], str | None]
) -> None:
    """Send what `text_of` reads from the warehouse about a run; nothing if it has no text."""
    from waybill.operators.session import warehouse

    dag_id, run_id, title = _run(context)
    url = getattr(context.get("ti"), "log_url", None)
    try:
        with warehouse() as connection:
            text = text_of(connection, domain, title, run_id, url)
    except Exception:
        log.exception("what the run %s of %s changed could not be read", run_id, dag_id)
    else:
        if text is not None:
            _alert_once(dag_id, run_id, kind, text, even_without_warehouse=False)


def alert_deadline(after: str, context: Mapping[str, Any]) -> None:
    """A run is late, unless it has ended by now."""
    from waybill.alerts import deadline_text

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
