"""Execute the notebooks on an embedded stack with sample files, and store them with their output: `make notebooks`.

What differs from run to run is left out of the files, so that they change only if code or data do.
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from waybill.contracts import load_domain
from waybill.contracts.locations import report_files
from waybill.derived.build import build_from_sql, known_files, report_contracts
from waybill.derived.refresh_features import refresh_features
from waybill.intake.ingest import ingest
from waybill.period import Period
from waybill.run import Run
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools.sampledata import messaging
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FOLDER = PROJECT_ROOT / "notebooks"
LAST_MONTH = "2026-03"
MONTHS = 14
REPORT = "industry_exposure"
RUN = Run("notebooks", "sample")


def load_sample(connection: Connection, s3: S3Client, months: int = MONTHS, scale: float = 1.0) -> None:
    """Load sample files of some months, as the DAG does; build what the notebooks read."""
    for file in messaging.generate(LAST_MONTH, months, scale=scale).files:
        s3.put_object(Bucket=settings().raw_bucket, Key=file.key, Body=file.body)
    contracts, reports = load_domain("messaging"), report_contracts("messaging")
    last = Period.parse("month", LAST_MONTH)
    for month in last.shift(1 - months).until(last):
        for name in ("customers", "channels", "traffic"):
            ingest(connection, s3, contracts[name], contracts, month, RUN)
    [path] = [one for one in report_files("messaging") if one.stem == REPORT]
    text = path.read_text(encoding="utf-8")
    inputs = partial(known_files, connection, "messaging", last, text)
    build_from_sql(connection, reports[REPORT], inputs, text, last, RUN)
    refresh_features(connection, "messaging", RUN)


def execute(path: Path) -> Any:
    """Execute a notebook in a kernel of this environment; return it with its output.

    Nothing is written to the home of the user. Raises `nbclient.exceptions.CellExecutionError` for the error of a cell.
    """
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="waybill-kernel-") as folder:
        # Through sockets in the folder, which other users cannot open.
        files = {"transport": "ipc", "ip": f"{folder}/kernel", "connection_file": f"{folder}/kernel.json"}
        client = NotebookClient(
            notebook, kernel_name="python3", timeout=120, record_timing=False, config=Config(KernelManager=files)
        )
        client.execute(env={**os.environ, "IPYTHONDIR": folder, "MPLCONFIGDIR": folder})
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number}"
        cell.metadata = {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main() -> None:
    """Start a stack, load the sample, and execute all notebooks in place."""
    import nbformat

    stack = Stack(PROJECT_ROOT / ".waybill" / "notebooks")
    try:
        stack.up(with_airflow=False)
        os.environ |= stack.env()
        settings.cache_clear()
        with connect() as connection:
            upgrade(connection)
            load_sample(connection, stack.s3())
        for path in sorted(FOLDER.glob("*.ipynb")):
            print(f"Executing {path.name} ...", file=sys.stderr)
            nbformat.write(execute(path), path)
    finally:
        stack.down()


if __name__ == "__main__":
    main()
