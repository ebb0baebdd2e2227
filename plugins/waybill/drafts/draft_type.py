"""Declare the type of a column, with the doubts about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from waybill.contracts.semantics import logical_type
from waybill.drafts.documents import listed
from waybill.drafts.moments import Order

Properties = dict[str, Any]


@dataclass
class DraftType:
    """The type of a drafted column."""

    physical: str
    options: Properties = field(default_factory=dict)
    """The options of the logical type."""
    custom: Properties = field(default_factory=dict)
    """The custom properties."""
    doubts: dict[str, list[str]] = field(default_factory=dict)
    """By the property of the column that they are about."""
    is_order_unknown: bool = False
    """Whether the values are dates that do not show whether day or month comes first."""

    def doubt(self, place: str, text: str) -> None:
        """Note a doubt about a property of the column."""
        self.doubts.setdefault(place, []).append(text)

    @property
    def declared(self) -> Properties:
        """Return the properties that declare the type, as in a contract."""
        found = {
            "logicalType": logical_type(self.physical),
            "physicalType": self.physical,
            "logicalTypeOptions": self.options,
            "customProperties": listed(self.custom),
        }
        return {name: value for name, value in found.items() if value}

    @property
    def is_moment(self) -> bool:
        """Return whether each value is a date or an instant."""
        return self.physical in ("date", "timestamptz", "timestamp")

    @property
    def order(self) -> Order | None:
        """Return the order of day and month, if the column's dates could come in the other one."""
        for form in (self.options.get("format", ""), *self.custom.get("dateForms", [])):
            if found := re.fullmatch(r"(d|M)\1?[-/ ](?!\1)[dM].*", form):
                return "day first" if found[1] == "d" else "month first"
        return None
