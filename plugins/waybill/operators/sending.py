"""Send messages over each channel that has an Airflow connection, now or later."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from waybill.contracts.contract import ContractError
from waybill.contracts.domains import ALL_CHANNELS, channels_of
from waybill.operators.channels import CHANNELS, describe_error, was_rejected
from waybill.settings import settings

if TYPE_CHECKING:
    from psycopg import Connection as WarehouseConnection

    from waybill.ops.alert_delivery import Alert, Delivery
    from waybill.ops.alerts import Message

log = logging.getLogger(__name__)

_SECONDS = 15
"""Time limit for sending. Airflow kills a task's process 20 seconds after the task ends (`task_success_overtime`) and
treats that as a failure."""

_Connections = Mapping[str, Connection | None]
"""The connection of each channel by its id; None if it cannot be read."""


def _routed(message: Message) -> _Connections:
    """Return the connections of the channels for a message, as the manifest of its domain routes it."""
    owner, kinds = _route(message)
    found: dict[str, Connection | None] = {}
    for kind in CHANNELS:
        if kind not in kinds:
            continue
        general = f"{_PREFIX}{kind}"
        for conn_id in (f"{general}_{owner}", general) if owner else (general,):
            if _read(conn_id, found):
                break
    return found


_PREFIX = "waybill_alerts_"


def _route(message: Message) -> tuple[str | None, Sequence[str]]:
    """Return the owner and the channels of a message. A domain whose manifest is invalid has all channels."""
    try:
        return channels_of(message.domain, message.severity) if message.domain else (None, ALL_CHANNELS)
    except ContractError as error:
        log.error("the message is sent over all channels: %s", error)
        return None, ALL_CHANNELS


def _read(conn_id: str, found: dict[str, Connection | None]) -> bool:
    """Add a connection to those that were found; False if there is none."""
    try:
        found[conn_id] = Connection.get(conn_id)
    except AirflowNotFoundException:
        return False
    except Exception as error:
        log.error("the connection %s cannot be read: %s", conn_id, describe_error(error))
        found[conn_id] = None
    return True


def _channel(conn_id: str) -> str:
    """Return the kind of channel of a connection: `slack` for `waybill_alerts_slack_finance`."""
    return conn_id.removeprefix(_PREFIX).partition("_")[0]


def send(
    compose: Callable[[WarehouseConnection], Sequence[Message]],
    without_warehouse: Message | None = None,
    *,
    waits: bool = True,
    raises: bool = False,
) -> int:
    """Record messages in the warehouse and send each once over its channels; return how many were recorded.

    Raises no errors, unless `raises`: then those of `compose` and of the warehouse.

    `compose` returns the messages. What it writes and the messages are committed together. A channel that is
    unavailable gets a message later, and a channel that fails does not stop the others. If the warehouse is not
    available, only the message `without_warehouse` is sent. Without a message, those that wait are sent if `waits`.
    """
    from waybill.operators.session import warehouse
    from waybill.ops import alert_delivery

    recorded: Sequence[Message] | None = None
    try:
        with warehouse() as connection:
            with connection.transaction():
                messages = compose(connection)
                found: dict[str, Connection | None] = {}
                for message in messages:
                    routed = _routed(message) if message.is_sent else {}
                    if message.is_sent and not routed:
                        log.error("no channel is configured for the alert: %s", message.text)
                    alert_delivery.record(connection, message.alert, message.text, routed.keys())
                    found.update(routed)
            recorded = messages
            if messages or waits:
                _deliver(connection, found, messages[0].alert if messages else None)
    except Exception:
        log.exception("the messages could not be recorded in the warehouse")
        if raises and recorded is None:
            raise
        if without_warehouse and without_warehouse.is_sent and recorded is None:
            _send_unrecorded(_routed(without_warehouse), without_warehouse.text)
    return len(recorded or ())


def send_waiting() -> None:
    """Send messages that wait because a channel was unavailable. Raises no errors."""
    from waybill.operators.session import warehouse

    try:
        with warehouse() as connection:
            _deliver(connection, {}, None)
    except Exception:
        log.exception("waiting messages could not be sent")


def _deliver(warehouse: WarehouseConnection, found: _Connections, alert: Alert | None) -> None:
    """Send an alert and then other waiting alerts over each channel; channels that failed recently come last.

    `found` are connections that were read already.
    """
    from waybill.ops import alert_delivery

    channels = alert_delivery.waiting_channels(warehouse)
    if not channels:
        return
    until, known = time.monotonic() + _SECONDS, dict(found)
    failing = alert_delivery.failing_channels(warehouse)
    for channel in sorted(channels, key=lambda one: one in failing):
        waiting = alert_delivery.waiting(warehouse, channel, alert)
        if not waiting or not (channel in known or _read(channel, known)):
            continue
        connection = known[channel]
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
        with CHANNELS[_channel(channel)](connection) as send_over:
            for alert in (None, *others):
                if alert is not None and not _too_late(until, settings().alert_read_seconds):
                    current = alert_delivery.lease(warehouse, alert, channel)
                if current is None or not alert_delivery.start_sending(warehouse, current):
                    continue
                may_be_sent = True
                send_over(current.message.partition("\n")[0], _text(current))
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
            with CHANNELS[_channel(channel)](connection) as send_over:
                send_over(text.partition("\n")[0], text)
        except Exception as error:
            log.error("the alert could not be sent over %s: %s", channel, describe_error(error))
