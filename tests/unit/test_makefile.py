"""The Makefile refuses versions of make that would run its recipes line by line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    ("version", "is_accepted"),
    [
        ((3, 10, 14), False),
        ((3, 11, 2), False),
        ((3, 11, 5), True),
        ((3, 12, 0), True),
        ((3, 13, 9), True),
        ((3, 14, 0), False),
    ],
)
def test_only_versions_of_python_that_read_files_rightly_are_accepted(
    version: tuple[int, ...], is_accepted: bool
) -> None:
    [condition] = re.findall(r"\$\(PYTHON\) -c '(.+?)'", (PROJECT_ROOT / "Makefile").read_text())
    changed = condition.replace("sys.version_info", str(version))
    assert changed != condition
    assert (subprocess.run([sys.executable, "-c", changed]).returncode == 0) is is_accepted
