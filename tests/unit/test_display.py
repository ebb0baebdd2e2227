"""Values of each type as people see them."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import Any

import pytest

from waybill.contracts import Column
from waybill.contracts.display import cell

CASES = [
    ("integer", 1234567, "1,234,567"),
    ("numeric(12,2)", Decimal("1234.5"), "1,234.50"),
    ("numeric(12,6)", Decimal("0.123456"), "0.1235"),
    ("double precision", 1234.5, "1,234.5000"),
    ("double precision", 0.0, "0.0000"),
    ("double precision", -0.00001234567, "-1.23457e-05"),
    ("real", 3.25e20, "3.25e+20"),
    ("time", time(8, 30), "08:30:00"),
    ("timestamp", datetime(2026, 3, 1, 12), "2026-03-01 12:00:00"),  # noqa: DTZ001
    ("text[]", ["red", "dark blue"], "red, dark blue"),
    ("text[]", [], ""),
    ("text[]", "0f3c", "0f3c"),
    ("jsonb", {"a": ["ä", None]}, '{"a": ["ä", null]}'),
    ("jsonb", "0f3c", "0f3c"),
    ("jsonb", None, ""),
]


@pytest.mark.parametrize(("kind", "value", "shown"), CASES)
def test_a_cell_shows_a_value(kind: str, value: Any, shown: str) -> None:
    assert cell(Column("value", "", "", kind), value) == shown
