"""What the ledger knows about the tables of domains on Spark, and which run changes them."""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.lake_state (
  table_name text primary key,
  snapshot_id bigint not null,
  recorded_at timestamptz not null default now()
);
comment on table waybill.lake_state is
  'The snapshot of each table on Spark that has the rows of the files that are loaded. Later snapshots are undone.';

create table waybill.lake_request (
  domain text primary key,
  dag_id text not null,
  run_id text not null,
  opened_at timestamptz not null default now(),
  closed_at timestamptz
);
comment on table waybill.lake_request is
  'The run that loads files of a domain on Spark and computes its reports; one at a time.';
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(_DDL)
