"""Which dataset or domain the arguments of a command name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from waybill.contracts import Contract


def s3_client() -> Any:
    """A client by the environment's settings."""
    import boto3

    return boto3.client("s3")


def datasets_of(domain: str) -> dict[str, Contract]:
    """The domain's datasets, by name. Raises `DataError` if it has none."""
    from waybill.contracts import load_all, load_domain
    from waybill.errors import DataError

    datasets = {name: contract for name, contract in load_domain(domain).items() if contract.is_dataset}
    if not datasets:
        known = sorted({contract.domain for contract in load_all().values() if contract.is_dataset})
        raise DataError(f"there is no domain {domain!r} with datasets; there are {', '.join(known)}")
    return datasets


def dataset_named(domain: str | None, name: str) -> Contract:
    """The dataset of this name, or of `domain.name`; in any domain without one.

    Raises `DataError` if there is none, or without a domain several.
    """
    from waybill.contracts import load_all
    from waybill.errors import DataError

    if domain is None and "." in name:
        domain, _, name = name.partition(".")
    everywhere = [contract for contract in load_all().values() if contract.is_dataset]
    named = sorted((contract for contract in everywhere if contract.name == name), key=lambda one: one.domain)
    if domain is None:
        if len(named) == 1:
            return named[0]
        if named:
            where = " or ".join(f"--domain {contract.domain}" for contract in named)
            raise DataError(f"there are several datasets {name!r}: name the domain, {where}")
        known = ", ".join(sorted(contract.table for contract in everywhere))
        raise DataError(f"there is no dataset {name!r}; there are {known}")
    datasets = datasets_of(domain)
    if name not in datasets:
        elsewhere = "".join(f"; {one.table} is another domain's: --domain {one.domain}" for one in named)
        raise DataError(f"there is no dataset {name!r} in {domain}; there are {', '.join(datasets)}{elsewhere}")
    return datasets[name]


def domain_of(period: str) -> str:
    """The domain whose datasets have periods like this one. Raises `DataError` if there is none, or several."""
    from waybill.contracts import load_all
    from waybill.errors import DataError
    from waybill.period import Period

    cadence = Period.named(period).cadence
    found = sorted({one.domain for one in load_all().values() if one.is_dataset and one.cadence == cadence})
    if len(found) != 1:
        where = " or ".join(f"--domain {domain}" for domain in found) or "no domain has files of one"
        raise DataError(f"{period} is a {cadence}: name the domain, {where}")
    return found[0]
