"""Build the files for MWAA: `python deploy/artefacts.py [folder]`, by default in dist/.

plugins.zip       the content of plugins/, with include/ and constraints.txt
requirements.txt  the packages of requirements.in, with the versions of the lock

Equal content gives equal bytes, so the version of an object changes only with its content. Uses only the standard
library.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGINS_ON_MWAA = "/usr/local/airflow/plugins"
LEFT_BY_TOOLS = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def contents(root: Path) -> dict[str, bytes]:
    """Return the files of plugins.zip by their names in the archive."""
    files = {}
    for folder, within in (("plugins", ""), ("include", "include/")):
        for path in (root / folder).rglob("*"):
            if path.is_file() and not LEFT_BY_TOOLS.intersection(path.parts):
                files[within + path.relative_to(root / folder).as_posix()] = path.read_bytes()
    return files | {"constraints.txt": constraints((root / "requirements.txt").read_text()).encode()}


def constraints(lock: str) -> str:
    """Return the lock without hashes, which pip does not accept in a constraints file."""
    pinned = re.findall(r"(?m)^([A-Za-z0-9._-]+==[^ \\\n]+(?: ; [^\\\n]*[^ \\\n])?)", lock)
    return "".join(f"{line}\n" for line in pinned)


def requirements(wanted: str) -> str:
    """Return the direct dependencies. Without constraints, MWAA would choose other versions."""
    lines = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    return "\n".join([f'--constraint "{PLUGINS_ON_MWAA}/constraints.txt"', *lines, ""])


def write(folder: Path, root: Path = ROOT) -> None:
    """Write both files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "plugins.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(contents(root).items()):
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    (folder / "requirements.txt").write_text(requirements((root / "requirements.in").read_text()))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist")
