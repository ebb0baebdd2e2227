"""What consumers of streams know: shards, events, windows, sessions, rejected events and archived files."""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.stream (
  dataset text primary key,
  name text not null,
  created_at timestamptz not null,
  forgotten_until timestamptz
);
comment on table waybill.stream is
  'The stream of each dataset. A consumer that counts events locks the row. Events before forgotten_until are late.';

create table waybill.stream_consumer (
  consumer text primary key,
  dataset text not null,
  seen_at timestamptz not null
);
comment on table waybill.stream_consumer is 'The consumers of streams, and when each of them last renewed its leases.';

create table waybill.stream_shard (
  dataset text not null,
  stream_created_at timestamptz not null,
  shard text not null,
  parents text[] not null default '{}',
  listed_at timestamptz not null default clock_timestamp(),
  position text,
  newest timestamptz,
  arrived_at timestamptz,
  read_at timestamptz,
  behind_seconds double precision,
  behind_since timestamptz,
  finished_at timestamptz,
  lost_at timestamptz,
  owner text,
  epoch bigint not null default 0,
  held_until timestamptz,
  events bigint not null default 0,
  counted bigint not null default 0,
  repeated bigint not null default 0,
  late bigint not null default 0,
  rejected bigint not null default 0,
  batches bigint not null default 0,
  busy_seconds double precision not null default 0,
  primary key (dataset, stream_created_at, shard),
  check (events = counted + repeated + late + rejected)
);
comment on table waybill.stream_shard is
  'The shards of each stream: how far they are read, who reads them, and their books.';
comment on column waybill.stream_shard.listed_at is 'When a consumer first found the shard.';
comment on column waybill.stream_shard.position is 'The sequence number of the last record that is accounted for.';
comment on column waybill.stream_shard.newest is 'The instant of the newest event that the contract accepts.';
comment on column waybill.stream_shard.arrived_at is 'When the last record arrived in the stream.';
comment on column waybill.stream_shard.behind_since is 'Since when the lag exceeds the limit.';
comment on column waybill.stream_shard.lost_at is
  'When it was found that the stream had removed records before they were read.';
comment on column waybill.stream_shard.epoch is 'Grows with each change of the owner.';

create table waybill.stream_event (
  dataset text not null,
  event_id text not null,
  shard text not null,
  sequence numeric not null,
  arrived_at timestamptz not null,
  at timestamptz not null,
  session text not null,
  kind text not null,
  is_late boolean not null,
  digest uuid not null,
  raw text not null,
  archive_id bigint,
  primary key (dataset, event_id)
);
create index stream_event_session on waybill.stream_event (dataset, session, at);
create index stream_event_waiting on waybill.stream_event (dataset, at) where archive_id is null;
create index stream_event_archive on waybill.stream_event (archive_id, sequence) where archive_id is not null;
comment on table waybill.stream_event is
  'The accepted events of the past hours, as they arrived. They recognise repeated ones and wait for the archive.';

create table waybill.stream_count (
  dataset text not null,
  minute timestamptz not null,
  kind text not null,
  dimension text not null,
  value text not null,
  events bigint not null,
  late bigint not null default 0,
  primary key (dataset, minute, kind, dimension, value)
);
create index stream_count_dimension on waybill.stream_count (dataset, dimension, minute);
comment on table waybill.stream_count is
  'How many events of each kind happened in each minute, and of these, how many have each value of a dimension. '
  'The dimension is empty for all events of the kind.';
comment on column waybill.stream_count.late is 'Events that arrived too late to count; only for all events of a kind.';

create view waybill.stream_sliding_count as
select
  minutes.dataset,
  minutes.minute - ago.minutes * interval '1 minute' + interval '5 minutes' as ends_at,
  minutes.kind,
  minutes.dimension,
  minutes.value,
  sum(minutes.events)::bigint as events
from waybill.stream_count as minutes
cross join generate_series(0, 4) as ago (minutes)
group by 1, 2, 3, 4, 5;
comment on view waybill.stream_sliding_count is
  'The events of the five minutes before each minute. Each event is in five windows.';

create table waybill.stream_session (
  dataset text not null,
  session text not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  events bigint not null,
  steps smallint not null,
  primary key (dataset, session, first_at)
);
create index stream_session_last on waybill.stream_session (dataset, last_at);
comment on table waybill.stream_session is
  'Series of events of one visitor without a longer pause, and how many steps of the funnel each reached.';

create table waybill.stream_rejected (
  dataset text not null,
  shard text not null,
  sequence numeric not null,
  arrived_at timestamptz not null,
  newest timestamptz,
  reasons text[] not null,
  raw text not null,
  contract_version text not null,
  rejected_at timestamptz not null default now(),
  resolved_as text,
  resolved_by text,
  resolved_at timestamptz,
  primary key (dataset, shard, sequence)
);
create index stream_rejected_open on waybill.stream_rejected (dataset, rejected_at) where resolved_as is null;
comment on table waybill.stream_rejected is 'Events that broke the contract, with all reasons.';
comment on column waybill.stream_rejected.newest is
  'The newest event of the shard before this one, which decides whether a replayed event is late.';
comment on column waybill.stream_rejected.raw is
  'The fields as a JSON object, or the text of the record as a JSON string if it has no fields.';

create table waybill.stream_archive (
  archive_id bigint generated always as identity primary key,
  dataset text not null,
  object_key text not null unique,
  day date not null,
  hour timestamptz not null,
  rows bigint not null,
  planned_at timestamptz not null default now(),
  written_at timestamptz,
  size bigint,
  sha256 text,
  forgotten_at timestamptz
);
create index stream_archive_planned on waybill.stream_archive (dataset) where written_at is null;
create index stream_archive_kept on waybill.stream_archive (dataset, hour) where forgotten_at is null;
comment on table waybill.stream_archive is
  'The files of the raw zone with events of streams. A planned file without written_at is written next.';
comment on column waybill.stream_archive.hour is 'The hour in which the events happened.';
comment on column waybill.stream_archive.forgotten_at is 'Since when none of its events is in stream_event.';

create table waybill.stream_measurement (
  dataset text primary key,
  measured_at timestamptz not null,
  events bigint not null,
  repeated bigint not null,
  late bigint not null,
  rejected bigint not null,
  batches bigint not null,
  busy_seconds double precision not null
);
comment on table waybill.stream_measurement is
  'The sums of the books of each stream when they were last sent as measurements.';

grant select on
  waybill.stream, waybill.stream_consumer, waybill.stream_shard, waybill.stream_count, waybill.stream_sliding_count,
  waybill.stream_session, waybill.stream_rejected, waybill.stream_archive,
  waybill.stream_measurement to waybill_reader;

create function waybill.next_step(reached integer, step integer) returns integer
  language sql immutable parallel safe return case when step = reached + 1 then step else reached end;
create aggregate waybill.steps_reached(integer) (
  sfunc = waybill.next_step, stype = integer, initcond = '0', parallel = safe
);
comment on aggregate waybill.steps_reached(integer) is
  'How many steps of a funnel a series of events reaches, in their order.';
"""


def upgrade() -> None:
    """Create the tables, the view and the aggregate."""
    op.get_bind().exec_driver_sql(_DDL)
