"""The contract version that rejected a file, so that a corrected contract is tried on it."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.rejected_file add column contract_version text;
comment on column waybill.rejected_file.contract_version is
  'The newest version that rejected the file with this message; null for reports and older entries.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
