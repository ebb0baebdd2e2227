"""Find the restricted columns of a contract, whose values messages mask."""

from __future__ import annotations

from typing import Final

from waybill.contracts.contract import Contract

RESTRICTED: Final = "restricted"
MASK: Final = "***"
"""Replaces values in messages that may be restricted."""


def restricted_names(contract: Contract) -> set[str]:
    """Return the names of the contract's restricted columns."""
    return {column.name for column in contract.columns if column.classification == RESTRICTED}
