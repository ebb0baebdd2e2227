"""The delivery of alerts over channels: at most once over each, and later if a channel was unavailable.

A process leases a delivery and commits before it calls the channel, so it holds no locks while it waits. It records
the start of sending before it sends. If it dies earlier, the lease expires and another process sends the message. If
it dies later, nobody knows whether the message was sent, and it is not sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

Alert = tuple[str, str, str]
"""The key of an alert: (DAG, run, kind)."""

GIVE_UP_DAYS = 7
"""After so many days an alert is not sent any more."""
_AT_ONCE = 20


@dataclass(frozen=True)
class Delivery:
    """An alert that this process has leased to send over a channel."""

    alert: Alert
    channel: str
    message: str
    raised_at: datetime
    is_late: bool
    leased_until: datetime

    @property
    def key(self) -> tuple[str, ...]:
        """Its key in `waybill.alert_delivery`."""
        return (*self.alert, self.channel)


def record(connection: Connection, alert: Alert, message: str, channels: Collection[str]) -> None:
    """Record an alert and the channels to send it over. Existing records stay unchanged."""
    with connection.transaction():
        connection.execute(
            "insert into waybill.alert (dag_id, run_id, kind, message) values (%s, %s, %s, %s) on conflict do nothing",
            (*alert, message),
        )
        connection.execute(
            "insert into waybill.alert_delivery (dag_id, run_id, kind, channel) select %s, %s, %s, unnest(%s::text[]) "
            "on conflict do nothing",
            (*alert, sorted(channels)),
        )


def waiting(connection: Connection, channel: str, first: Alert | None = None) -> list[Alert]:
    """Return up to 20 alerts that wait for a channel, oldest first; `first` comes before all others."""
    found = connection.execute(
        """
        select d.dag_id, d.run_id, d.kind
        from waybill.alert_delivery as d
        inner join waybill.alert as a using (dag_id, run_id, kind)
        where d.channel = %(channel)s and d.sent_at is null and d.send_began_at is null
          and (d.leased_until is null or d.leased_until < now())
          and a.raised_at > now() - make_interval(days => %(days)s)
        order by ((d.dag_id, d.run_id, d.kind) = (%(dag)s, %(run)s, %(kind)s)) is true desc, a.raised_at
        limit %(at_once)s
        """,
        {
            "channel": channel,
            "days": GIVE_UP_DAYS,
            "at_once": _AT_ONCE,
            **dict(zip(("dag", "run", "kind"), first or (None, None, None), strict=True)),
        },
    ).fetchall()
    return [(dag_id, run_id, kind) for dag_id, run_id, kind in found]


def waiting_channels(connection: Connection) -> list[str]:
    """Return the channels for which an alert waits."""
    rows = connection.execute(
        "select distinct channel from waybill.alert_delivery inner join waybill.alert using (dag_id, run_id, kind) "
        "where sent_at is null and send_began_at is null and raised_at > now() - make_interval(days => %s) "
        "order by channel",
        (GIVE_UP_DAYS,),
    ).fetchall()
    return [channel for (channel,) in rows]


def is_recorded(connection: Connection, alert: Alert) -> bool:
    """Return whether an alert exists."""
    query = "select from waybill.alert where (dag_id, run_id, kind) = (%s, %s, %s)"
    return connection.execute(query, alert).fetchone() is not None


def failing_channels(connection: Connection) -> set[str]:
    """Return the channels on which sending has failed for an alert of the last hour."""
    rows = connection.execute(
        "select distinct channel from waybill.alert_delivery inner join waybill.alert using (dag_id, run_id, kind) "
        "where sent_at is null and error is not null and raised_at > now() - interval '1 hour'"
    ).fetchall()
    return {channel for (channel,) in rows}


def lease(connection: Connection, alert: Alert, channel: str) -> Delivery | None:
    """Lease a delivery for two minutes; None if another process holds it or has sent it."""
    row = connection.execute(
        """
        update waybill.alert_delivery as d
        set leased_until = clock_timestamp() + interval '2 minutes'
        from waybill.alert as a
        where (d.dag_id, d.run_id, d.kind, d.channel) = (%s, %s, %s, %s)
          and (a.dag_id, a.run_id, a.kind) = (d.dag_id, d.run_id, d.kind)
          and d.sent_at is null and d.send_began_at is null
          and (d.leased_until is null or d.leased_until < clock_timestamp())
        returning a.message, a.raised_at, a.raised_at < clock_timestamp() - interval '1 minute', d.leased_until
        """,
        (*alert, channel),
    ).fetchone()
    return Delivery(alert, channel, *row) if row else None


def start_sending(connection: Connection, delivery: Delivery) -> bool:
    """Record that the message is being sent now; False if the lease has expired, so another process may send it."""
    done = connection.execute(
        "update waybill.alert_delivery set send_began_at = clock_timestamp() "
        "where (dag_id, run_id, kind, channel) = (%s, %s, %s, %s) and leased_until = %s and send_began_at is null",
        (*delivery.key, delivery.leased_until),
    )
    return done.rowcount == 1


def record_sent(connection: Connection, delivery: Delivery) -> None:
    """Record that the channel has accepted the message."""
    with connection.transaction():
        connection.execute(
            "update waybill.alert_delivery set sent_at = clock_timestamp(), leased_until = null, error = null "
            "where (dag_id, run_id, kind, channel) = (%s, %s, %s, %s)",
            delivery.key,
        )
        connection.execute(
            "update waybill.alert set channels = array_append(channels, %s) "
            "where (dag_id, run_id, kind) = (%s, %s, %s) and not %s = any(channels)",
            (delivery.channel, *delivery.alert, delivery.channel),
        )


def record_failed(connection: Connection, delivery: Delivery, error: str, *, may_be_sent: bool) -> None:
    """Record why sending failed. A message that may have been sent in spite of the error is not sent again."""
    connection.execute(
        "update waybill.alert_delivery set leased_until = null, error = %s, "
        "send_began_at = case when %s then send_began_at end "
        "where (dag_id, run_id, kind, channel) = (%s, %s, %s, %s) and leased_until = %s",
        (error, may_be_sent, *delivery.key, delivery.leased_until),
    )


_STATES = """
select
  d.dag_id, d.run_id, d.kind, d.channel, d.sent_at,
  case
    when d.sent_at is not null then 'sent'
    when d.leased_until > now() then 'sending'
    when d.send_began_at is not null then 'unknown'
    when a.raised_at < now() - make_interval(days => %s) then 'given up'
    else 'waiting'
  end,
  d.error
from waybill.alert_delivery as d
inner join waybill.alert as a using (dag_id, run_id, kind)
where (d.dag_id, d.run_id, d.kind) in (
  select * from unnest(%s::text[], %s::text[], %s::text[])
)
order by d.channel
"""


def states(connection: Connection, alerts: Iterable[Alert]) -> dict[Alert, list[str]]:
    """Return for each alert the delivery state of each channel as text."""
    keys = list(alerts)
    columns = [list(column) for column in zip(*keys, strict=True)] or [[], [], []]
    found: dict[Alert, list[str]] = {key: [] for key in keys}
    for dag_id, run_id, kind, channel, sent_at, state, error in connection.execute(
        _STATES, (GIVE_UP_DAYS, *columns)
    ).fetchall():
        found[(dag_id, run_id, kind)].append(_describe(channel, sent_at, state, error))
    return found


def _describe(channel: str, sent_at: datetime | None, state: str, error: str | None) -> str:
    because = f": {error}" if error else ""
    return {
        "sent": f"sent over {channel}" + (f" at {sent_at:%Y-%m-%d %H:%M}" if sent_at else ""),
        "sending": f"being sent over {channel}",
        "unknown": f"may have been sent over {channel}, not sent again{because or ': the process ended while sending'}",
        "given up": f"not sent over {channel} within {GIVE_UP_DAYS} days{because}",
        "waiting": f"not sent over {channel} yet, will be retried{because}",
    }[state]
