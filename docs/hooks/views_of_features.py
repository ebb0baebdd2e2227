"""The page of the feature views, from their contracts."""

from __future__ import annotations

from tables import cell
from waybill.contracts.domains import domain_names
from waybill.contracts.feature_views import FeatureView, feature_views

INTRODUCTION = """# Feature views

Every [feature view](features.md) that a contract in `include/contracts` declares. Commands take the names in the first
column. A name leads to the table with its types, checks and lineage.

| View | Domain | Entity | Features | What they say |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the table of all versions of feature views, and the features of each."""
    found = [(domain, view) for domain in domain_names() for view in feature_views(domain)]
    rows = "".join(_row(domain, view) for domain, view in found)
    return INTRODUCTION + rows + "".join(_features(view) for _, view in found)


def _row(domain: str, view: FeatureView) -> str:
    name = f"[`{view.name}`](tables/{view.table}.md)"
    entity = ", ".join(f"`{one}`" for one in view.entity)
    cells = (name, domain, entity, str(len(view.features)), view.contract.description)
    return f"| {' | '.join(map(cell, cells))} |\n"


def _features(view: FeatureView) -> str:
    rows = "".join(f"| `{one.name}` | {cell(one.description)} |\n" for one in view.features)
    description = cell(view.contract.description)
    return f"\n## {view.name}\n\n{description}\n\n| Feature | Meaning |\n|---|---|\n{rows}"
