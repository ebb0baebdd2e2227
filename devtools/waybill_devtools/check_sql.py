"""`python -m waybill_devtools.check_sql FOLDER`: write the SQL of each contract's checks to a file, for sqlfluff."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from waybill.contracts import load_all


def write(folder: Path) -> None:
    """Write `<schema>.<table>/<check>.sql` for each check with a query, and remove files of earlier calls."""
    shutil.rmtree(folder, ignore_errors=True)
    for contract in load_all().values():
        for check in contract.checks:
            if check.query is not None:
                path = folder / contract.table / f"{check.name}.sql"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(check.query)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
