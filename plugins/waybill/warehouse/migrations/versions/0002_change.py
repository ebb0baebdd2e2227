"""Which days of a table changed, and how far each dataset has come."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.change (
  change_id bigint generated always as identity primary key,
  table_name text not null,
  day date not null,
  file_id integer, -- of waybill.load_file; null when the change came from no file
  changed_at timestamptz not null default now()
);
create index on waybill.change (table_name, day);
comment on table waybill.change is 'One row per change of a table and business day, in the order of change_id.';

create table waybill.checkpoint (
  dataset text primary key,
  newest timestamptz not null,
  file_id integer not null,
  moved_at timestamptz not null default now()
);
comment on table waybill.checkpoint is 'The newest instant that each dataset holds, and the file that brought it.';

grant select on waybill.change, waybill.checkpoint to waybill_reader;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(_DDL)
