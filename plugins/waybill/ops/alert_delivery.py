"""Over which channels each alert has gone out: over each at most once, and later if a channel was away.

A process leases a delivery and commits before it reaches the channel, so nothing is locked while it waits. It notes
that it hands the message over before it does. If it dies before that note, the lease ends and another one sends the
message; if it dies after it, nobody knows whether the message went out, and it is not sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

Alert = tuple[str, str, str]
"""The key of an alert: (DAG, run, kind)."""

GIVE_UP_DAYS = 7
"""An alert that could not be sent for so long is old news."""
_AT_ONCE = 20


@dataclass(frozen=True)
class Delivery:
    """An alert that this process is to send over a channel."""

    alert: Alert
    channel: str
    message: str
    raised_at: datetime
    is_late: bool
    leased_until: datetime

    @property
    def key(self) -> tuple[str, ...]:
        """Its key in the table."""
        return (*self.alert, self.channel)


def note(connection: Connection, alert: Alert, message: str, channels: Collection[str]) -> None:
    """Note an alert and the channels that it is to go out over; what is noted already stays as it is."""
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
    """The alerts that are to be sent over a channel, the oldest first, some of them; `first` comes before all."""
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


def is_any_waiting(connection: Connection) -> bool:
    """Whether an alert is to be sent over any channel."""
    found = connection.execute(
        "select from waybill.alert_delivery inner join waybill.alert using (dag_id, run_id, kind) "
        "where sent_at is null and send_began_at is null and raised_at > now() - make_interval(days => %s) limit 1",
        (GIVE_UP_DAYS,),
    ).fetchone()
    return found is not None


def troubled(connection: Connection) -> set[str]:
    """The channels over which something that is not long ago could not be sent."""
    rows = connection.execute(
        "select distinct channel from waybill.alert_delivery inner join waybill.alert using (dag_id, run_id, kind) "
        "where sent_at is null and error is not null and raised_at > now() - interval '1 hour'"
    ).fetchall()
    return {channel for (channel,) in rows}


def lease(connection: Connection, alert: Alert, channel: str) -> Delivery | None:
    """Take a delivery for two minutes; None if another process has it, or has sent it."""
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


def begin(connection: Connection, delivery: Delivery) -> bool:
    """Note that the message is handed over now; False if the lease is over and another process may have it."""
    done = connection.execute(
        "update waybill.alert_delivery set send_began_at = clock_timestamp() "
        "where (dag_id, run_id, kind, channel) = (%s, %s, %s, %s) and leased_until = %s and send_began_at is null",
        (*delivery.key, delivery.leased_until),
    )
    return done.rowcount == 1


def note_sent(connection: Connection, delivery: Delivery) -> None:
    """Note that the channel has taken the message."""
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


def note_failed(connection: Connection, delivery: Delivery, error: str, *, may_be_sent: bool) -> None:
    """Note why the message could not be sent. If it may have been sent all the same, it is not sent again."""
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
    """For each of these alerts, in words, over which channels it went out, and why not over the others."""
    keys = list(alerts)
    columns = [list(column) for column in zip(*keys, strict=True)] or [[], [], []]
    found: dict[Alert, list[str]] = {key: [] for key in keys}
    for dag_id, run_id, kind, channel, sent_at, state, error in connection.execute(
        _STATES, (GIVE_UP_DAYS, *columns)
    ).fetchall():
        found[(dag_id, run_id, kind)].append(_in_words(channel, sent_at, state, error))
    return found


def _in_words(channel: str, sent_at: datetime | None, state: str, error: str | None) -> str:
    because = f": {error}" if error else ""
    return {
        "sent": f"sent over {channel}" + (f" at {sent_at:%Y-%m-%d %H:%M}" if sent_at else ""),
        "sending": f"being sent over {channel}",
        "unknown": f"perhaps sent over {channel}, not sent again{because or ': its process ended while it sent'}",
        "given up": f"not sent over {channel} within {GIVE_UP_DAYS} days{because}",
        "waiting": f"not sent over {channel} yet, is tried again{because}",
    }[state]
