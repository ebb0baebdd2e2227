"""Identify the run and the version of the code that compute a number."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from waybill.settings import PROJECT_ROOT, settings


@dataclass(frozen=True)
class Run:
    """The run and code version that are recorded with every file, check and report."""

    run_id: str | None
    code_version: str


_CODE = ("dags", "include", "plugins")
"""Folders in which untracked files count as changes of the code."""


@cache
def code_version() -> str:
    """Return the setting, else the git commit, else the package's version.

    The commit is marked `+changes` if files differ from it or a report or contract is not committed yet.
    """
    if settings().code_version:
        return str(settings().code_version)
    return commit_of(PROJECT_ROOT) or metadata.version("waybill")


def commit_of(root: Path) -> str | None:
    """Return the commit that is checked out in a folder, or None without git."""

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
