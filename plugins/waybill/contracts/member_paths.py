"""Paths to members of JSON documents: names separated by dots, such as `invoices.lines`.

A name that is empty or contains a dot or a double quote is quoted, and a double quote within it is doubled:
`"line.items".price`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import yaml

_STEP = r'(?:"(?:[^"]|"")*"|[^".]+)'
_PATH = re.compile(rf"{_STEP}(?:\.{_STEP})*")
_PLAIN = re.compile('[^".]+')


def is_path(value: object) -> bool:
    """Return whether a value is the text of a path."""
    return isinstance(value, str) and _PATH.fullmatch(value) is not None


def split_path(path: str) -> tuple[str, ...]:
    """Return the names of the members on a path; none for an empty text."""
    return tuple(step[1:-1].replace('""', '"') if step.startswith('"') else step for step in re.findall(_STEP, path))


def join_path(steps: Iterable[str]) -> str:
    """Return the path of members with these names; `split_path` reverses it."""
    return ".".join(step if _PLAIN.fullmatch(step) else '"' + step.replace('"', '""') + '"' for step in steps)


def declared(steps: Iterable[str]) -> str:
    """Return the declaration of a `recordPath` in YAML, which reads quotes around a whole value as its own."""
    return yaml.safe_dump({"recordPath": join_path(steps)}, allow_unicode=True, width=math.inf).strip()
