"""The ignored lines of a file by pattern, so that comments and footers are accounted for, too."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.load_file add column ignored_lines jsonb;
comment on column waybill.load_file.ignored_lines is
  'The number of lines that each pattern of ignoredLines left out; null without patterns.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
