"""Columns of loaded files that look personal."""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.personal_column (
  file_id integer not null references waybill.load_file on delete cascade,
  column_name text not null,
  kind text not null,
  found_in text not null check (found_in in ('name', 'values', 'text')),
  hits bigint not null,
  values_searched bigint not null,
  primary key (file_id, column_name, kind)
);
comment on table waybill.personal_column is
  'Columns of loaded files without a classification that look personal. No value is stored.';
comment on column waybill.personal_column.hits is 'How many of the different values that were searched have the kind.';
grant select on waybill.personal_column to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
