"""The tables that the watch looks at."""

from __future__ import annotations

from waybill.contracts import Contract, load_all
from waybill.contracts.domains import domain_names
from waybill.contracts.locations import domain_of
from waybill.derived.report_profile import is_profiled


def datasets(domain: str | None = None) -> list[Contract]:
    """Return the datasets of a domain, or of all domains."""
    domains = {name for name in domain_names() if domain in (None, name)}
    return [one for one in load_all().values() if one.is_dataset and one.domain in domains]


def reports(domain: str | None = None) -> list[Contract]:
    """Return the reports of a domain, or of all domains."""
    return [one for one in load_all().values() if is_profiled(one) and domain in (None, domain_of(one.domain))]
