"""Which of the contract's columns a file brought: what it lacks, others may have had."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.load_file add column brought_columns text[];
comment on column waybill.load_file.brought_columns is
  'The columns of the contract that the file has; null where that is not known.';

-- An index holds no long message.
alter table waybill.file_warning drop constraint file_warning_pkey;
create unique index on waybill.file_warning (file_id, kind, md5(message));
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
