"""Over which channels each alert goes out, and whether it has."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.alert_delivery (
  dag_id text not null,
  run_id text not null,
  kind text not null,
  channel text not null,
  leased_until timestamptz,
  send_began_at timestamptz,
  sent_at timestamptz,
  error text,
  primary key (dag_id, run_id, kind, channel),
  foreign key (dag_id, run_id, kind) references waybill.alert
);
create index alert_delivery_waiting on waybill.alert_delivery (channel) where sent_at is null;
comment on table waybill.alert_delivery is 'Over which channels each alert goes out: over each at most once.';
comment on column waybill.alert_delivery.send_began_at is
  'Set before the message is handed over; without sent_at nobody knows whether it went out, and it is not sent again.';

insert into waybill.alert_delivery (dag_id, run_id, kind, channel, send_began_at, sent_at)
select dag_id, run_id, kind, unnest(channels), raised_at, raised_at
from waybill.alert;

grant select on waybill.alert_delivery to waybill_reader;
"""


def upgrade() -> None:
    """Create the table, with what has gone out."""
    op.get_bind().exec_driver_sql(_DDL)
