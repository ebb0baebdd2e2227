"""Which domains, datasets and reports the views show: what the contracts say."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from waybill.contracts import Contract, load_all
from waybill.contracts.domains import domain_names, load_manifest
from waybill.contracts.locations import report_schema
from waybill.settings import settings

_ACRONYMS = {"rfm": "RFM", "kpis": "KPIs", "pct": "%", "eur": "€", "id": "ID"}


def contracts() -> dict[str, Contract]:
    """Every contract by `domain.name`; read again only when a file has changed."""
    files = sorted((settings().include_dir / "contracts").glob("*/*.yaml"))
    return _contracts(tuple((path, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=1)
def _contracts(_files: tuple[tuple[Path, int], ...]) -> dict[str, Contract]:
    return load_all()


def of_schema(schema: str) -> dict[str, Contract]:
    """The contracts of one schema, by name."""
    return {contract.name: contract for contract in contracts().values() if contract.domain == schema}


def domains() -> list[str]:
    """The domains that have datasets."""
    schemas = {contract.domain for contract in contracts().values()}
    return [domain for domain in domain_names() if domain in schemas]


def reports(domain: str) -> dict[str, Contract]:
    """The reports of a domain, by name."""
    return of_schema(report_schema(domain))


def domain_of(dag_id: str) -> str | None:
    """The domain whose datasets a DAG takes in; None for any other DAG."""
    return next((domain for domain in domains() if load_manifest(domain).dag == dag_id), None)


def domain_of_report(table: str) -> str | None:
    """The domain that a report belongs to; None for any other table."""
    return next((one for one in domains() if table in {report.table for report in reports(one).values()}), None)


def title(domain: str) -> str:
    """Return the domain's name as headings show it."""
    return load_manifest(domain).title


def in_words(name: str) -> str:
    """A name such as `top_customers` as a heading."""
    first, *others = (_ACRONYMS.get(word, word) for word in name.split("_"))
    return " ".join([first[:1].upper() + first[1:], *others])
