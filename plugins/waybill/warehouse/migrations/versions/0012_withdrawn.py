"""Loaded files whose objects are gone from the bucket, and files whose rows were withdrawn."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.load_file
  add column gone text check (gone in ('noticed', 'accepted')),
  drop constraint load_file_status_check,
  add constraint load_file_status_check check (status in ('loaded', 'superseded', 'withdrawn'));
comment on column waybill.load_file.gone is
  'Of a loaded file whose object is no longer in the bucket: noticed by a run, or accepted by somebody; else null.';
"""


def upgrade() -> None:
    """Add the column and the status."""
    op.get_bind().exec_driver_sql(_DDL)
