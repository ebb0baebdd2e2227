"""When each dataset was last listed as a whole, so that most runs list only a part."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_DDL = """
create table waybill.whole_listing (
  dataset text primary key,
  location text not null,
  contract_sha256 text not null,
  kept_values text[],
  listed_at timestamptz not null,
  objects bigint not null,
  is_settled boolean not null
);
comment on table waybill.whole_listing is
  'The last comparison of all objects of a dataset with the ledger, for datasets whose files land at any time.';
comment on column waybill.whole_listing.location is 'The bucket and the layout that were listed.';
comment on column waybill.whole_listing.is_settled is
  'Whether every run since then has ended; if not, the next one lists all objects.';
grant select on waybill.whole_listing to waybill_reader;

create index load_file_key on waybill.load_file (dataset, bucket, object_key collate "C") where status = 'loaded';
"""


def upgrade() -> None:
    """Create the table and the index."""
    op.get_bind().exec_driver_sql(_DDL)
