"""Contracts: Open Data Contract Standard files and what is compiled from them."""

from waybill.contracts.odcs import Check, Column, Contract, ContractError, load, load_all, load_domain, references

__all__ = ["Check", "Column", "Contract", "ContractError", "load", "load_all", "load_domain", "references"]
