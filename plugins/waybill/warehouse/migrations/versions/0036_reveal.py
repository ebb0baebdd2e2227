"""Who revealed the restricted values of a rejected record, and when."""

from __future__ import annotations

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.reveal (
  reveal_id integer generated always as identity primary key,
  dataset text not null,
  file_id integer,
  record integer,
  shard text,
  sequence numeric,
  revealed_at timestamptz not null default clock_timestamp(),
  revealed_by text not null,
  shown_in text not null check (shown_in in ('command', 'page')),
  reason text not null default '',
  check ((file_id is null) = (record is null) and (shard is null) = (sequence is null)),
  check ((file_id is null) <> (shard is null))
);
create index reveal_dataset on waybill.reveal (dataset, reveal_id);
comment on table waybill.reveal is
  'Each time that somebody was shown the restricted values of a rejected row or event. The values are not here.';
comment on column waybill.reveal.revealed_by is
  'The user of the web server, or for a command the account of the operating system.';
grant select on waybill.reveal to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
