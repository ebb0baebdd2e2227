"""Format values and counts for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

_PLURALS = {"does": "do", "is": "are", "occurs": "occur", "was": "were"}
_SMALLEST_PLAIN, _LARGEST_PLAIN = 0.0001, 1e15


def text(value: Any, decimals: int = 2) -> str:
    """Return a value as text: thousands separated by commas, `decimals` digits after the point, "" for None.

    Binary numbers that are very small or very large have six significant digits and a power of ten.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:,.{decimals}f}"
    if isinstance(value, float):
        is_plain = value == 0 or _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN
        return f"{value:,.{decimals}f}" if is_plain else f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else " ".join(str(value).split())


def iso_or_text(value: Any) -> str:
    """Return a value that JSON lacks: days and instants as ISO 8601, others as text."""
    return value.isoformat() if isinstance(value, date) else str(value)


def printable(value: str) -> str:
    """Return a text on one line, with escapes for characters that do not print, such as those that steer a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in value)


def count(number: int, noun: str) -> str:
    """Return a count with its noun in the right form: `1 row`, `2,000 rows`."""
    return f"{text(number)} {noun if number == 1 else f'{noun}s'}"


def length(value: timedelta) -> str:
    """Return a length of time as whole days, or in hours: `3 days`, `36 hours`."""
    hours = value / timedelta(hours=1)
    return count(int(hours // 24), "day") if hours % 24 == 0 else f"{hours:g} {'hour' if hours == 1 else 'hours'}"


def part_of(number: int, total: int, noun: str, verb: str) -> str:
    """Return a part of a count with the right forms of noun and verb: `1 of 1 row is`, `2 of 3,000 rows are`."""
    return f"{text(number)} of {count(total, noun)} {verb if number == 1 else _PLURALS[verb]}"


def of_all(shown: int, total: int) -> str:
    """Return how many of all items are shown: `20 of 850`, or `850` if all are."""
    return text(total) if shown >= total else f"{text(shown)} of {text(total)}"


def in_series(items: Sequence[str], word: str = "and") -> str:
    """Return `a, b and c`."""
    return f" {word} ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def some_of(items: Sequence[str]) -> str:
    """Return the items; of more than six, only the first three, the last two and their number."""
    if len(items) <= 6:
        return ", ".join(items)
    return f"{', '.join(items[:3])}, …, {', '.join(items[-2:])} ({len(items)})"
