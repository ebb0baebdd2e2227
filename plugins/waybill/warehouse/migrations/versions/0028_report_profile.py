"""Profiles of reports, when the watch looked last, and accepted drift."""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# Reports that were built before have no profile. They were not searched, and their row counts are known.
_DDL = """
create table waybill.report_profile (
  report text not null,
  cadence text not null,
  period date not null,
  column_name text not null,
  rows bigint not null,
  nulls bigint not null,
  distinct_values bigint,
  mean double precision,
  mean_length double precision,
  top_share double precision,
  primary key (report, cadence, period, column_name),
  foreign key (report, cadence, period) references waybill.publication on delete cascade
);
comment on table waybill.report_profile is 'The values of each column in the rows of each built period of a report.';
grant select on waybill.report_profile to waybill_reader;

alter table waybill.publication add column is_watched boolean not null default true;
alter table waybill.publication alter column is_watched set default false;
comment on column waybill.publication.is_watched is
  'Whether the watch has searched this content of the period for anomalies.';

create table waybill.watch_look (
  what text primary key check (what in ('anomalies', 'drift')),
  ended_at timestamptz not null
);
comment on table waybill.watch_look is 'When all datasets and reports were last searched for anomalies or drift.';
grant select on waybill.watch_look to waybill_reader;

-- Loads delete the profile of a file that they replace or withdraw.
delete from waybill.file_profile as p
using waybill.load_file as f
where p.file_id = f.file_id and f.status <> 'loaded';

alter table waybill.drift
  add column accepted_by text,
  add column accepted_at timestamptz;
comment on column waybill.drift.accepted_at is 'When somebody said that the drift is meant: it is no longer open.';
"""


def upgrade() -> None:
    """Create the table and add the columns."""
    op.get_bind().exec_driver_sql(_DDL)
