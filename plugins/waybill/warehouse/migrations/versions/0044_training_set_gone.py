"""Files of deleted training sets that somebody says are gone."""

from __future__ import annotations

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.training_set
  add column gone_locations jsonb not null default '[]',
  add constraint training_set_gone check (deleted_at is not null or gone_locations = '[]');
comment on column waybill.training_set.gone_locations is
  'The addresses that the deletion did not reach and somebody says are gone: {"address", "by", "at"} each.';
comment on column waybill.training_set.left_locations is
  'The addresses that the deletion did not reach: files on other machines, and objects that were not found.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
