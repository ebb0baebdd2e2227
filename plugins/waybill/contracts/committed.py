"""Contracts as a commit of git has them."""

from __future__ import annotations

import subprocess

from waybill.contracts.contract import Contract
from waybill.contracts.odcs import load
from waybill.errors import DataError
from waybill.scratch import scratch_folder
from waybill.settings import settings


def changed_contracts(commit: str) -> list[Contract]:
    """Return the contracts of a commit whose files differ now, or are gone.

    Raises `DataError` without git, or without the commit.
    """
    found = []
    names = _git("diff", "--name-only", "--relative", "--diff-filter=MD", commit, "--", "*.yaml").splitlines()
    with scratch_folder() as folder:
        for name in names:
            older = folder / name
            older.parent.mkdir(exist_ok=True)
            older.write_text(_git("show", f"{commit}:./{name}"), encoding="utf-8")
            found.append(load(older, is_proposal=True))
    return found


def _git(*arguments: str) -> str:
    """Return what git prints in the folder of the contracts."""
    folder = settings().include_dir / "contracts"
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DataError("there is no git, which knows the earlier contracts: name a proposed contract") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines()[0].removeprefix("fatal: ")
        raise DataError(f"git cannot compare {folder}: {reason}. Name a commit with --base, or a proposed contract.")
    return done.stdout
