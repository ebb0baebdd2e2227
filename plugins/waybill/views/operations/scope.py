"""What a page of data operations is about, and which part of a list it shows."""

from __future__ import annotations

from dataclasses import dataclass

from waybill.contracts.domains import load_manifest
from waybill.views import catalog

PAGE_ROWS = 50
"""How many rows a page lists."""
LAST_PAGE = 200
LISTED_ROWS = PAGE_ROWS * LAST_PAGE
"""How many rows the pages of a list have together."""
FILES_OF_RUN = 500_000
"""How many of the newest files are searched for the files of a run."""


@dataclass(frozen=True)
class Total:
    """How many rows a list has on all its pages together."""

    rows: int
    is_cut: bool = False
    """Whether the list has more rows than its pages."""

    @classmethod
    def of(cls, counted: int) -> Total:
        """Return the total of a list. The count stops one row after the last page."""
        return cls(min(counted, LISTED_ROWS), counted > LISTED_ROWS)

    def has_more(self, page: int) -> bool:
        """Return whether another page follows."""
        return page * PAGE_ROWS < self.rows

    def place(self, page: int) -> str:
        """Return which rows are on a page: `51 to 100 of 254`; empty for a page without rows."""
        first, last = (page - 1) * PAGE_ROWS + 1, min(page * PAGE_ROWS, self.rows)
        return f"{first:,} to {last:,} of {'more than ' if self.is_cut else ''}{self.rows:,}" if first <= last else ""


@dataclass(frozen=True)
class Scope:
    """All domains, one domain, or a run of its DAG."""

    domains: tuple[str, ...]
    run_id: str | None = None

    @property
    def datasets(self) -> list[str]:
        """Tables of the datasets."""
        return [contract.table for domain in self.domains for contract in catalog.of_schema(domain).values()]

    @property
    def subjects(self) -> list[str]:
        """Tables of the datasets and reports."""
        return self.datasets + [
            contract.table for domain in self.domains for contract in catalog.reports(domain).values()
        ]

    @property
    def incident_domains(self) -> tuple[str, ...] | None:
        """The domains of its incidents; None for all, with those of DAGs that load no dataset."""
        return None if {*self.domains} == {*catalog.domains()} else self.domains

    @property
    def dags(self) -> list[str]:
        """DAGs that load the datasets."""
        return [load_manifest(domain).dag for domain in self.domains]


def scope_of(domain: str | None, dag_id: str | None, run_id: str | None) -> Scope | None:
    """Return the scope of a request; None for an unknown domain, or a DAG that loads no dataset."""
    if dag_id is not None:
        found = catalog.domain_of(dag_id)
        return Scope((found,), run_id or None) if found else None
    if domain:
        return Scope((domain,)) if domain in catalog.domains() else None
    return Scope(tuple(catalog.domains()))
