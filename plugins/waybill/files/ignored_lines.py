"""Leave out the lines of a table that are comments or footers by the patterns of the contract, and count them."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence

from waybill.files.csv_syntax import Syntax
from waybill.formatting import count

log = logging.getLogger(__name__)

_SUSPECT_LINES = 10
_SUSPECT_SHARE = 0.1


class IgnoredLines:
    """Finds lines in which a pattern occurs. A line counts for the first of its patterns."""

    def __init__(self, patterns: Sequence[str], syntax: Syntax) -> None:
        self._patterns = [(pattern, re.compile(pattern)) for pattern in patterns]
        self._syntax = syntax
        self._fields: dict[str, Counter[int]] = {pattern: Counter() for pattern in patterns}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of ignored lines by pattern."""
        return {pattern: numbers.total() for pattern, numbers in self._fields.items()}

    def suspect(self, fields: int, rows: int) -> list[str]:
        """Return the patterns that may ignore rows: more than a tenth of the file has their lines with all fields."""
        return [
            pattern
            for pattern, numbers in self._fields.items()
            if fields > 1 and numbers[fields] > max(_SUSPECT_LINES, _SUSPECT_SHARE * (rows + numbers[fields]))
        ]

    def log(self, name: str) -> None:
        """Log how many lines of a file each pattern ignored."""
        for pattern, lines in self.counts.items():
            log.info("%s: %s ignored by the pattern %s", name, count(lines, "line"), pattern)

    def matches(self, line: bytes) -> bool:
        """Return whether a line, with or without its line end, is ignored; it is counted then."""
        text = self._syntax.without_line_end(line).decode("utf-8", "replace")
        for pattern, compiled in self._patterns:
            if compiled.search(text):
                self._fields[pattern][line.count(self._syntax.delimiter) + 1] += 1
                return True
        return False

    def without(self, lines: bytes) -> bytes:
        """Return whole lines, none of which has a quote, without the ignored ones."""
        end = self._syntax.line_end
        return end.join(line for line in lines.split(end) if not line or not self.matches(line))
