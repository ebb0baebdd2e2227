"""The domains, datasets and reports that have contracts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from waybill.contracts import Column, Contract, load_all, locations
from waybill.contracts.domains import domain_names, load_manifest
from waybill.contracts.locations import report_schema
from waybill.settings import settings

_CURRENCIES = frozenset(
    ("aud", "cad", "chf", "cny", "czk", "dkk", "eur", "gbp", "inr", "jpy", "nok", "pln", "sek", "usd")
)
_SIGNS = {"eur": "€", "pct": "%"}
_ACRONYMS = {"rfm": "RFM", "kpis": "KPIs", "pct": "%", "eur": "€", "id": "ID"}


_unchanged: ContextVar[dict[str, Contract] | None] = ContextVar("unchanged", default=None)


@contextmanager
def unchanged() -> Iterator[None]:
    """Look for changed files once within the context, or within a function that this decorates, not at each call."""
    token = _unchanged.set(contracts())
    try:
        yield
    finally:
        _unchanged.reset(token)


def contracts() -> dict[str, Contract]:
    """Return every contract by `domain.name`. Files are read again only after a change."""
    if (known := _unchanged.get()) is not None:
        return known
    files = sorted((settings().include_dir / "contracts").glob("*/*.yaml"))
    return _contracts(tuple((path, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=1)
def _contracts(_files: tuple[tuple[Path, int], ...]) -> dict[str, Contract]:
    return load_all()


def of_schema(schema: str) -> dict[str, Contract]:
    """Return the contracts of a schema by name."""
    return {contract.name: contract for contract in contracts().values() if contract.domain == schema}


def domains() -> list[str]:
    """Return the domains that have datasets, in order."""
    schemas = {contract.domain for contract in contracts().values()}
    return [domain for domain in domain_names() if domain in schemas]


def reports(domain: str) -> dict[str, Contract]:
    """Return the contracts of a domain's reports by name."""
    return of_schema(report_schema(domain))


def domain_of(dag_id: str) -> str | None:
    """Return the domain whose datasets a DAG loads; None for any other DAG."""
    return next((domain for domain in domains() if load_manifest(domain).dag == dag_id), None)


def domain_of_report(table: str) -> str | None:
    """Return the domain of a report; None for any other table."""
    return next((name for name in domains() if any(report.table == table for report in reports(name).values())), None)


def domain_of_schema(schema: str) -> str | None:
    """Return the domain whose reports have this schema; None for any other schema."""
    return next((name for name in domain_names() if report_schema(name) == schema), None)


def title(domain: str) -> str:
    """Return the title of a domain, from its manifest."""
    return load_manifest(domain).title


def heading(name: str) -> str:
    """Return a name such as `top_customers` as a heading: `Top customers`."""
    first, *others = (_ACRONYMS.get(word, word) for word in name.split("_"))
    return " ".join([first[:1].upper() + first[1:], *others])


def unit_of(column: str) -> str:
    """Return the unit in the name of a column, as it follows a value; empty if it has none."""
    word = column.rpartition("_")[2]
    return _SIGNS.get(word) or (word.upper() if word in _CURRENCIES else "")


def unit_in(contract: Contract, column: str) -> str:
    """Return the unit of a column as it follows a value: from its name, or else from the manifest of its domain."""
    return unit_of(column) or unit_of(_declared_unit(contract, column).lower())


def _declared_unit(contract: Contract, column: str) -> str:
    domain = locations.domain_of(contract.domain)
    return load_manifest(domain).dashboard.units.get(column, "") if domain in domain_names() else ""


def column_heading(column: Column, contract: Contract | None = None) -> str:
    """Return the heading of a column: its business name, or its name as a heading, with its unit: `Amount (EUR)`.

    With the contract, the unit may come from the manifest.
    """
    declared = _declared_unit(contract, column.name) if contract and not unit_of(column.name) else ""
    sign = unit_of(column.name) or declared
    if not sign:
        return column.business_name or heading(column.name)
    stem, _, word = (column.name, "", declared) if declared else column.name.rpartition("_")
    unit = "%" if sign == "%" else word.upper()
    named = column.business_name or heading(stem) or unit
    return named if sign in named or unit in named else f"{named} ({unit})"
