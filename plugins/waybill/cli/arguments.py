"""What the arguments of commands name: datasets and domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from waybill.warehouse import LARGEST_INTEGER

if TYPE_CHECKING:
    from pathlib import Path

    from waybill.contracts import Contract

Dataset = Annotated[str, typer.Argument(help="A dataset, such as invoices or billing.invoices.")]
Domain = Annotated[
    str | None, typer.Option("--domain", help="Domain. Needed only if the other arguments are ambiguous.")
]
Rotate = Annotated[list[str] | None, typer.Option(help="Key of Airflow's secret that gets a new value. Repeatable.")]
Limit = Annotated[int, typer.Option(help="Largest number of entries to list.", min=1, max=LARGEST_INTEGER)]


def local_folder(path: Path, option: str, otherwise: str) -> Path:
    """Create the folder of an option before the work begins, and return it.

    `otherwise` says what is done without the option. Raises `DataError` if no files can be written there.
    """
    import re
    import tempfile

    from waybill.errors import DataError

    where = f"Name a folder of this machine that you may write, or leave {option} out: {otherwise}."
    if re.match("[A-Za-z0-9]+:/", str(path)):
        raise DataError(f"{option} {path} is an address. {where}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise DataError(f"{option} {path}: {error.strerror}. {where}") from None


def datasets_of(domain: str) -> dict[str, Contract]:
    """Return the datasets of a domain by name. Raises `DataError` if there are none."""
    from waybill.contracts import load_all, load_domain
    from waybill.errors import DataError

    datasets = {name: contract for name, contract in load_domain(domain).items() if contract.is_dataset}
    if not datasets:
        known = sorted({contract.domain for contract in load_all().values() if contract.is_dataset})
        raise DataError(f"there is no domain {domain!r} with datasets; there are {', '.join(known)}")
    return datasets


def dataset_named(domain: str | None, name: str) -> Contract:
    """Return the dataset with this name, which may be qualified: `domain.name`.

    Without a domain, all domains are searched. Raises `DataError` if no dataset or several datasets match.
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
            options = " or ".join(f"--domain {contract.domain}" for contract in named)
            raise DataError(f"there are several datasets {name!r}: add {options}")
        known = ", ".join(sorted(contract.table for contract in everywhere))
        raise DataError(f"there is no dataset {name!r}; there are {known}")
    datasets = datasets_of(domain)
    if name not in datasets:
        elsewhere = "".join(f"; {one.table} belongs to another domain: --domain {one.domain}" for one in named)
        raise DataError(f"there is no dataset {name!r} in {domain}; there are {', '.join(datasets)}{elsewhere}")
    return datasets[name]


def domain_of(period: str) -> str:
    """Return the only domain whose datasets have periods like this one. Raises `DataError` for none or several."""
    from waybill.contracts import load_all
    from waybill.errors import DataError
    from waybill.period import Period

    cadence = Period.named(period).cadence
    found = sorted({one.domain for one in load_all().values() if one.is_dataset and one.cadence == cadence})
    if not found:
        raise DataError(f"{period} is a {cadence}, and no domain has datasets by {cadence}")
    if len(found) > 1:
        options = " or ".join(f"--domain {domain}" for domain in found)
        raise DataError(f"{period} is a {cadence}, and several domains have datasets by {cadence}: add {options}")
    return found[0]


def dataset_of_file(domain: str | None, file: Path) -> Contract:
    """Return the dataset whose columns the header of a file has; else the first of the domain that no other refers to.

    Raises `DataError` with the options if several datasets have such columns, or none has and no domain is given.
    """
    from waybill.contracts import load_all, references
    from waybill.errors import DataError
    from waybill.intake.recognise import datasets_like

    datasets = datasets_of(domain).values() if domain else [one for one in load_all().values() if one.is_dataset]
    found = datasets_like(file, datasets)
    if domain and not found:
        referred = set().union(*references(domain).values())
        found = [one for one in datasets if one.name not in referred][:1]
    if len(found) == 1:
        return found[0]
    options = " or ".join(f"--domain {one.domain} --dataset {one.name}" for one in found or datasets)
    problem = "is like that of several datasets" if found else "does not have the required columns of any dataset"
    raise DataError(f"{file}: the header {problem}: add {options}")
