"""Every place where a training set was stored."""

from __future__ import annotations

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.training_set add column earlier_locations text[] not null default '{}';
comment on column waybill.training_set.location is 'The address of the Parquet file that was written last.';
comment on column waybill.training_set.earlier_locations is 'The addresses of the same set that was stored before.';
"""


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql(_DDL)
