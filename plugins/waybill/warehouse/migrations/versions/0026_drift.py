"""Schema drift of datasets, and the columns of rejected files, in which it shows."""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.rejected_file
  add column size_bytes bigint,
  add column rows_in bigint,
  add column brought_columns text[],
  add column ignored_columns text[];
comment on column waybill.rejected_file.brought_columns is
  'The columns of the contract that the file has; null if it was rejected before its columns were known.';

create table waybill.drift (
  drift_id integer generated always as identity primary key,
  dataset text not null,
  kind text not null,
  column_name text not null,
  name text not null,
  bucket text not null,
  first_key text not null,
  last_key text not null,
  period date not null,
  files integer not null,
  examples text[] not null,
  run_id text,
  found_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  settled_at timestamptz,
  unique (dataset, kind, column_name, name)
);
create index drift_open on waybill.drift (dataset) where settled_at is null;
comment on table waybill.drift is
  'Columns and values of files that differ from the contract; settled once files no longer show them.';
grant select on waybill.drift to waybill_reader;
"""


def upgrade() -> None:
    """Create the table and add the columns."""
    op.get_bind().exec_driver_sql(_DDL)
