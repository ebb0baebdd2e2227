"""Build the properties that declare the type of a column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Declared = dict[str, Any]
"""Properties of a column, as in a contract."""


def declare(logical: str, physical: str, options: Declared | None = None, **custom: Any) -> Declared:
    """Return the properties that declare a type; `custom` are custom properties."""
    return with_options({"logicalType": logical, "physicalType": physical}, options or {}) | (
        {"customProperties": listed(custom)} if custom else {}
    )


def listed(custom: Mapping[str, Any]) -> list[Declared]:
    """Return custom properties as a document has them."""
    return [{"property": name, "value": value} for name, value in custom.items()]


def with_options(declared: Declared, options: Declared) -> Declared:
    """Return a declaration with other options of its type, in the order in which people write them."""
    parts = {**declared, "logicalTypeOptions": options}
    order = ("logicalType", "physicalType", "logicalTypeOptions", "customProperties")
    return {name: parts[name] for name in order if parts.get(name)}


def with_custom(declared: Declared, name: str, value: Any) -> Declared:
    """Return a declaration with a custom property."""
    others = [one for one in declared.get("customProperties", []) if one["property"] != name]
    return {**declared, "customProperties": [*others, *listed({name: value})]}
