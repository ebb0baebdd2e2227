"""The SQL of checks is written to files for the linter."""

from __future__ import annotations

from pathlib import Path

from waybill.contracts import load_all
from waybill_devtools.check_sql import write


def test_each_query_is_written_and_earlier_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "orders.lines").mkdir()
    (tmp_path / "orders.lines" / "removed_check.sql").write_text("select 1")
    write(tmp_path)
    queries = {
        f"{contract.table}/{check.name}.sql": check.query
        for contract in load_all().values()
        for check in contract.checks
        if check.query is not None
    }
    assert len(queries) > 100
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.glob("*/*.sql")} == queries
    configured = [path.parent.name for path in tmp_path.glob("*/.sqlfluff")]
    assert configured == ["clicks.clickstream"], "its checks have Spark's dialect"
