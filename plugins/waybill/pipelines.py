"""Which DAG takes in the datasets of a domain: the rule by which DAGs are named."""

from __future__ import annotations

from waybill.contracts import load_domain
from waybill.period import Cadence
from waybill.zones import star_schema

_ADVERBS: dict[Cadence, str] = {"day": "daily", "week": "weekly", "month": "monthly"}


def dag_of(domain: str) -> str | None:
    """The DAG by its rule: `<domain>_monthly`; None for a domain without datasets.

    Where files land at any time `<domain>_reports`, or `<domain>_medallion` if there are tables in between.
    """
    contracts = [*load_domain(domain).values()]
    if any(contract.lands_any_time for contract in contracts):
        return f"{domain}_medallion" if load_domain(star_schema(domain)) else f"{domain}_reports"
    return f"{domain}_{_ADVERBS[contracts[0].cadence]}" if contracts else None
