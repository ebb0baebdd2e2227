"""Feature views: derived tables for models, whose log keeps every value with the time at which it became known.

`include/contracts/<domain>_feature/<view>_v<N>.yaml` declares version N of a view; commands call it `<view>:<N>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from waybill.contracts.contract import FEATURE_VERSION, Column, Contract, ContractError
from waybill.contracts.domains import domain_names, load_manifest
from waybill.contracts.locations import feature_schema
from waybill.contracts.odcs import load_domain
from waybill.formatting import in_series

EVENT_TS = "event_ts"
"""The column with the instant from which a value holds."""


@dataclass(frozen=True)
class FeatureView:
    """One version of a feature view."""

    contract: Contract
    view: str
    version: int
    entity: tuple[str, ...]
    """The columns of the key that identify what the values describe."""
    features: tuple[Column, ...]
    ttl: timedelta | None
    """How long after its instant a value counts; None: for ever."""
    latency: timedelta
    """How long after its instant a value is known in regular operation."""

    @classmethod
    def of(cls, contract: Contract) -> FeatureView:
        """Return the feature view of a contract. Raises `ContractError` for a contract of another load mode."""
        name = FEATURE_VERSION.fullmatch(contract.name)
        if contract.load_mode != "feature" or name is None:
            raise ContractError(
                f"{contract.table}: this schema holds feature views. Write `loadMode: feature`, or move the contract."
            )
        entity = tuple(one for one in contract.key[1:] if one != EVENT_TS)
        others = {contract.key[0], EVENT_TS, *entity}
        return cls(
            contract,
            name["view"],
            int(name["version"]),
            entity,
            tuple(column for column in contract.columns if column.name not in others),
            contract.ttl,
            contract.latency,
        )

    @property
    def name(self) -> str:
        """Return what commands call the version: `payer_spend:1`."""
        return f"{self.view}:{self.version}"

    @property
    def table(self) -> str:
        """Return the table of current rows by period: `schema.name`."""
        return self.contract.table

    @property
    def log(self) -> str:
        """Return the table that keeps every value: `schema.name`."""
        return f"{self.contract.table}_log"

    @property
    def latest(self) -> str:
        """Return the table with the newest values of each entity: `schema.name`."""
        return f"{self.contract.table}_latest"


def feature_views(domain: str) -> list[FeatureView]:
    """Return the versions of a domain's feature views, by view and version.

    Raises `ContractError` for a contract among them that is none.
    """
    found = (FeatureView.of(contract) for contract in load_domain(feature_schema(domain)).values())
    return sorted(found, key=lambda one: (one.view, one.version))


def find_feature_view(name: str, domain: str | None = None) -> FeatureView:
    """Return the version of a name such as `payer_spend:1`, in any domain or in one.

    Raises `ContractError` for an unknown name or domain, and for a name that several domains have.
    """
    if domain:
        load_manifest(domain)
    views = {one: feature_views(one) for one in ([domain] if domain else domain_names())}
    found = {one: view for one, of_domain in views.items() for view in of_domain if view.name == name}
    if len(found) > 1:
        raise ContractError(f"several domains have {name}: name the domain, {in_series([*found], 'or')}")
    if not found:
        known = ", ".join(view.name for of_domain in views.values() for view in of_domain) or "none"
        where = f"the domain {domain}" if domain else "the project"
        raise ContractError(f"{where} has no feature view {name!r}; write <view>:<version>. Known are: {known}")
    [view] = found.values()
    return view
