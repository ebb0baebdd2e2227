"""The artefacts for MWAA: equal content gives equal bytes, with the tested versions only."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from waybill.settings import PROJECT_ROOT


def build(folder: Path, root: Path) -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("artefacts", root / "deploy" / "artefacts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(folder)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with files created in another order, at another time, with other permissions."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("deploy", "plugins", "include"):
        for path in sorted((PROJECT_ROOT / folder).rglob("*"), reverse=True):
            if path.is_file() and "__pycache__" not in path.parts:
                target = root / path.relative_to(PROJECT_ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
                target.chmod(0o600)
                os.utime(target, (1, 1))
    for name in ("requirements.in", "requirements.txt"):
        shutil.copyfile(PROJECT_ROOT / name, root / name)
    for name in ("__pycache__", ".mypy_cache"):
        (root / "plugins" / name).mkdir(exist_ok=True)
        (root / "plugins" / name / "left").write_bytes(b"over")
    return root


def test_equal_content_gives_equal_bytes(copy: Path, tmp_path: Path) -> None:
    here = build(tmp_path / "here", PROJECT_ROOT)
    assert here.keys() == {"plugins.zip", "requirements.txt"}
    assert build(tmp_path / "there", copy) == here
    sql = next((copy / "include" / "sql").rglob("*.sql"))
    original = sql.read_bytes()
    sql.write_bytes(original + b"\n")
    changed = build(tmp_path / "changed", copy)
    sql.write_bytes(original)
    assert changed["plugins.zip"] != here["plugins.zip"]
    assert changed["requirements.txt"] == here["requirements.txt"]


def test_the_unpacked_artefacts_work(copy: Path, tmp_path: Path) -> None:
    build(tmp_path / "dist", copy)
    plugins = tmp_path / "plugins"
    with zipfile.ZipFile(tmp_path / "dist" / "plugins.zip") as archive:
        archive.extractall(plugins)
    assert {"waybill_plugin.py", ".airflowignore", "waybill", "include", "constraints.txt"} == set(os.listdir(plugins))
    assert not list(plugins.rglob("*.pyc"))
    script = "from waybill.contracts import load_all; import waybill; print(waybill.__file__, len(load_all()))"
    environment = {"PYTHONPATH": str(plugins), "WAYBILL_INCLUDE_DIR": str(plugins / "include"), "PATH": os.defpath}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where, count = done.stdout.split()
    assert Path(where).is_relative_to(plugins)
    assert int(count) == len(list((PROJECT_ROOT / "include" / "contracts").rglob("*.yaml")))


def test_every_package_has_the_version_of_the_lock(copy: Path, tmp_path: Path) -> None:
    build(tmp_path, copy)
    with zipfile.ZipFile(tmp_path / "plugins.zip") as archive:
        constraints = archive.read("constraints.txt").decode()
    lock = (PROJECT_ROOT / "requirements.txt").read_text()
    assert re.findall(r"(?m)^(\S+==\S+)", constraints) == re.findall(r"(?m)^(\S+==\S+)", lock)
    assert constraints.count("==") >= 150
    assert "--hash" not in constraints
    first, *wanted = (tmp_path / "requirements.txt").read_text().splitlines()
    assert first == '--constraint "/usr/local/airflow/plugins/constraints.txt"'
    pinned = {line.split("==")[0] for line in constraints.splitlines()}
    names = {re.split(r"[\[=<>~ ]", line)[0].lower().replace("_", "-") for line in wanted}
    assert len(names) > 15
    assert names <= pinned
