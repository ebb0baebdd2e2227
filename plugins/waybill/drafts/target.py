"""Where a drafted contract is written."""

from __future__ import annotations

from pathlib import Path

from waybill.drafts.names import require_identifier
from waybill.settings import settings


def contract_path(domain: str, dataset: str) -> Path:
    """Return the path of a dataset's contract. Raises `DataError` if a name is not a plain identifier."""
    require_identifier("--domain", domain)
    require_identifier("--dataset", dataset)
    return settings().include_dir / "contracts" / domain / f"{dataset}.yaml"
