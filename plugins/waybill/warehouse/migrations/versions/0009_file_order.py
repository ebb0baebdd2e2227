"""When each file landed and the sortable form of its name: the order of files within a period."""

from __future__ import annotations

from alembic import op

from waybill.warehouse.file_order import natural_key

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Files of before have no landing time. With the same one for all, their order stays that of their names,
# and whatever lands from now on comes after them.
_ADD = """
alter table waybill.load_file
  add column landed_at timestamptz not null default 'epoch',
  add column name_key text collate "C" not null default '';
comment on column waybill.load_file.landed_at is
  'When the content landed, as S3 tells it; 1970-01-01 for files that were loaded before this was recorded.';
comment on column waybill.load_file.name_key is
  'The object key in a form whose order by bytes is the natural order of names.';

alter table waybill.contract
  add column file_order text not null default 'landing',
  add column layout integer not null default 1;
alter table waybill.contract alter column file_order drop default, alter column layout drop default;
comment on column waybill.contract.layout is
  'The form of the views and functions that were made for it; if the code has another one, they are made again.';
"""
_ROWS = 50_000


def upgrade() -> None:
    """Add the columns and compute the names' form for the files that are there."""
    connection = op.get_bind()
    connection.exec_driver_sql(_ADD)
    last = 0
    while rows := connection.exec_driver_sql(
        "select file_id, object_key from waybill.load_file where file_id > %s order by file_id limit %s", (last, _ROWS)
    ).fetchall():
        connection.exec_driver_sql(
            "update waybill.load_file as f set name_key = n.name_key "
            "from unnest(%s::integer[], %s::text[]) as n (file_id, name_key) where f.file_id = n.file_id",
            ([file_id for file_id, _ in rows], [natural_key(key) for _, key in rows]),
        )
        last = rows[-1][0]
