"""The recorded code version: the commit, and whether files differ from it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from waybill.run import commit_of


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_uncommitted_code_is_marked(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert commit_of(tmp_path) is None
    git("init", "--quiet")
    report = tmp_path / "include" / "report.sql"
    report.parent.mkdir()
    report.write_text("select 1")
    git("add", ".")
    git("commit", "--quiet", "--message", "x")
    commit = git("rev-parse", "HEAD")[:12]
    assert commit_of(tmp_path) == commit
    (tmp_path / "notes.txt").write_text("no code")
    assert commit_of(tmp_path) == commit
    other = report.with_name("other.sql")
    other.write_text("select 2")
    assert commit_of(tmp_path) == f"{commit}+changes"
    other.unlink()
    report.write_text("select 3")
    assert commit_of(tmp_path) == f"{commit}+changes"
