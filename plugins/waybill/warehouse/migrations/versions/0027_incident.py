"""Incidents: one for each cause of failed runs or problems of data, with its history and its runs."""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.incident (
  incident_id integer generated always as identity primary key,
  key text not null,
  kind text not null,
  domain text not null,
  severity text not null check (severity in ('error', 'warning')),
  what text not null,
  cause text not null,
  remedy text not null,
  number integer not null,
  is_quiet boolean not null,
  opened_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  acknowledged_by text,
  acknowledged_at timestamptz,
  muted_by text,
  muted_until timestamptz,
  escalated_at timestamptz,
  closed_at timestamptz,
  closed_by text
);
create unique index incident_open on waybill.incident (key) where closed_at is null;
create index incident_domain on waybill.incident (domain, opened_at);
comment on table waybill.incident is
  'Open and closed incidents. `key` names the cause; at most one incident of a cause is open.';
comment on column waybill.incident.number is 'How many runs, files, periods or values it is about.';
comment on column waybill.incident.is_quiet is 'Whether a backfill opened it, so that no alert was sent.';

create table waybill.incident_event (
  event_id bigint generated always as identity primary key,
  incident_id integer not null references waybill.incident on delete cascade,
  event text not null check (event in ('opened', 'grown', 'escalated', 'acknowledged', 'muted', 'unmuted', 'closed')),
  happened_at timestamptz not null default now(),
  by_whom text not null,
  number integer not null
);
create index incident_event_of on waybill.incident_event (incident_id);
create index incident_event_time on waybill.incident_event (happened_at);
comment on table waybill.incident_event is 'What happened to each incident, and the run or person that did it.';

create table waybill.incident_run (
  incident_id integer not null references waybill.incident on delete cascade,
  dag_id text not null,
  run_id text not null,
  task_id text not null,
  scope text not null,
  failed_at timestamptz not null default now(),
  settled_at timestamptz,
  primary key (incident_id, dag_id, run_id, task_id)
);
create index incident_run_open on waybill.incident_run (dag_id, scope) where settled_at is null;
create index incident_run_of on waybill.incident_run (dag_id, run_id);
comment on table waybill.incident_run is
  'The failed or late runs of incidents; settled once the task succeeded for the same period or parameters.';

create index check_result_failed on waybill.check_result (run_id) where not passed;

grant select on waybill.incident, waybill.incident_event, waybill.incident_run to waybill_reader;
"""


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(_DDL)
