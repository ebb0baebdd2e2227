"""Why a file was refused, as data: how many rows broke which rule, with the first records."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.refusal add column reasons jsonb not null default '[]';
comment on column waybill.refusal.reasons is
  'The rules that rows broke: reason, rows, the first records with their values (restricted ones are masked).';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
