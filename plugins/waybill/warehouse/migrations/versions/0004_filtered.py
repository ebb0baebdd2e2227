"""Rows that are left out because nobody asked for their kind join the books."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.load_file
  add column filtered bigint not null default 0,
  add column kept_values text[],
  drop constraint books_balance;
alter table waybill.load_file add constraint books_balance check (
  rows_in = inserted + updated + unchanged + rejected + duplicate + stale + filtered
  and least(inserted, updated, unchanged, rejected, duplicate, stale, filtered) >= 0
);
comment on column waybill.load_file.kept_values is
  'The values of the filtered column whose rows were kept, sorted; null where nothing is filtered.';

alter table waybill.quarantine drop constraint quarantine_resolved_as_check;
alter table waybill.quarantine add constraint quarantine_resolved_as_check check (
  resolved_as in ('inserted', 'updated', 'unchanged', 'duplicate', 'stale', 'filtered')
);
"""


def upgrade() -> None:
    """Add the count, what it was counted by, and the count to the checks."""
    op.get_bind().exec_driver_sql(_DDL)
