"""The Makefile refuses versions of make that would run its recipes line by line."""

from __future__ import annotations

import re
import subprocess

from waybill.settings import PROJECT_ROOT

MAKE = ["make", "--silent", "-C", str(PROJECT_ROOT)]


def test_a_make_without_oneshell_is_refused() -> None:
    done = subprocess.run([*MAKE, ".FEATURES=target-specific order-only", "help"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "run `gmake`" in done.stderr


def test_help_lists_each_target_that_is_explained() -> None:
    done = subprocess.run([*MAKE, "help"], capture_output=True, text=True, check=True)
    explained = re.findall(r"(?m)^([a-z-]+):.*## (.*)$", (PROJECT_ROOT / "Makefile").read_text())
    assert len(explained) > 15
    assert [tuple(line.split(maxsplit=2)[1:]) for line in done.stdout.splitlines()] == explained
