"""Contracts: Open Data Contract Standard files and what is compiled from them."""

from waybill.contracts.contract import Check, Column, Contract, ContractError, RowRule
from waybill.contracts.odcs import have_same_rules, load, load_all, load_domain, loading_order, references

__all__ = [
    "Check",
    "Column",
    "Contract",
    "ContractError",
    "RowRule",
    "have_same_rules",
    "load",
    "load_all",
    "load_domain",
    "loading_order",
    "references",
]
