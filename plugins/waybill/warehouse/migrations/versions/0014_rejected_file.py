"""The table of rejected files is named after them; its rows and grants stay."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_DDL = """
alter table waybill.refusal rename to rejected_file;
alter table waybill.rejected_file rename column refusal_id to rejected_file_id;
alter table waybill.rejected_file rename column refused_at to rejected_at;
alter index waybill.refusal_pkey rename to rejected_file_pkey;
alter sequence waybill.refusal_refusal_id_seq rename to rejected_file_rejected_file_id_seq;
comment on table waybill.rejected_file is
  'Files that were not loaded and reports that were not approved, each with the reason.';
"""


def upgrade() -> None:
    """Rename the table, its columns, its index and its sequence."""
    op.get_bind().exec_driver_sql(_DDL)
