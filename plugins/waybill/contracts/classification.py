"""Find the columns of a contract whose values messages mask, or profiles do not keep."""

from __future__ import annotations

from typing import Final

from waybill.contracts.contract import Column, Contract

RESTRICTED: Final = "restricted"
MASK: Final = "***"
"""Replaces values in messages that may be restricted."""


def restricted_names(contract: Contract) -> set[str]:
    """Return the names of the contract's restricted columns."""
    return {column.name for column in contract.columns if column.classification == RESTRICTED}


def unrestricted(contract: Contract) -> list[Column]:
    """Return the contract's columns that are not restricted."""
    return [column for column in contract.columns if column.classification != RESTRICTED]


def may_be_described(column: Column) -> bool:
    """Return whether profiles may keep values of the column, such as the smallest and the most frequent ones."""
    return column.classification in (None, "public", "internal")
