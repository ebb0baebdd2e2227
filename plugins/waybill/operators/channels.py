"""The channels of alerts: SNS, Slack and e-mail, with time limits and without retries.

Opening a channel waits for a response of the service. A service that is unavailable or hangs is therefore known before
a message is sent, so that the message can be sent later without being sent twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from waybill.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from mypy_boto3_sns import SNSClient

Send = Callable[[str, str], None]
"""Sends a message: its subject and its text."""


@contextmanager
def _sns(connection: Connection) -> Iterator[Send]:
    from airflow.providers.amazon.aws.hooks.sns import SnsHook
    from botocore.config import Config
    from botocore.exceptions import ClientError

    limits = Config(
        connect_timeout=settings().alert_connect_seconds,
        read_timeout=settings().alert_read_seconds,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    own = SnsHook(aws_conn_id=connection.conn_id).config  # type: ignore[no-untyped-call]
    hook = SnsHook(aws_conn_id=connection.conn_id, config=own.merge(limits) if own else limits)  # type: ignore[no-untyped-call]
    topic: str = connection.extra_dejson["topic_arn"]
    client: SNSClient = hook.get_conn()
    with contextlib.suppress(ClientError):  # a response, even if access to the attributes is denied
        client.get_topic_attributes(TopicArn=topic)

    def send(subject: str, text: str) -> None:
        hook.publish_to_target(target_arn=topic, message=text, subject=subject[:99])

    yield send


@contextmanager
def _slack(connection: Connection) -> Iterator[Send]:
    import requests
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    connect, read = settings().alert_connect_seconds, settings().alert_read_seconds
    hook = SlackWebhookHook(
        slack_webhook_conn_id=connection.conn_id, timeout=max(1, round(read)), retry_handlers=[]
    )  # the client has one limit for both
    client = hook.client
    proxies = {"http": client.proxy, "https": client.proxy} if client.proxy else None
    requests.head(client.url, timeout=(connect, read), proxies=proxies)

    def send(_subject: str, text: str) -> None:
        hook.send(text=text)

    yield send


@contextmanager
def _email(connection: Connection) -> Iterator[Send]:
    from html import escape

    from airflow.providers.smtp.hooks.smtp import SmtpHook

    class OnceSmtpHook(SmtpHook):
        smtp_retry_limit = 0
        timeout = settings().alert_read_seconds  # type: ignore[assignment]  # smtplib accepts float and int

    recipients: str = connection.extra_dejson["to_email"]
    with OnceSmtpHook(smtp_conn_id=connection.conn_id) as hook:

        def send(subject: str, text: str) -> None:
            hook.send_email_smtp(to=recipients, subject=subject, html_content=f"<pre>{escape(text)}</pre>")

        yield send


CHANNELS: dict[str, Callable[[Connection], AbstractContextManager[Send]]] = {
    "sns": _sns,
    "slack": _slack,
    "email": _email,
}
"""How to open each kind of channel. `waybill_alerts_slack` is the connection of the channel `slack`, and
`waybill_alerts_slack_finance` that of the owner `finance`. A channel without a connection is off."""


def was_rejected(error: Exception) -> bool:
    """Return whether the service rejected the message, so that it was certainly not sent."""
    from smtplib import SMTPRecipientsRefused, SMTPResponseException

    from airflow.sdk.exceptions import AirflowException
    from botocore.exceptions import ClientError

    # Slack's hook raises AirflowException for a response other than 200.
    return isinstance(error, ClientError | SMTPResponseException | SMTPRecipientsRefused | AirflowException)


def describe_error(error: Exception) -> str:
    """Return an error as text without secrets, such as the address of a webhook."""
    from botocore.exceptions import BotoCoreError, ClientError

    name = type(error).__name__
    if isinstance(error, BotoCoreError | ClientError):
        return f"{name}: {error}"
    code = getattr(error, "smtp_code", None)
    if code is not None:
        return f"{name} {code}"
    return f"{name}: {error.strerror}" if isinstance(error, OSError) and error.strerror else name
