"""Count the changes of each table and day as they are logged, so that no run counts the whole log."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.table_day (
  table_name text not null,
  day date not null,
  changes bigint not null default 0,
  is_delivered boolean not null default false,
  primary key (table_name, day)
) with (fillfactor = 70);
comment on table waybill.table_day is
  'What triggers count: the rows of waybill.change for each table and day, and whether a file was loaded for the day.';
grant select on waybill.table_day to waybill_reader;

insert into waybill.table_day (table_name, day, changes)
select table_name, day, count(*) from waybill.change group by table_name, day;
insert into waybill.table_day as d (table_name, day, is_delivered)
select distinct dataset, period, true from waybill.load_file where status in ('loaded', 'withdrawn')
on conflict (table_name, day) do update set is_delivered = true;

-- whether a rejected file, or the same content under another key, was loaded later
create index load_file_etag on waybill.load_file (etag) where status = 'loaded';

create function waybill.count_added_changes() returns trigger language plpgsql as $$
begin
  insert into waybill.table_day as d (table_name, day, changes)
  select table_name, day, count(*) from added group by table_name, day order by table_name, day
  on conflict (table_name, day) do update set changes = d.changes + excluded.changes;
  return null;
end $$;

create function waybill.count_removed_changes() returns trigger language plpgsql as $$
begin
  update waybill.table_day as d
  set changes = d.changes - r.changes
  from (select table_name, day, count(*) as changes from removed group by table_name, day) as r
  where (d.table_name, d.day) = (r.table_name, r.day);
  return null;
end $$;

create function waybill.note_delivered_days() returns trigger language plpgsql as $$
begin
  insert into waybill.table_day as d (table_name, day, is_delivered)
  select distinct dataset, period, true from added order by dataset, period
  on conflict (table_name, day) do update set is_delivered = true;
  return null;
end $$;

create trigger count_added after insert on waybill.change
referencing new table as added for each statement execute function waybill.count_added_changes();
create trigger count_removed after delete on waybill.change
referencing old table as removed for each statement execute function waybill.count_removed_changes();
create trigger note_delivered after insert on waybill.load_file
referencing new table as added for each statement execute function waybill.note_delivered_days();
"""


def upgrade() -> None:
    """Create the table and the triggers, and count what is there."""
    op.get_bind().exec_driver_sql(_DDL)
