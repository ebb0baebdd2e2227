"""The tables of training sets in the lake, and training sets that were deleted."""

from __future__ import annotations

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.training_set
  add column lake_table text unique,
  add column snapshot_id bigint,
  add column deleted_at timestamptz,
  add column deleted_by text,
  add column left_locations text[] not null default '{}',
  add constraint training_set_snapshot check (lake_table is not null or snapshot_id is null),
  add constraint training_set_deleted check ((deleted_at is null) = (deleted_by is null)),
  add constraint training_set_left check (deleted_at is not null or left_locations = '{}');
comment on column waybill.training_set.lake_table is
  'The Iceberg table with the rows, in the catalog of the lake; null if there is none.';
comment on column waybill.training_set.snapshot_id is 'The snapshot of the table that has the rows.';
comment on column waybill.training_set.deleted_at is 'When its files were deleted. The name stays taken.';
comment on column waybill.training_set.left_locations is
  'The addresses that the deletion did not reach: files in folders of other machines.';
"""


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().exec_driver_sql(_DDL)
