"""Anomalies of datasets, and up to which file each dataset was watched."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.anomaly (
  anomaly_id integer generated always as identity primary key,
  dataset text not null,
  cadence text not null,
  period date not null,
  measure text not null,
  column_name text not null,
  observed double precision not null,
  expected double precision not null,
  low double precision not null,
  high double precision not null,
  past jsonb not null,
  run_id text,
  found_at timestamptz not null default now(),
  settled_at timestamptz,
  accepted_as text check (accepted_as in ('exception', 'step')),
  accepted_by text,
  accepted_at timestamptz,
  unique (dataset, cadence, period, measure, column_name)
);
create index anomaly_open on waybill.anomaly (dataset, period) where settled_at is null and accepted_as is null;
comment on table waybill.anomaly is
  'Measures of loaded periods outside the range expected from past periods; settled once they are within it.';

create table waybill.watched (
  dataset text primary key,
  file_id integer not null,
  withdrawn bigint not null,
  contract_sha256 text not null,
  unended_from date not null,
  watched_at timestamptz not null default now()
);
comment on table waybill.watched is
  'Up to which file, period and number of withdrawn files each dataset was searched for anomalies, by which contract.';

grant select on waybill.anomaly, waybill.watched to waybill_reader;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(_DDL)
