"""What a page of data operations is about."""

from __future__ import annotations

from dataclasses import dataclass

from waybill.views import catalog

PAGE_ROWS = 50
"""How many rows a page lists."""
LAST_PAGE = 200
LISTED_ROWS = PAGE_ROWS * LAST_PAGE
"""How many rows one can page through."""


@dataclass(frozen=True)
class Total:
    """How many rows a list has over all its pages."""

    rows: int
    is_cut: bool = False
    """Whether there are more than are counted."""

    @classmethod
    def of(cls, counted: int) -> Total:
        """The total of a list of which at most one row more was counted than one can page through."""
        return cls(min(counted, LISTED_ROWS), counted > LISTED_ROWS)

    def has_more(self, page: int) -> bool:
        """Whether a page follows this one."""
        return page * PAGE_ROWS < self.rows

    def place(self, page: int) -> str:
        """Which of the rows are on a page: `51 to 100 of 254`; empty for a page without rows."""
        first, last = (page - 1) * PAGE_ROWS + 1, min(page * PAGE_ROWS, self.rows)
        return f"{first:,} to {last:,} of {'more than ' if self.is_cut else ''}{self.rows:,}" if first <= last else ""


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
