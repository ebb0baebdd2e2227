"""How long each load and each build took, from which plans of backfills estimate their time."""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.load_file add column seconds real;
comment on column waybill.load_file.seconds is 'The time of its transaction: without the download.';
alter table waybill.publication add column seconds real;
comment on column waybill.publication.seconds is 'The time of the transaction that built it.';
"""


def upgrade() -> None:
    """Add the columns; of earlier loads and builds the time is not known."""
    op.get_bind().exec_driver_sql(_DDL)
