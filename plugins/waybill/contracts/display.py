"""Values of a column as people read them."""

from __future__ import annotations

from typing import Any

from waybill.contracts.contract import Column
from waybill.formatting import text

_MANY_DECIMALS = 4


def cell(column: Column, value: Any) -> str:
    """A value of a column as people read it: identifiers bare, at most four decimals."""
    if column.name.endswith("_id"):
        return str(value)
    scale = column.physical_type.rpartition(",")[2].rstrip(")")
    return text(value, min(int(scale), _MANY_DECIMALS) if scale.isdigit() else 0)
