"""When the last run of each dataset began, so that no message is lost between two runs, nor by two at once."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.whole_listing add column begun_at timestamptz;
update waybill.whole_listing set begun_at = listed_at;
alter table waybill.whole_listing alter column begun_at set not null;
comment on column waybill.whole_listing.begun_at is
  'When the last run began. The next one looks at the objects of all messages since then.';
comment on column waybill.whole_listing.is_settled is
  'Whether the last run has ended; if not, the next one lists all objects.';
"""


def upgrade() -> None:
    """Create the column."""
    op.get_bind().exec_driver_sql(_DDL)
