"""What every request says about the lake and the datasets of a domain."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from waybill.contracts import Contract, load_domain
from waybill.lakehouse.exchange import Dataset, Lake
from waybill.outputs.iceberg_tables import catalog_address, identifier
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def lake(s3: S3Client) -> Lake:
    """Return where the lake is, for a client of its bucket."""
    region, endpoint = s3.meta.region_name, s3.meta.endpoint_url
    is_aws = (urlsplit(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return Lake(
        catalog=catalog_address(region),
        warehouse=settings().lake_warehouse,
        region=region,
        endpoint=None if is_aws else endpoint,
    )


def datasets(domain: str) -> dict[str, Dataset]:
    """Return the datasets of a domain by name."""
    return {name: _dataset(contract) for name, contract in load_domain(domain).items()}


def _dataset(contract: Contract) -> Dataset:
    table = ".".join(identifier(contract))
    return Dataset(contract=contract.document, kept=contract.kept, table=table, quarantine=f"{table}_quarantine")
