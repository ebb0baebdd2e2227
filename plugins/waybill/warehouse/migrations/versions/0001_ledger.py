"""The ledger of files, the quarantine, quality results, publications and alerts."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_DDL = """
create table waybill.contract (
  contract_id integer generated always as identity primary key,
  dataset text not null,
  version text not null,
  sha256 text not null,
  document text not null,
  applied_at timestamptz not null default now()
);
create index on waybill.contract (dataset, contract_id);

create table waybill.load_file (
  file_id integer generated always as identity primary key,
  dataset text not null,
  period date not null,
  bucket text not null,
  object_key text not null,
  version_id text,
  etag text not null,
  sha256 text not null,
  size_bytes bigint not null,
  status text not null default 'loaded' check (status in ('loaded', 'superseded')),
  replaces_file_id integer references waybill.load_file,
  contract_sha256 text not null,
  contract_version text not null,
  code_version text not null,
  run_id text,
  ignored_columns text[] not null default '{}',
  rows_in bigint not null default 0,
  inserted bigint not null default 0,
  updated bigint not null default 0,
  unchanged bigint not null default 0,
  rejected bigint not null default 0,
  duplicate bigint not null default 0,
  stale bigint not null default 0,
  loaded_at timestamptz not null default now(),
  constraint books_balance check (
    rows_in = inserted + updated + unchanged + rejected + duplicate + stale
    and least(inserted, updated, unchanged, rejected, duplicate, stale) >= 0
  )
);
create unique index load_file_live on waybill.load_file (dataset, bucket, object_key) where status = 'loaded';
create index on waybill.load_file (dataset, period);
comment on table waybill.load_file is 'One row per loaded version of a file; status loaded marks the one that counts.';

create table waybill.refusal (
  refusal_id integer generated always as identity primary key,
  dataset text not null,
  period date,
  object_key text not null,
  etag text,
  run_id text,
  message text not null,
  refused_at timestamptz not null default now()
);
comment on table waybill.refusal is 'Files that were not loaded at all, and why.';

create table waybill.quarantine (
  file_id integer not null, -- of waybill.load_file; a foreign key would double the time to store many rows
  record integer not null,
  reasons text[] not null,
  raw text not null,
  contract_version text not null,
  resolved_as text check (resolved_as in ('inserted', 'updated', 'unchanged', 'duplicate', 'stale')),
  resolved_by text,
  resolved_at timestamptz,
  primary key (file_id, record),
  check ((resolved_as is null) = (resolved_at is null))
);
create index on waybill.quarantine (file_id) where resolved_as is null;
comment on table waybill.quarantine is 'Rejected rows with every reason; resolved rows stay, marked by their run.';

create table waybill.check_result (
  subject text not null,
  check_name text not null,
  period date not null,
  severity text not null check (severity in ('error', 'warning')),
  observed numeric,
  operator text not null,
  threshold numeric not null,
  passed boolean not null,
  run_id text,
  checked_at timestamptz not null default now(),
  primary key (subject, check_name, period)
);

create table waybill.publication (
  report text not null,
  period date not null,
  row_count bigint not null,
  content_sha256 text not null,
  sql_sha256 text,
  code_version text not null,
  file_ids integer[] not null,
  run_id text,
  built_at timestamptz not null default now(),
  primary key (report, period)
);
comment on table waybill.publication is 'What each report of each period was built from: the head of its waybill.';

create table waybill.alert (
  dag_id text not null,
  run_id text not null,
  kind text not null,
  message text not null,
  channels text[] not null default '{}',
  raised_at timestamptz not null default now(),
  primary key (dag_id, run_id, kind)
);

grant usage on schema waybill to waybill_reader;
grant select on all tables in schema waybill to waybill_reader;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(_DDL)
