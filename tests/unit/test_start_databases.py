"""`deploy/start-databases.sh` starts what night mode has stopped, and waits. A stand-in answers for the AWS CLI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from waybill.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy" / "start-databases.sh"
METADATA, WAREHOUSE = "waybill-dev-metadata", "waybill-dev-warehouse"
STAND_IN = f"""#!{sys.executable} -IS
import json, pathlib, re, sys
folder = pathlib.Path(__file__).parent
states = json.loads((folder / "states.json").read_text())
with open(folder / "calls", "a") as file:
    print(*sys.argv[1:], file=file)
if sys.argv[2] == "describe-db-instances":
    [database] = re.findall("DBInstanceIdentifier=='(.*?)'", sys.argv[-1])
    print(states[database][0])
    if len(states[database]) > 1:
        del states[database][0]
    (folder / "states.json").write_text(json.dumps(states))
"""


def run(folder: Path, **states: list[str]) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Return how the script ended, and the databases that it started, from the states of each one after another."""
    for name, text in {"aws": STAND_IN, "sleep": "#!/bin/sh\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "states.json").write_text(json.dumps({f"waybill-dev-{name}": one for name, one in states.items()}))
    path = f"{folder}:/usr/bin:/bin"
    done = subprocess.run([SCRIPT, "waybill-dev"], env={"PATH": path}, capture_output=True, text=True)
    calls = (folder / "calls").read_text().splitlines()
    return done, [call.split()[-1] for call in calls if call.startswith("rds start-db-instance")]


@pytest.mark.parametrize("state", ["available", "backing-up", "storage-optimization", ""])
def test_databases_that_run_or_do_not_exist_are_left_alone(tmp_path: Path, state: str) -> None:
    done, started = run(tmp_path, metadata=[state], warehouse=[state])
    assert (done.returncode, done.stdout, done.stderr, started) == (0, "", "", [])


def test_what_is_stopped_is_started_once_and_awaited(tmp_path: Path) -> None:
    done, started = run(
        tmp_path,
        metadata=["stopped", "stopped", "starting", "configuring-enhanced-monitoring", "available"],
        warehouse=["stopping", "stopped", "starting", "available"],
    )
    assert done.returncode == 0, done.stderr
    assert started == [METADATA, WAREHOUSE]
    assert f"{METADATA}: stopped by night mode. It starts now" in done.stdout
    states = json.loads((tmp_path / "states.json").read_text())
    assert states == {METADATA: ["available"], WAREHOUSE: ["available"]}


def test_a_database_that_does_not_start_is_named(tmp_path: Path) -> None:
    done, started = run(tmp_path, metadata=["available"], warehouse=["starting"])
    assert done.returncode == 1
    assert started == []
    assert done.stderr == f"After half an hour, these databases have not started: {WAREHOUSE} (starting)\n"
