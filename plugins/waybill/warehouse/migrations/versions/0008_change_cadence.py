"""Which of a report's periods a change is about: a day, a week and a month may begin on the same day."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.change add column cadence text;
comment on column waybill.change.cadence is 'How long the changed period of a derived table is; null for a dataset.';
update waybill.change as c
set cadence = p.cadence
from (
  select report, min(cadence) as cadence
  from waybill.publication
  group by report
  having min(cadence) = max(cadence)
) as p
where c.table_name = p.report;
"""


def upgrade() -> None:
    """Add the column, and fill it for tables that have periods of one length."""
    op.get_bind().exec_driver_sql(_DDL)
