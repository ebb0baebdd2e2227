"""Whom people asked to forget: a keyed hash, what replaces the id, and the certificate."""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.erasure (
  erasure_id integer generated always as identity primary key,
  domain text not null,
  kind text not null,
  declared text not null,
  person text not null,
  number integer not null,
  tombstone text not null,
  key_check text not null,
  asked_by text not null,
  code_version text not null,
  certificate jsonb not null,
  erased_at timestamptz not null default now()
);
create index on waybill.erasure (domain, kind, person);
comment on table waybill.erasure is
  'The people who were forgotten, one row for each time that something of them was erased. Their ids are not stored.';
comment on column waybill.erasure.declared is 'The column of the manifest that identified the person.';
comment on column waybill.erasure.person is 'The HMAC of the id, by which loads recognise the person.';
comment on column waybill.erasure.number is 'Distinguishes the person from others of the domain.';
comment on column waybill.erasure.tombstone is 'The value that replaces the id.';
comment on column waybill.erasure.key_check is 'By which a change of the key is noticed.';
comment on column waybill.erasure.certificate is 'What was erased, what waits for a run, and what is left.';
grant select on waybill.erasure to waybill_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(_DDL)
