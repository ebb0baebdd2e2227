"""The versions of feature views: when each was created, from which files, and when it was retired."""

from __future__ import annotations

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.feature_version (
  feature_table text primary key,
  view text not null,
  version integer not null check (version > 0),
  created_at timestamptz not null default clock_timestamp(),
  sql_sha256 text not null,
  contract_sha256 text not null,
  last_known_ts timestamptz,
  retired_at timestamptz,
  retired_by text,
  check ((retired_at is null) = (retired_by is null))
);
comment on table waybill.feature_version is
  'The versions of feature views. The files of a version that has values do not change.';
comment on column waybill.feature_version.created_at is
  'When it was first built. What rests on files that landed before counts as known on time.';
comment on column waybill.feature_version.last_known_ts is 'The last known_ts of its log, which only increases.';
grant select on waybill.feature_version to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
