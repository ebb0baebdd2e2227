"""What is odd about a file that was loaded nevertheless."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.file_warning (
  file_id integer not null references waybill.load_file,
  kind text not null,
  message text not null,
  primary key (file_id, kind, message)
);
comment on table waybill.file_warning is 'What is odd about a loaded file: somebody should look at it.';

grant select on waybill.file_warning to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
