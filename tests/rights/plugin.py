"""Record the calls of AWS while tests run, and compare them with the policies at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from rights.calls import FOLDER, record, recorded
from rights.policies import problems

DISAGREEMENTS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Record in one folder, which workers of xdist and subprocesses inherit. A folder of the environment is kept."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = folder = tempfile.mkdtemp(prefix="waybill-calls-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    record()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail if the recorded calls of AWS disagree with the policies of Terraform."""
    config = session.config
    if hasattr(config, "workerinput"):
        return
    options = (config.option.keyword, config.option.markexpr, config.option.collectonly)
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(options)
    calls = recorded(Path(os.environ[FOLDER]))
    is_whole = everything and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    config.stash[DISAGREEMENTS] = [*problems(calls, complete=is_whole)]
    if config.stash[DISAGREEMENTS]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the disagreements."""
    if found := config.stash.get(DISAGREEMENTS, []):
        terminalreporter.section("calls of AWS and policies of Terraform", red=True)
        terminalreporter.write("".join(f"{line}\n" for line in found))
