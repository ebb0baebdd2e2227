"""The streams that the manifests of domains declare."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from waybill.contracts import Contract, ContractError, load_domain
from waybill.contracts.domains import Stream, domain_names, load_manifest, manifest_path
from waybill.contracts.standard import likeliest
from waybill.errors import DataError
from waybill.settings import settings


@dataclass(frozen=True)
class Declared:
    """A dataset whose events arrive in a stream."""

    contract: Contract
    stream: Stream

    @property
    def dataset(self) -> str:
        """The dataset, such as `billing.payments`."""
        return self.contract.table

    @property
    def name(self) -> str | None:
        """The name of the stream in Kinesis; None if none is set."""
        return settings().streams.get(self.dataset)

    @property
    def instant_column(self) -> str:
        """The column with the instant of an event."""
        assert self.contract.period_column
        return self.contract.period_column

    @property
    def pause(self) -> timedelta:
        """The longest pause within a session."""
        return timedelta(minutes=self.stream.pause_minutes)


def declared_streams() -> list[Declared]:
    """Return the streams of all domains, by dataset. Raises `ContractError` if a manifest or contract is not valid."""
    return [declared for domain in sorted(domain_names()) for declared in streams_of(domain)]


def streams_of(domain: str) -> list[Declared]:
    """Return the streams of a domain, by dataset.

    Raises `ContractError` if its manifest or a contract is not valid, or if a dataset with a stream has no contract.
    """
    streams = sorted(load_manifest(domain).streams.items())
    contracts = load_domain(domain) if streams else {}
    if unknown := [dataset for dataset, _ in streams if dataset not in contracts]:
        raise ContractError(f"{manifest_path(domain)}: `streams` has datasets without a contract: {', '.join(unknown)}")
    return [Declared(contracts[dataset], stream) for dataset, stream in streams]


def stream_of(contract: Contract) -> Declared | None:
    """Return the stream of a dataset; None if its events arrive in none. Raises `ContractError` as a manifest does."""
    stream = load_manifest(contract.domain).streams.get(contract.name)
    return Declared(contract, stream) if stream else None


def declared_stream(dataset: str | None) -> Declared:
    """Return the stream of a dataset, such as `billing.payments`, or the only one that is declared or set.

    Raises `DataError` if there is no such stream, or if there are several and none is named.
    """
    streams = {one.dataset: one for one in declared_streams()}
    if dataset is None:
        for names in ([*streams], [*settings().streams]):
            if len(names) == 1 and names[0] in streams:
                return streams[names[0]]
        raise DataError(f"Name the dataset of the stream. Known are: {', '.join(streams) or 'none'}.")
    if dataset not in streams:
        raise DataError(f"{dataset} has no stream: {likeliest(dataset, {*streams})}")
    return streams[dataset]
