"""Who computes: the run, and the version of the code."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from waybill.settings import PROJECT_ROOT, settings


@dataclass(frozen=True)
class Run:
    """Who loads: recorded with every file, check and report."""

    run_id: str | None
    code_version: str


_CODE = ("dags", "include", "plugins")
"""Folders whose files are code as soon as they lie there."""


@cache
def code_version() -> str:
    """The setting, else the git commit (marked `+changes` when files differ from it), else the package's version.

    A report or contract that is not committed yet is such a file, too.
    """
    if settings().code_version:
        return str(settings().code_version)
    return commit_of(PROJECT_ROOT) or metadata.version("waybill")


def commit_of(root: Path) -> str | None:
    """The commit that is checked out in a folder; None if git does not know."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        commit = git("describe", "--always", "--abbrev=12", "--exclude=*")
        changed = git("status", "--porcelain", "--untracked-files=no")
        return f"{commit}+changes" if changed or git("ls-files", "--others", "--exclude-standard", *_CODE) else commit
    except (OSError, subprocess.CalledProcessError):
        return None
