"""What retentions removed, and the day before which the history of a dataset is no longer whole."""

from __future__ import annotations

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.horizon (
  dataset text primary key,
  day date not null,
  moved_at timestamptz not null default clock_timestamp(),
  run_id text
);
comment on table waybill.horizon is
  'The first day of which the history of a dataset is whole. Questions about earlier days are refused.';

create function waybill.is_kept(_dataset text, _day date) returns boolean
language plpgsql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
declare
  _horizon date;
begin
  select h.day into _horizon from waybill.horizon as h where h.dataset = _dataset;
  if _day < _horizon then
    raise exception using
      errcode = '22W01',
      message = 'the history of ' || _dataset || ' is kept since ' || _horizon || ', so what was known before ' || _day
        || ' cannot be told',
      hint = 'Ask for ' || _horizon || ' or later: the retention of the contract has removed earlier states';
  end if;
  return true;
end
$$;
comment on function waybill.is_kept is
  'True if the rows of a dataset as known just before a day can be told; else an error that names the horizon.';

create table waybill.retention (
  retention_id bigint generated always as identity primary key,
  dataset text not null,
  element text not null check (element in ('raw', 'quarantine', 'history')),
  place text not null,
  kept_from date not null,
  objects bigint not null,
  overdue bigint not null default 0,
  first_day date,
  last_day date,
  run_id text,
  done_at timestamptz not null default clock_timestamp()
);
create index retention_dataset on waybill.retention (dataset, element, retention_id);
comment on table waybill.retention is
  'What each run removed by the retention of a contract, and which raw files it found that the bucket should remove.';
comment on column waybill.retention.overdue is
  'Of raw files: how many should have been removed some days ago.';
grant select on waybill.horizon, waybill.retention to waybill_reader;

alter table waybill.quarantine add column removed_at timestamptz;
comment on column waybill.quarantine.removed_at is 'When the retention removed the text of the record; else null.';
alter table waybill.stream_rejected add column removed_at timestamptz;
comment on column waybill.stream_rejected.removed_at is 'When the retention removed the text of the event; else null.';

alter table waybill.load_file
  drop constraint load_file_gone_check,
  add constraint load_file_gone_check check (gone in ('noticed', 'accepted', 'expired'));
comment on column waybill.load_file.gone is
  'Of a loaded file whose object is no longer in the bucket: noticed by a run, accepted by somebody, or expired by the '
  'retention of raw files; else null.';
"""


def upgrade() -> None:
    """Create the tables and the function, and add the columns."""
    op.get_bind().exec_driver_sql(_DDL)
