"""Reports of several cadences, and what tells which days and periods are stale."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.publication
  add column cadence text not null default 'month',
  add column inputs text[] not null default '{}',
  add column contract_sha256 text,
  add column changes_seen bigint,
  add column exported_sha256 text;
alter table waybill.publication alter column cadence drop default;
alter table waybill.publication drop constraint publication_pkey;
alter table waybill.publication add primary key (report, cadence, period);
comment on column waybill.publication.changes_seen is
  'Changes of the inputs within the window when it was built: with more of them now, the period is stale.';
comment on column waybill.publication.exported_sha256 is 'The content that was exported last.';

alter table waybill.check_result add column cadence text not null default 'month';
alter table waybill.check_result alter column cadence drop default;
alter table waybill.check_result drop constraint check_result_pkey;
alter table waybill.check_result add primary key (subject, check_name, cadence, period);

create table waybill.processed_day (
  dataset text not null,
  day date not null,
  row_count bigint not null,
  changes_seen bigint not null,
  written_at timestamptz not null default now(),
  primary key (dataset, day)
);
comment on table waybill.processed_day is 'The days of each dataset as they lie in the processed zone.';
grant select on waybill.processed_day to waybill_reader;
"""


def upgrade() -> None:
    """Widen the keys by the cadence and add what a rebuild compares."""
    op.get_bind().exec_driver_sql(_DDL)
