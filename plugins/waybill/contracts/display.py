"""Format values of a column for people."""

from __future__ import annotations

from typing import Any

from waybill.contracts.contract import Column
from waybill.formatting import text

_MANY_DECIMALS = 4


def cell(column: Column, value: Any) -> str:
    """Return a value as text: identifiers without separators, numbers with at most four decimals."""
    if column.name.endswith("_id"):
        return str(value)
    scale = column.physical_type.rpartition(",")[2].rstrip(")")
    return text(value, min(int(scale), _MANY_DECIMALS) if scale.isdigit() else 0)
