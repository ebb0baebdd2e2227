"""`deploy/run-task.sh` starts a task, waits for its end and fails if it fails. A stand-in answers for the AWS CLI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from waybill.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy" / "run-task.sh"
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/waybill-dev/0123456789abcdef"
STAND_IN = f"""#!{sys.executable}
import json, os, sys
if os.environ.get("AWS_PAGER") != "":
    sys.exit("The AWS CLI would wait in a pager.")
folder = os.path.dirname(__file__)
answers = json.load(open(folder + "/answers.json"))
with open(folder + "/calls.jsonl", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
called = [line for line in open(folder + "/calls.jsonl") if json.loads(line)[1:2] == sys.argv[2:3]]
answer = answers[sys.argv[2]]
if isinstance(answer, list):
    answer = answer[min(len(called), len(answer)) - 1]
if answer is None:
    sys.exit("An error occurred (ResourceNotFoundException)")
print(answer)
"""


class Cli:
    """A folder with stand-ins for `aws` and `sleep`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in {"aws": STAND_IN, "sleep": "#!/bin/sh\n"}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.answers: dict[str, Any] = {
            "describe-subnets": "subnet-1\tsubnet-2",
            "describe-security-groups": "sg-1",
            "describe-task-definition": "migrate\t/waybill-dev/airflow/migrate\tmigrate",
            "run-task": f"{TASK}\tNone",
            "describe-tasks": ["PROVISIONING", "RUNNING", "STOPPED", "0\tEssential container in task exited"],
            "get-log-events": "first line\nlast line",
            "stop-task": "",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        command = [str(SCRIPT), "waybill-dev", "waybill-dev-migrate", *arguments]
        path = f"{self.folder}:{Path(sys.executable).parent}:/usr/bin:/bin"
        return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True)

    def calls(self, operation: str) -> list[list[str]]:
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [call for call in map(json.loads, lines) if call[1] == operation]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def argument(call: list[str], name: str) -> str:
    return call[call.index(name) + 1]


def test_it_waits_for_the_end_and_prints_the_log(cli: Cli) -> None:
    done = cli.run()
    assert done.returncode == 0, done.stderr
    assert "first line\nlast line\n" in done.stdout
    assert len(cli.calls("describe-tasks")) == 4
    [started] = cli.calls("run-task")
    assert argument(started, "--cluster") == "waybill-dev"
    assert argument(started, "--network-configuration") == (
        "awsvpcConfiguration={subnets=[subnet-1,subnet-2],securityGroups=[sg-1],assignPublicIp=DISABLED}"
    )
    assert json.loads(argument(started, "--overrides")) == {"containerOverrides": []}
    [log] = cli.calls("get-log-events")
    assert argument(log, "--log-stream-name") == "migrate/migrate/0123456789abcdef"


def test_a_command_replaces_that_of_the_definition(cli: Cli) -> None:
    command = ["sh", "-c", "echo \"a 'b'\" && exit 0"]
    assert cli.run(*command).returncode == 0
    overrides = json.loads(argument(cli.calls("run-task")[0], "--overrides"))
    assert overrides == {"containerOverrides": [{"name": "migrate", "command": command}]}


def test_it_fails_with_the_exit_code_of_the_task(cli: Cli) -> None:
    cli.answers["describe-tasks"] = ["STOPPED", "3\tEssential container in task exited"]
    done = cli.run()
    assert done.returncode == 3
    assert "last line" in done.stdout
    assert "failed with exit code 3" in done.stderr


def test_a_container_that_never_ran_is_a_failure(cli: Cli) -> None:
    cli.answers["describe-tasks"] = ["STOPPED", "None\tCannotPullContainerError: not found"]
    cli.answers["get-log-events"] = None
    done = cli.run()
    assert done.returncode == 1
    assert "the container did not run: CannotPullContainerError: not found" in done.stderr


def test_a_task_that_does_not_start_is_a_failure(cli: Cli) -> None:
    cli.answers["run-task"] = "None\tCapacity is unavailable at this time"
    done = cli.run()
    assert done.returncode == 1
    assert "did not start: Capacity is unavailable" in done.stderr
    assert not cli.calls("describe-tasks")


def test_a_task_that_does_not_end_is_stopped(cli: Cli) -> None:
    cli.answers["describe-tasks"] = "RUNNING"
    # One process less for each question, of which there are hundreds.
    (cli.folder / "aws").rename(cli.folder / "slow")
    (cli.folder / "aws").write_text(
        f'#!/bin/sh\ncase "$2" in describe-tasks) echo RUNNING ;; *) exec {cli.folder}/slow "$@" ;; esac\n'
    )
    (cli.folder / "aws").chmod(0o755)
    done = cli.run()
    assert done.returncode == 1
    assert "did not end within half an hour" in done.stderr
    assert argument(cli.calls("stop-task")[0], "--task") == TASK


@pytest.mark.parametrize("missing", ["describe-subnets", "describe-security-groups"])
def test_a_missing_network_is_named(cli: Cli, missing: str) -> None:
    cli.answers[missing] = ""
    done = cli.run()
    assert done.returncode == 1
    assert "waybill-dev: the private subnets or the security group" in done.stderr
    assert not cli.calls("run-task")
