"""Copies of contracts for other tools: their server is the warehouse, and their checks are plain queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from waybill.checks.quality import query_of
from waybill.contracts import Check, Contract
from waybill.contracts.semantics import OPERATORS
from waybill.contracts.yaml_files import parse_text
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import warehouse_address

SERVER: Final = "warehouse"
_KEPT: Final = ("name", "description", "dimension", "severity", *OPERATORS)
"""The properties of a check that its copy has."""


@dataclass(frozen=True)
class ContractCopy:
    """A copy of a contract as YAML, and how many checks it has."""

    text: str
    checks: int
    left_out: int
    """Checks whose queries need a period that was not given."""


def copy_contract(contract: Contract) -> str:
    """Return the contract as YAML, with the warehouse instead of its files as server.

    Raises `SettingsError` if the address of the warehouse is not set.
    """
    return _to_yaml({**parse_text(contract.document), "servers": [warehouse_server(contract.domain)]})


def copy_for_test(contract: Contract, periods: Sequence[Period]) -> ContractCopy:
    """Return a copy whose checks are plain queries about the first of the periods that the table can have.

    Without such a period, checks with parameters are left out, because other tools have no values for them.
    """
    document = {**parse_text(contract.document), "servers": [warehouse_server(contract.domain)]}
    period = next((one for one in periods if one.cadence in contract.cadences), None)
    queries = {check.name: _plain_query(contract, check, period) for check in contract.checks}
    [table] = document["schema"]
    declared = kept = 0
    for owner in (table, *table.get("properties", [])):
        checks = owner.pop("quality", [])
        plain = [_plain(check, query) for check in checks if (query := queries[check["name"]]) is not None]
        if plain:
            owner["quality"] = plain
        declared, kept = declared + len(checks), kept + len(plain)
    return ContractCopy(_to_yaml(document), declared, declared - kept)


def warehouse_server(schema: str) -> dict[str, Any]:
    """Return the server object of the warehouse, without user and password."""
    from psycopg.conninfo import conninfo_to_dict

    address = conninfo_to_dict(warehouse_address())
    return {
        "server": SERVER,
        "type": "postgres",
        "host": address.get("host", "localhost"),
        "port": int(address.get("port") or 5432),
        "database": address.get("dbname", address.get("user", "postgres")),
        "schema": schema,
    }


def _plain(check: Mapping[str, Any], query: str) -> dict[str, Any]:
    return {**{name: check[name] for name in _KEPT if name in check}, "type": "sql", "query": query}


def _plain_query(contract: Contract, check: Check, period: Period | None) -> str | None:
    """Return the query of a check with the period's values in place of its parameters; None if it lacks a period."""
    from psycopg import sql

    text = query_of(contract, check).as_string(None)
    if period is None:
        return None if "%(" in text else text % {}
    values = period.parameters(settings().timezone)
    return text % {name: sql.Literal(value).as_string(None) for name, value in values.items()}


def _to_yaml(document: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120))
