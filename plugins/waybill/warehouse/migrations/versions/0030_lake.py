"""What the lake holds: the commits of each day, and the snapshots to which published reports refer."""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.lake_commit (
  commit_id bigint generated always as identity primary key,
  table_name text not null,
  day date not null,
  snapshot_id bigint not null,
  row_count bigint not null,
  content_sha256 text not null,
  file_ids integer[] not null,
  run_id text,
  code_version text not null,
  committed_at timestamptz not null default now(),
  unique (table_name, day, snapshot_id)
);
comment on table waybill.lake_commit is
  'The commits of each day of the tables of the lake: a snapshot with new rows, none if row_count is 0.';

create table waybill.published_snapshot (
  report text not null,
  cadence text not null,
  period date not null,
  content_sha256 text not null,
  table_name text not null,
  snapshot_id bigint not null,
  noted_at timestamptz not null default now(),
  primary key (report, cadence, period, content_sha256, table_name)
);
comment on table waybill.published_snapshot is
  'The snapshot of a table of the lake that has the rows on which a published content rests.';

create table waybill.lake_maintenance (
  maintenance_id bigint generated always as identity primary key,
  table_name text not null,
  action text not null,
  objects bigint not null,
  bytes bigint not null,
  details text[] not null,
  run_id text,
  done_at timestamptz not null default now()
);
comment on table waybill.lake_maintenance is 'What the maintenance of the lake changed or removed.';
grant select on waybill.lake_commit, waybill.published_snapshot, waybill.lake_maintenance to waybill_reader;

-- the tables of the lake are new: they need all days
delete from waybill.processed_day;
comment on table waybill.processed_day is 'The days of each table that the lake holds, and the changes seen.';
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(_DDL)
