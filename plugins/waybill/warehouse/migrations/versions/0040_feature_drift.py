"""How much the values of features differ from those of the previous period."""

from __future__ import annotations

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.feature_drift (
  feature_table text not null,
  period date not null,
  column_name text not null,
  rows bigint not null,
  previous_rows bigint not null,
  stability_index numeric not null,
  primary key (feature_table, period, column_name)
);
comment on table waybill.feature_drift is
  'The population stability index of each feature between a period and the previous one.';
comment on column waybill.feature_drift.rows is 'How many rows of the period were compared.';
grant select on waybill.feature_drift to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
