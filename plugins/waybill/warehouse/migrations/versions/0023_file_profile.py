"""The profile of each loaded file: counts and distribution of the values of each column."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.file_profile (
  file_id integer not null references waybill.load_file on delete cascade,
  column_name text not null,
  rows bigint not null,
  nulls bigint not null,
  distinct_values bigint,
  is_sampled boolean not null,
  minimum text,
  maximum text,
  mean double precision,
  quartile_1 double precision,
  median double precision,
  quartile_3 double precision,
  mean_length double precision,
  top_share double precision,
  top_values jsonb not null,
  primary key (file_id, column_name)
);
comment on table waybill.file_profile is
  'The values of each column in the valid rows of each loaded file. Restricted columns have no values here.';
grant select on waybill.file_profile to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
