"""Where a drafted contract is written."""

from __future__ import annotations

from pathlib import Path

from waybill.drafts.names import MOST_CHARACTERS, is_identifier
from waybill.errors import DataError
from waybill.settings import settings


def contract_path(domain: str, dataset: str) -> Path:
    """Return the path of a dataset's contract. Raises `DataError` if the names are no plain identifiers."""
    for option, name in (("--domain", domain), ("--dataset", dataset)):
        if not is_identifier(name):
            raise DataError(
                f"{option} {name!r} is no name of a {'schema' if option == '--domain' else 'table'}: write lower case "
                f"letters, digits and underscores, a letter first, at most {MOST_CHARACTERS} characters"
            )
    return settings().include_dir / "contracts" / domain / f"{dataset}.yaml"
