"""`python -m waybill_devtools.check_sql FOLDER`: write the SQL of each contract's checks to a file, for sqlfluff."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from waybill.contracts import load_all
from waybill.settings import settings


def write(folder: Path) -> None:
    """Write `<schema>.<table>/<check>.sql` for each check with a query, and remove files of earlier calls.

    Checks of datasets on Spark have the dialect of the SQL files of their domain.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for contract in load_all().values():
        dialect = settings().include_dir / "sql" / contract.domain / ".sqlfluff"
        if dialect.exists():
            (folder / contract.table).mkdir(parents=True)
            shutil.copy(dialect, folder / contract.table)
        for check in contract.checks:
            if check.query is not None:
                path = folder / contract.table / f"{check.name}.sql"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(check.query)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
