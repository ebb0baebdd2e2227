"""Count a batch of events: everything that a batch changes moves in one transaction with the position of its shard.

The position moves only from where the batch began, and only for the owner of the shard. So a batch counts once,
whatever is killed or runs twice. One transaction of a stream runs at a time, because a session may have events of
several shards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, LiteralString

from psycopg import Connection

from waybill.contracts.domains import load_manifest
from waybill.stream import quarantine
from waybill.stream.declared import Declared
from waybill.stream.events import Batch, Event
from waybill.warehouse.connection import one_row
from waybill.warehouse.forgotten import ForgottenMeanwhile, forgotten_people, newest_erasure

Outcome = Literal["counted", "repeated", "late", "conflict"]
"""What became of an event that meets the contract."""
CONFLICT: Final = "conflict"
"""The reason of an event that repeats the id of another one with other values."""


class Fenced(Exception):
    """Another consumer has the shard, or has moved its position."""


@dataclass(frozen=True)
class Shard:
    """A shard that a consumer owns, and how far it is read."""

    dataset: str
    stream_created_at: datetime
    shard: str
    owner: str
    epoch: int
    position: str | None
    newest: datetime | None
    read_until: datetime | None = None
    """Until when all its records are read; None if it was never read."""


@dataclass(frozen=True)
class Counts:
    """What became of the events of a batch."""

    counted: int = 0
    repeated: int = 0
    late: int = 0
    rejected: int = 0

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], rejected: int = 0) -> Counts:
        """Count outcomes, and further events that are rejected. Conflicts are rejected, too."""
        found = Counter(outcomes)
        return cls(found["counted"], found["repeated"], found["late"], found[CONFLICT] + rejected)

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both."""
        return Counts(
            self.counted + other.counted,
            self.repeated + other.repeated,
            self.late + other.late,
            self.rejected + other.rejected,
        )

    @property
    def events(self) -> int:
        """All events of the batch."""
        return self.counted + self.repeated + self.late + self.rejected


_TABLES: Final = """
create temporary table if not exists arrived (
  place integer, shard text, sequence numeric, arrived_at timestamptz, event_id text, at timestamptz, session text,
  kind text, dimensions text[], digest uuid, is_late boolean, raw text
) on commit delete rows;
create temporary table if not exists fresh (
  place integer, at timestamptz, session text, kind text, dimensions text[], is_late boolean
) on commit delete rows
"""

_COPY: Final = """
copy arrived (
  place, shard, sequence, arrived_at, event_id, at, session, kind, dimensions, digest, is_late, raw
) from stdin
"""

_FRESH: Final = """
with added as (
  insert into waybill.stream_event (
    dataset, event_id, shard, sequence, arrived_at, at, session, kind, is_late, digest, raw
  )
  select distinct on (event_id)
    %(dataset)s, event_id, shard, sequence, arrived_at, at, session, kind,
    is_late or coalesce(at < %(dropped_until)s, false), digest, raw
  from arrived
  order by event_id, place
  on conflict do nothing
  returning event_id, is_late
)

insert into fresh (place, at, session, kind, dimensions, is_late)
select distinct on (arrived.event_id)
  arrived.place, arrived.at, arrived.session, arrived.kind, arrived.dimensions, added.is_late
from added
inner join arrived using (event_id)
order by arrived.event_id, arrived.place
"""

_OUTCOMES: Final = """
select
  case
    when fresh.is_late then 'late'
    when fresh.place is not null then 'counted'
    when known.digest <> arrived.digest then 'conflict'
    else 'repeated'
  end
from arrived
left join fresh on arrived.place = fresh.place
left join waybill.stream_event as known
  on known.dataset = %(dataset)s and known.event_id = case when fresh.place is null then arrived.event_id end
order by arrived.place
"""

_COUNTS: Final = """
insert into waybill.stream_count as known (dataset, minute, kind, dimension, value, events, late)
select
  %(dataset)s,
  date_trunc('minute', fresh.at, 'UTC'),
  fresh.kind,
  dimension.name,
  dimension.value,
  count(*) filter (where not fresh.is_late),
  count(*) filter (where fresh.is_late)
from fresh
cross join
  lateral unnest(array[''] || %(dimensions)s::text[], array[''] || fresh.dimensions) as dimension (name, value)
where dimension.value is not null and (not fresh.is_late or dimension.name = '')
group by 2, 3, 4, 5
on conflict (dataset, minute, kind, dimension, value)
do update set events = known.events + excluded.events, late = known.late + excluded.late
"""

_SESSIONS: Final = """
with touched as (
  select session, min(at) as first_at, max(at) as last_at
  from fresh
  where not is_late
  group by session
),

replaced as (
  delete from waybill.stream_session as known
  using touched
  where
    known.dataset = %(dataset)s
    and known.session = touched.session
    and known.last_at >= touched.first_at - %(pause)s
    and known.first_at <= touched.last_at + %(pause)s
  returning known.session, known.first_at, known.last_at
),

spans as (
  select session, min(first_at) as first_at, max(last_at) as last_at
  from (table touched union all table replaced) as found
  group by session
),

events as (
  select
    known.session,
    known.at,
    array_position(%(funnel)s::text[], known.kind) as step,
    known.at - lag(known.at) over (partition by known.session order by known.at) > %(pause)s as begins
  from spans
  inner join waybill.stream_event as known
    on
      known.dataset = %(dataset)s
      and known.session = spans.session
      and known.at >= spans.first_at
      and known.at <= spans.last_at
  where not known.is_late
),

numbered as (
  select session, at, step, count(*) filter (where begins) over (partition by session order by at) as number
  from events
)

insert into waybill.stream_session (dataset, session, first_at, last_at, events, steps)
select %(dataset)s, session, min(at), max(at), count(*), waybill.steps_reached(step order by at, step)
from numbered
group by session, number
"""

_FENCE: Final = """
select 1
from waybill.stream_shard
where
  dataset = %(dataset)s
  and stream_created_at = %(stream_created_at)s
  and shard = %(shard)s
  and owner = %(owner)s
  and epoch = %(epoch)s
  and position is not distinct from %(position)s
for update
"""

_MOVE: Final = """
update waybill.stream_shard
set
  position = %(last)s,
  newest = %(newest)s,
  arrived_at = %(arrived_at)s,
  events = events + %(events)s,
  counted = counted + %(counted)s,
  repeated = repeated + %(repeated)s,
  late = late + %(late)s,
  rejected = rejected + %(rejected)s,
  batches = batches + 1
where dataset = %(dataset)s and stream_created_at = %(stream_created_at)s and shard = %(shard)s
"""


def count_batch(connection: Connection, declared: Declared, shard: Shard, batch: Batch) -> Counts:
    """Count the events of a shard's next records in one transaction, or within that of the caller.

    Raises `Fenced`, and changes nothing, if the shard or its position belongs to another consumer by now.
    """
    with connection.transaction():
        # Replays lock the stream before a shard, too.
        dropped_until = lock(connection, declared.dataset)
        if connection.execute(_FENCE, vars(shard)).fetchone() is None:
            raise Fenced(f"{shard.dataset}: {shard.shard} is no longer at {shard.position or 'its beginning'}")
        require_newest(connection, declared, batch.newest_erasure)
        outcomes = count_events(connection, declared, shard.shard, batch.events, dropped_until)
        conflicts = [event.as_rejected(CONFLICT) for event in having(outcomes, batch.events, CONFLICT)]
        quarantine.keep(connection, declared, shard.shard, [*batch.rejected, *conflicts])
        counts = Counts.of(outcomes, len(batch.rejected))
        last = batch.records[-1]
        changed = {"last": last.sequence, "newest": batch.newest, "arrived_at": last.arrived_at}
        connection.execute(_MOVE, {**vars(shard), **vars(counts), "events": counts.events, **changed})
    return counts


def lock(connection: Connection, dataset: str) -> datetime | None:
    """Lock the stream of a dataset until the transaction ends; return until when its events are dropped."""
    until: datetime | None
    (until,) = one_row(
        connection, "select forgotten_until from waybill.stream where dataset = %s for update", (dataset,)
    )
    return until


def require_newest(connection: Connection, declared: Declared, known: int) -> None:
    """Raise `ForgottenMeanwhile` if people were forgotten since an erasure; the caller has locked the stream."""
    if load_manifest(declared.contract.domain).people:
        newest = newest_erasure(connection, declared.contract.domain)
        if newest > known and forgotten_people(connection, declared.contract):
            raise ForgottenMeanwhile(
                f"{declared.dataset}: people were forgotten while a batch was checked; it is checked again"
            )


def count_events(
    connection: Connection,
    declared: Declared,
    shard: str,
    events: list[Event],
    dropped_until: datetime | None,
) -> list[Outcome]:
    """Count events within a transaction that has locked the stream, and return what became of each.

    An event that is in conflict with another one is not counted. Events before `dropped_until` are late.
    """
    if not events:
        return []
    connection.execute(_TABLES)
    parameters = {
        "dataset": declared.dataset,
        "dropped_until": dropped_until,
        "dimensions": list(declared.stream.dimensions),
        "funnel": list(declared.stream.funnel),
        "pause": declared.pause,
    }
    _copy(connection, shard, events)
    statements: tuple[LiteralString, ...] = (_FRESH, _COUNTS, _SESSIONS)
    for statement in statements:
        connection.execute(statement, parameters)
    return [outcome for (outcome,) in connection.execute(_OUTCOMES, parameters)]


def having(outcomes: Sequence[Outcome], events: Sequence[Event], outcome: Outcome) -> list[Event]:
    """Return the events that have an outcome."""
    return [event for found, event in zip(outcomes, events, strict=True) if found == outcome]


def _copy(connection: Connection, shard: str, events: list[Event]) -> None:
    with connection.cursor().copy(_COPY) as copy:
        for place, one in enumerate(events):
            copy.write_row(
                (
                    place,
                    shard,
                    one.record.sequence,
                    one.record.arrived_at,
                    one.event_id,
                    one.at,
                    one.session,
                    one.kind,
                    one.values,
                    one.digest,
                    one.is_late,
                    one.raw,
                )
            )
