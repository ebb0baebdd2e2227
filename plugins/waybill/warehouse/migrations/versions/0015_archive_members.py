"""The members of an archive and their records, so that a record number leads to its member."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.load_file add column archive_members jsonb;
comment on column waybill.load_file.archive_members is
  'For an archive with several data files: name, first_record and records of each; else null.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
