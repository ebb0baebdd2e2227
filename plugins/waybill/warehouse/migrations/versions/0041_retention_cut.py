"""Whether a run of the retention reached its limit."""

from __future__ import annotations

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.retention add column is_cut boolean not null default false;
comment on column waybill.retention.is_cut is
  'Whether the run reached its limit, so that the next one removes more.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
