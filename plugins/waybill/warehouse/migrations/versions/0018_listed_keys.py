"""Indexes for the comparison of the bucket with the ledger, so that a page of keys needs no other rows."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_DDL = """
create index load_file_former on waybill.load_file (object_key) where status <> 'loaded';
create index load_file_gone on waybill.load_file (dataset) where gone is not null;
create index rejected_file_object on waybill.rejected_file (object_key, etag);
"""


def upgrade() -> None:
    """Create the indexes."""
    op.get_bind().exec_driver_sql(_DDL)
