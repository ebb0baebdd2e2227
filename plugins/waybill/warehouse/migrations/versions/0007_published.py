"""What was published of each report and period, beside what was built last."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.published (
  report text not null,
  cadence text not null,
  period date not null,
  row_count bigint not null,
  content_sha256 text not null,
  sql_sha256 text,
  code_version text not null,
  run_id text,
  file_ids integer[] not null,
  inputs text[] not null,
  built_at timestamptz not null,
  object_sha256 text,
  published_at timestamptz not null default now(),
  primary key (report, cadence, period)
);
comment on table waybill.published is
  'The content of each report and period that was published last; waybill.publication has the one built last.';
comment on column waybill.published.object_sha256 is 'The Parquet object with its rows.';

insert into waybill.published (
  report, cadence, period, row_count, content_sha256, sql_sha256, code_version, run_id, file_ids, inputs, built_at
)
select report, cadence, period, row_count, content_sha256, sql_sha256, code_version, run_id, file_ids, inputs, built_at
from waybill.publication
where exported_sha256 = content_sha256;

grant select on waybill.published to waybill_reader;
"""


def upgrade() -> None:
    """Create the table, with what is published and is still the content built last."""
    op.get_bind().exec_driver_sql(_DDL)
