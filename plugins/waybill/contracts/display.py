"""Format values of a column for people."""

from __future__ import annotations

import json
from typing import Any

from waybill.contracts.contract import FLOATS, Column, numeric_digits
from waybill.formatting import text

_MANY_DECIMALS = 4


def cell(column: Column, value: Any) -> str:
    """Return a value as text: identifiers without separators, numbers with at most four decimals, lists with commas."""
    if column.name.endswith("_id"):
        return str(value)
    if column.physical_type in FLOATS:
        return text(value, _MANY_DECIMALS)
    if column.physical_type == "text[]" and isinstance(value, list):  # a pseudonym is a text
        return ", ".join(map(str, value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    digits = numeric_digits(column.physical_type)
    return text(value, min(digits[1], _MANY_DECIMALS) if digits else 0)
