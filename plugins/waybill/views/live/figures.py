"""The figures of a stream, from the tables that its consumers write. "Now" is the warehouse's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.domains import Amount
from waybill.settings import settings
from waybill.stream.declared import Declared
from waybill.stream.lag import ShardState, known_state
from waybill.views import catalog
from waybill.warehouse.connection import one_row, table_exists

MINUTES: Final = 60
"""How many minutes are shown, with the current one."""
FUNNEL_MINUTES: Final = 30
"""A session is in the funnel if its last event is not older."""
TOP: Final = 10
"""How many values of a dimension are listed."""
MOST_REJECTED: Final = 100_000
"""How many rejected events are counted."""
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Minute:
    """A minute, by the instants of its events."""

    start: datetime
    events: int
    of_kind: int
    """Events of the amount's kind."""
    worth: Decimal
    """What those are worth that refer to a row."""


@dataclass(frozen=True)
class Value:
    """A value of a dimension."""

    value: str
    events: int
    worth: Decimal = Decimal(0)


@dataclass(frozen=True)
class Worth:
    """What the events of the amount's kind are worth."""

    by_minute: Mapping[datetime, Decimal]
    priced: int
    """Events that refer to a row of the table."""
    top: list[Value]
    """The values with most events."""


@dataclass(frozen=True)
class Figures:
    """What is known about a stream."""

    now: datetime
    created_at: datetime
    newest: datetime | None
    """The newest event; None before the first one."""
    recent: int
    """Events of the 60 seconds up to the newest one."""
    minutes: list[Minute]
    """The oldest first."""
    without_row: int
    """Events of the amount's kind that refer to no row."""
    top: dict[str, list[Value]]
    """By dimension. For the amount's column, events of its kind, and else of all kinds."""
    sessions: int
    """Sessions with an event in the last minutes."""
    reached: list[int]
    """How many of them reached each step of the funnel."""
    late: tuple[int, int]
    """Events of the shown minutes, and of today, that arrived too late."""
    rejected: tuple[int, int]
    """Open rejected events of the shown minutes, and of today."""
    shards: tuple[ShardState, ...]
    is_supervised: bool
    """Whether the settings name the stream, so that somebody must read it."""

    @property
    def events(self) -> int:
        """Events of the shown minutes."""
        return sum(one.events for one in self.minutes)


def figures(connection: Connection, declared: Declared, now: datetime) -> Figures | None:
    """Return the figures of a stream at an instant; None if no consumer has ever read it."""
    created_at = first_read(connection, declared.dataset)
    if created_at is None:
        return None
    minutes = shown_minutes(now)
    newest = newest_event(connection, declared.dataset)
    amount = declared.stream.amount
    worth = worth_of(connection, declared, amount, minutes) if amount else None
    by_minute = _by_minute(connection, declared, minutes, worth)
    dimensions = [name for name in declared.stream.dimensions if amount is None or name != amount.column]
    top = _top(connection, declared.dataset, dimensions, minutes)
    if amount and worth:
        top[amount.column] = worth.top
    sessions, reached = _funnel(connection, declared, now)
    state = known_state(connection, declared.dataset)
    today = datetime.combine(now.astimezone(ZoneInfo(settings().timezone)), time.min, ZoneInfo(settings().timezone))
    return Figures(
        now=now,
        created_at=created_at,
        newest=newest,
        recent=recent_events(connection, declared.dataset, newest) if newest else 0,
        minutes=by_minute,
        without_row=sum(one.of_kind for one in by_minute) - worth.priced if worth else 0,
        top={name: top.get(name, []) for name in declared.stream.dimensions},
        sessions=sessions,
        reached=reached,
        late=_late(connection, declared.dataset, minutes[0], today),
        rejected=_rejected(connection, declared.dataset, minutes[0], today),
        shards=state.shards if state else (),
        is_supervised=state is not None and state.name == declared.name,
    )


def current_instant(connection: Connection) -> datetime:
    """Return the start of the transaction by the warehouse's clock."""
    now: datetime = one_row(connection, "select now()")[0]
    return now


def is_idle(newest: datetime, now: datetime) -> bool:
    """Return whether the newest event is older than the setting allows."""
    return newest < now - timedelta(seconds=settings().stream_idle_seconds)


def shown_minutes(now: datetime) -> list[datetime]:
    """Return the starts of the current minute and those before it, the oldest first."""
    current = now.replace(second=0, microsecond=0)
    return [current - ago * _MINUTE for ago in reversed(range(MINUTES))]


def first_read(connection: Connection, dataset: str) -> datetime | None:
    """Return when the stream that consumers read was created; None if none has read it."""
    row = connection.execute("select created_at from waybill.stream where dataset = %s", (dataset,)).fetchone()
    return row[0] if row else None


def newest_event(connection: Connection, dataset: str) -> datetime | None:
    """Return the instant of the newest accepted event; None without one.

    An event that is dated in the future counts as one of its arrival, at the latest.
    """
    found: datetime | None = one_row(
        connection, "select max(least(newest, arrived_at)) from waybill.stream_shard where dataset = %s", (dataset,)
    )[0]
    return found


def recent_events(connection: Connection, dataset: str, newest: datetime) -> int:
    """Return how many events the 60 seconds up to the newest one have.

    The part of them in the minute before is computed as if that minute's events were evenly spread.
    """
    number: int = one_row(
        connection,
        """
        with ends as (select date_trunc('minute', %(newest)s, 'UTC') as minute)

        select
          coalesce(round(sum(
            counted.events
            * case
              when counted.minute = ends.minute then 1
              else 1 - extract(epoch from %(newest)s - ends.minute) / 60
            end
          )), 0)::bigint
        from ends
        inner join waybill.stream_count as counted on counted.minute in (ends.minute, ends.minute - interval '1 minute')
        where counted.dataset = %(dataset)s and counted.dimension = ''
        """,
        {"dataset": dataset, "newest": newest},
    )[0]
    return number


def worth_of(connection: Connection, declared: Declared, amount: Amount, minutes: Sequence[datetime]) -> Worth:
    """Return what the events of the amount's kind in some minutes are worth: the number of the row they refer to.

    A table that was never loaded has no rows.
    """
    query = sql.SQL(
        """
        with priced as materialized (
          select counted.minute, counted.value, counted.events, counted.events * ({worth})::numeric as worth
          from waybill.stream_count as counted
          {join}
          where
            counted.dataset = %(dataset)s
            and counted.minute = any(%(minutes)s)
            and counted.kind = %(kind)s
            and counted.dimension = %(column)s
        ),

        by_value as (
          select value, sum(events)::bigint as events, coalesce(sum(worth), 0) as worth
          from priced
          group by value
          order by 2 desc, 1
          limit %(top)s
        )

        select
          minute,
          null as value,
          coalesce(sum(events) filter (where worth is not null), 0)::bigint as events,
          coalesce(sum(worth), 0) as worth
        from priced
        group by minute
        union all
        select null, value, events, worth from by_value
        """
    )
    table = catalog.contracts()[f"{declared.contract.domain}.{amount.table}"]
    join = _join(declared.contract, table, amount.column) if _exists(connection, table) else None
    rows = connection.execute(
        query.format(
            worth=sql.Identifier("named", amount.value) if join else sql.SQL("null"), join=join or sql.SQL("")
        ),
        {
            "dataset": declared.dataset,
            "minutes": list(minutes),
            "kind": amount.kind,
            "column": amount.column,
            "top": TOP,
        },
    ).fetchall()
    in_minutes = [(minute, events, worth) for minute, _, events, worth in rows if minute]
    return Worth(
        {minute: worth for minute, _, worth in in_minutes},
        sum(events for _, events, _ in in_minutes),
        sorted(
            (Value(value, events, worth) for minute, value, events, worth in rows if minute is None),
            key=lambda one: (-one.events, one.value),
        ),
    )


def _exists(connection: Connection, table: Contract) -> bool:
    return table_exists(connection, sql.Identifier(table.domain, table.name))


def _join(stream: Contract, table: Contract, column: str) -> sql.Composed:
    """Return the join of counts with the current rows of a table, by its index if both columns have the same type."""
    key, value = sql.Identifier("named", column), sql.SQL('(counted.value collate "C")')
    [counted, named] = [one.physical_type for part in (stream, table) for one in part.columns if one.name == column]
    condition = (
        sql.SQL("{} = {}::{}").format(key, value, sql.SQL(named))
        if counted == named
        else sql.SQL("{}::text = {}").format(key, value)
    )
    return sql.SQL("left join {} as named on {}").format(sql.Identifier(table.domain, table.name), condition)


def _by_minute(
    connection: Connection, declared: Declared, minutes: Sequence[datetime], worth: Worth | None
) -> list[Minute]:
    amount = declared.stream.amount
    rows = connection.execute(
        """
        select
          minute,
          sum(events)::bigint,
          coalesce(sum(events) filter (where kind = %(kind)s), 0)::bigint
        from waybill.stream_count
        where dataset = %(dataset)s and dimension = '' and minute >= %(first)s and minute <= %(last)s
        group by minute
        """,
        {
            "dataset": declared.dataset,
            "kind": amount.kind if amount else None,
            "first": minutes[0],
            "last": minutes[-1],
        },
    )
    found = {minute: (events, of_kind) for minute, events, of_kind in rows}
    worths = worth.by_minute if worth else {}
    return [Minute(one, *found.get(one, (0, 0)), worths.get(one, Decimal(0))) for one in minutes]


def _top(
    connection: Connection, dataset: str, dimensions: Sequence[str], minutes: Sequence[datetime]
) -> dict[str, list[Value]]:
    rows = connection.execute(
        """
        with totals as (
          select dimension, value, sum(events)::bigint as events
          from waybill.stream_count
          where
            dataset = %(dataset)s
            and dimension = any(%(dimensions)s)
            and minute >= %(first)s
            and minute <= %(last)s
          group by dimension, value
        ),

        ranked as (
          select
            dimension,
            value,
            events,
            row_number() over (partition by dimension order by events desc, value) as place
          from totals
        )

        select dimension, value, events from ranked where place <= %(top)s order by dimension, place
        """,
        {
            "dataset": dataset,
            "dimensions": list(dimensions),
            "first": minutes[0],
            "last": minutes[-1],
            "top": TOP,
        },
    )
    found: dict[str, list[Value]] = {}
    for dimension, value, events in rows:
        found.setdefault(dimension, []).append(Value(value, events))
    return found


def _funnel(connection: Connection, declared: Declared, now: datetime) -> tuple[int, list[int]]:
    """Return the number of sessions, and how many of them reached each step."""
    rows = connection.execute(
        "select steps, count(*) from waybill.stream_session where dataset = %s and last_at >= %s group by steps",
        (declared.dataset, now - FUNNEL_MINUTES * _MINUTE),
    ).fetchall()
    steps = range(1, len(declared.stream.funnel) + 1)
    return sum(number for _, number in rows), [
        sum(number for reached, number in rows if reached >= step) for step in steps
    ]


def _late(connection: Connection, dataset: str, first: datetime, today: datetime) -> tuple[int, int]:
    shown, of_day = one_row(
        connection,
        """
        select
          coalesce(sum(late) filter (where minute >= %(first)s), 0)::bigint,
          coalesce(sum(late) filter (where minute >= %(today)s), 0)::bigint
        from waybill.stream_count
        where dataset = %(dataset)s and dimension = '' and minute >= least(%(first)s, %(today)s)
        """,
        {"dataset": dataset, "first": first, "today": today},
    )
    return shown, of_day


def _rejected(connection: Connection, dataset: str, first: datetime, today: datetime) -> tuple[int, int]:
    """Return how many rejected events are open. The counts stop one event after `MOST_REJECTED`."""
    shown, of_day = (
        one_row(
            connection,
            """
            with found as (
              select from waybill.stream_rejected
              where dataset = %s and rejected_at >= %s and resolved_as is null
              limit %s
            )

            select count(*) from found
            """,
            (dataset, since, MOST_REJECTED + 1),
        )[0]
        for since in (first, today)
    )
    return shown, of_day
