"""Warn about columns that share a name within a domain and differ in type or meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence

from waybill.contracts.contract import FEATURE_VERSION, Column, Contract, numeric_digits
from waybill.contracts.locations import SCHEMAS

_END_OF_SENTENCE = re.compile(r"(?<=[.!?]) ")


def namesake_warnings(domain: str, contracts: Sequence[Contract]) -> list[str]:
    """Return a warning for each column name with several types or meanings among the domain's tables.

    The tables are the domain's datasets, star, reports and feature views. The meaning is the first sentence of the
    description, which also states a unit that the name lacks. Later sentences say what is particular to one table.
    The versions of one feature view may differ: this is what they are for.
    """
    schemas = {domain, *(make(domain) for make in SCHEMAS)}
    variants: dict[str, dict[tuple[str, str], list[str]]] = {}
    for contract in contracts:
        if contract.domain in schemas:
            for column in contract.columns:
                of_name = variants.setdefault(column.name, {})
                of_name.setdefault((_kind(column), first_sentence(column.description)), []).append(contract.table)
    views = {one.table: name["view"] for one in contracts if (name := _version(one))}
    return [
        _warning(domain, name, found)
        for name, found in variants.items()
        if len(found) > 1 and len({views.get(table, table) for tables in found.values() for table in tables}) > 1
    ]


def _version(contract: Contract) -> re.Match[str] | None:
    return FEATURE_VERSION.fullmatch(contract.name) if contract.load_mode == "feature" else None


def _kind(column: Column) -> str:
    """Return the type; of a decimal only the digits after the point, because a sum has more digits than its parts."""
    digits = numeric_digits(column.physical_type)
    return f"numeric with {digits[1]} decimals" if digits else column.physical_type


def first_sentence(description: str) -> str:
    """Return the first sentence of a description on one line."""
    return _END_OF_SENTENCE.split(" ".join(description.split()), maxsplit=1)[0]


def _warning(domain: str, name: str, variants: dict[tuple[str, str], list[str]]) -> str:
    kinds, meanings = (len(set(values)) for values in zip(*variants, strict=True))
    counts = [f"{count} {what}" for count, what in ((kinds, "types"), (meanings, "meanings")) if count > 1]
    lines = [f"  {kind}, {meaning!r}: {', '.join(tables)}" for (kind, meaning), tables in variants.items()]
    return "\n".join([f"{domain}: the column {name!r} has {' and '.join(counts)}:", *lines])
