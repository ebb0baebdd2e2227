"""Rejected files whose objects were deleted: nobody has to correct them."""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.rejected_file add column deleted_at timestamptz;
comment on column waybill.rejected_file.deleted_at is 'When a look found that the object is gone from the bucket.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
