"""The rejected files that show drift: their rejection and the drift have one cause."""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.drift add column rejected_keys text[] not null default '{}';
comment on column waybill.drift.rejected_keys is 'Object keys of the rejected files that show it.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
