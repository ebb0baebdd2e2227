"""Training sets: what they rest on and where they are."""

from __future__ import annotations

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.training_set (
  training_set_id integer generated always as identity primary key,
  name text not null unique,
  views text[] not null,
  is_as_of_now boolean not null,
  location text not null,
  row_count bigint not null,
  labels_sha256 text not null,
  content_sha256 text not null,
  manifest jsonb not null,
  code_version text not null,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp()
);
create index training_set_views on waybill.training_set using gin (views);
comment on table waybill.training_set is 'The training sets that were made. Their rows are in files.';
comment on column waybill.training_set.views is 'The tables of versions of views, like billing_feature.spend_v1.';
comment on column waybill.training_set.is_as_of_now is
  'Whether it has values that were not known at the time of the label.';
comment on column waybill.training_set.location is 'The address of the Parquet file.';
comment on column waybill.training_set.content_sha256 is 'The hash of the rows, whatever their format.';
grant select on waybill.training_set to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
