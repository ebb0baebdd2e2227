"""Restricted columns: which they are, and what messages show in place of their values."""

from __future__ import annotations

from typing import Final

from waybill.contracts.contract import Contract

RESTRICTED: Final = "restricted"
MASK: Final = "***"
"""What messages show in place of a value that may be a restricted one."""


def restricted_names(contract: Contract) -> set[str]:
    """The names of the contract's restricted columns."""
    return {column.name for column in contract.columns if column.classification == RESTRICTED}
