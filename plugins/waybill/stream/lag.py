"""How far the consumers of streams lag behind: the one definition for problems, measurements, commands and pages.

The lag of a shard is the age of the last record that was read, if others follow, plus the time since the shard was
read. A shard that nobody has read lags since a consumer listed it. All times are those of the database's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import class_row

from waybill.contracts.domains import domain_names, load_manifest
from waybill.settings import settings
from waybill.warehouse.connection import one_row

PATIENCE: Final = timedelta(minutes=5)
"""How long a lag above the limit is no problem yet."""
ARCHIVE_PATIENCE: Final = timedelta(hours=1)
"""How long a file of the archive that cannot be written is no problem yet."""

_SHARDS: Final = """
with clock as materialized (select clock_timestamp() as now),

shards as (
  select
    s.*,
    clock.now,
    s.behind_seconds + extract(epoch from clock.now - s.read_at)::double precision as lag_of_read,
    greatest(s.listed_at, (
      select max(parent.finished_at)
      from waybill.stream_shard as parent
      where
        parent.dataset = s.dataset
        and parent.stream_created_at = s.stream_created_at
        and parent.shard = any(s.parents)
    )) as readable_at,
    s.finished_at is null and not exists (
      select from waybill.stream_shard as parent
      where
        parent.dataset = s.dataset
        and parent.stream_created_at = s.stream_created_at
        and parent.shard = any(s.parents)
        and parent.finished_at is null
    ) as is_open
  from waybill.stream_shard as s
  inner join waybill.stream as t on t.dataset = s.dataset and t.created_at = s.stream_created_at
  cross join clock
  where s.dataset = %(dataset)s and t.name = %(name)s
),

lagging as (
  select *, coalesce(lag_of_read, extract(epoch from now - readable_at)::double precision) as lag
  from shards
)

select
  shard,
  now,
  is_open,
  finished_at is not null as is_finished,
  case when held_until > now then owner end as owner,
  read_at,
  arrived_at,
  newest,
  lost_at,
  case when is_open then lag end as lag_seconds,
  case
    when is_open and lag > %(limit)s
      then coalesce(behind_since, now - (lag - %(limit)s) * interval '1 second')
  end as behind_since,
  events,
  counted,
  repeated,
  late,
  rejected,
  batches,
  busy_seconds
from lagging
order by shard
"""


@dataclass(frozen=True)
class ShardState:
    """A shard of a stream, as it is now."""

    shard: str
    now: datetime
    """The time of the database's clock at which the rest was true."""
    is_open: bool
    """Whether it can be read now: it is not finished, and neither are the shards that were split or merged into it."""
    is_finished: bool
    """Whether it was split or merged, and is read to its end."""
    owner: str | None
    """The consumer that reads it; None if none does."""
    read_at: datetime | None
    """When it was last read; None if it never was."""
    arrived_at: datetime | None
    """When the last record that was read arrived in the stream."""
    newest: datetime | None
    """The instant of its newest accepted event."""
    lost_at: datetime | None
    """When it was found that the stream had removed records before they were read; None if it has not."""
    lag_seconds: float | None
    """How far its consumer lags; None if the shard is not open."""
    behind_since: datetime | None
    """Since when the lag exceeds `WAYBILL_STREAM_LAG_SECONDS`; None if it does not."""
    events: int
    counted: int
    repeated: int
    late: int
    rejected: int
    batches: int
    busy_seconds: float
    """How long its batches took, in sum."""


@dataclass(frozen=True)
class StreamState:
    """The stream of a dataset, as it is now."""

    dataset: str
    name: str
    """The stream in Kinesis."""
    shards: tuple[ShardState, ...]
    """All shards that consumers have listed; empty if no consumer has ever read the stream."""
    unwritten_since: datetime | None = None
    """Since when a file of the archive is planned and not written; None if all are."""

    @property
    def is_known(self) -> bool:
        """Whether a consumer has ever found the stream."""
        return bool(self.shards)

    @property
    def lag_seconds(self) -> float | None:
        """The greatest lag of a shard; None if no shard is open."""
        return max((one.lag_seconds for one in self.shards if one.lag_seconds is not None), default=None)

    @property
    def behind_since(self) -> datetime | None:
        """Since when the lag of a shard exceeds the limit; None if that of no shard does."""
        return min((one.behind_since for one in self.shards if one.behind_since), default=None)

    @property
    def is_behind_for_long(self) -> bool:
        """Whether the lag has exceeded the limit for five minutes."""
        since = self.behind_since
        return since is not None and self.shards[0].now - since >= PATIENCE

    @property
    def lost(self) -> list[ShardState]:
        """The shards of which records were found to be lost within `WAYBILL_STREAM_WINDOW_DAYS`."""
        window = timedelta(settings().stream_window_days)
        return [one for one in self.shards if one.lost_at and one.now - one.lost_at < window]

    @property
    def is_archive_late(self) -> bool:
        """Whether a file of the archive is not written for an hour."""
        since = self.unwritten_since
        return since is not None and bool(self.shards) and self.shards[0].now - since >= ARCHIVE_PATIENCE


def supervised() -> dict[str, str]:
    """Return the streams that must be read: the name in Kinesis of each dataset that declares one and has one set.

    Raises `ContractError` if the manifest of such a dataset is not valid.
    """
    return {dataset: name for dataset, name in sorted(settings().streams.items()) if _is_declared(dataset)}


def _is_declared(dataset: str) -> bool:
    domain, _, name = dataset.partition(".")
    return domain in domain_names() and name in load_manifest(domain).streams


def stream_states(connection: Connection, names: Mapping[str, str]) -> list[StreamState]:
    """Return the state of streams, given the name in Kinesis of each dataset, such as `supervised` returns."""
    return [stream_state(connection, dataset, name) for dataset, name in names.items()]


def stream_state(connection: Connection, dataset: str, name: str) -> StreamState:
    """Return the state of the stream of a dataset. `name` is its name in Kinesis."""
    cursor = connection.cursor(row_factory=class_row(ShardState))
    values = {"dataset": dataset, "name": name, "limit": settings().stream_lag_seconds}
    shards = tuple(cursor.execute(_SHARDS, values).fetchall())
    (unwritten_since,) = one_row(
        connection,
        "select min(planned_at) from waybill.stream_archive where dataset = %s and written_at is null",
        (dataset,),
    )
    return StreamState(dataset, name, shards, unwritten_since)


def known_state(connection: Connection, dataset: str) -> StreamState | None:
    """Return the state of the stream that was read last for a dataset; None if none was ever read."""
    row = connection.execute("select name from waybill.stream where dataset = %s", (dataset,)).fetchone()
    return stream_state(connection, dataset, row[0]) if row else None
