"""Values and counts as people read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def text(value: Any, decimals: int = 2) -> str:
    """A value as people read it: thousands apart, so many decimals, nothing for nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:,.{decimals}f}"
    return f"{value:,}" if isinstance(value, int) else " ".join(str(value).split())


def of_all(shown: int, total: int) -> str:
    """How many are shown of all: `20 of 850`, or `850` if all are."""
    return text(total) if shown >= total else f"{text(shown)} of {text(total)}"
