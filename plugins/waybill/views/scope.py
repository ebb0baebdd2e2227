"""What a page of data operations is about."""

from __future__ import annotations

from dataclasses import dataclass

from waybill.views import catalog

PAGE_ROWS = 50
"""How many rows a page lists."""
LAST_PAGE = 200


@dataclass(frozen=True)
class Scope:
    """What the view is about: everything, the datasets of one domain, or what one run did."""

    domains: tuple[str, ...]
    run_id: str | None = None

    @property
    def datasets(self) -> list[str]:
        """The tables of the datasets."""
        return [contract.table for domain in self.domains for contract in catalog.of_schema(domain).values()]

    @property
    def subjects(self) -> list[str]:
        """The tables of datasets and reports."""
        return self.datasets + [
            contract.table for domain in self.domains for contract in catalog.reports(domain).values()
        ]


def scope_of(domain: str | None, dag_id: str | None, run_id: str | None) -> Scope | None:
    """What a request is about; None for a DAG that takes in no dataset, or an unknown domain."""
    if dag_id is not None:
        found = catalog.domain_of(dag_id)
        return Scope((found,), run_id or None) if found else None
    if domain:
        return Scope((domain,)) if domain in catalog.domains() else None
    return Scope(tuple(catalog.domains()))
