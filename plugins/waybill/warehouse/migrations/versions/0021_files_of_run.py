"""An index for the files of a run, which its page shows and each task of the run looks for."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.get_bind().exec_driver_sql("create index load_file_run on waybill.load_file (run_id)")
