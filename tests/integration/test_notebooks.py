"""The notebooks run on sample files, and are committed with their output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from support.messaging_months import database
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.notebooks import FOLDER, execute, load_sample
from waybill_devtools.stack import Stack

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_BYTES = 60_000


@pytest.fixture(scope="module")
def sample(stack: Stack) -> Iterator[None]:
    """A warehouse with small sample files, which the environment names."""
    with pytest.MonkeyPatch.context() as patch, database(stack) as dsn:
        for name, value in stack.env().items():
            if name.startswith(("AWS_", "NO_PROXY", "no_proxy", "WAYBILL_LAKE_", "WAYBILL_MASK_KEY")):
                patch.setenv(name, value)
        reader = stack.database_url("waybill_reader", str(conninfo_to_dict(dsn)["dbname"]))
        patch.setenv("AIRFLOW_CONN_WAYBILL_READER", reader)
        patch.setenv("WAYBILL_RAW_BUCKET", "notebooks")
        settings.cache_clear()
        s3 = stack.s3()
        s3.create_bucket(Bucket="notebooks")
        with connect(dsn) as connection:
            load_sample(connection, s3, months=9, scale=0.2)
        yield
    settings.cache_clear()


@pytest.mark.usefixtures("sample")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    executed = execute(path)
    kinds = [kind for cell in executed.cells for output in cell.get("outputs", ()) for kind in output.get("data", {})]
    assert "image/png" in kinds


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["churn_model", "explore_report"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_whole_output(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"display_data", "execute_result", "stream"}
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
