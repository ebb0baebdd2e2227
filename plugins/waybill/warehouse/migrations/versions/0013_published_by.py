"""Which run published the content of a report."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_DDL = "alter table waybill.published add column published_by text"


def upgrade() -> None:
    """Add the column; of what was published before it is not known."""
    op.get_bind().exec_driver_sql(_DDL)
