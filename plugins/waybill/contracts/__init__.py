"""Contracts: Open Data Contract Standard files and what is compiled from them."""

from waybill.contracts.contract import Check, Column, Contract, ContractError, RowRule
from waybill.contracts.odcs import load, load_all, load_domain, references

__all__ = ["Check", "Column", "Contract", "ContractError", "RowRule", "load", "load_all", "load_domain", "references"]
