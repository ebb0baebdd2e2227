"""What every request says about the lake and the datasets of a domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from psycopg import Connection

from waybill.contracts import Contract, load_domain
from waybill.lakehouse.exchange import Dataset, Lake
from waybill.lakehouse.recorded import recorded_snapshots
from waybill.outputs.iceberg_tables import QUARANTINE, catalog_address, identifier
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog


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


def datasets(connection: Connection, domain: str) -> dict[str, Dataset]:
    """Return the datasets of a domain by name, with the recorded snapshots of their tables."""
    return {name: _dataset(connection, contract) for name, contract in load_domain(domain).items()}


def found(catalog: Catalog, dataset: Dataset) -> Dataset:
    """Return a dataset with the snapshots that its tables have now. Those that were lost are not recorded any more."""
    now = [catalog.load_table(tuple(name.split("."))) for name in (dataset.table, dataset.quarantine)]
    recorded = dataset.snapshot, dataset.quarantine_snapshot
    is_lost = any(
        snapshot is not None and table.snapshot_by_id(snapshot) is None
        for table, snapshot in zip(now, recorded, strict=True)
    )
    current = tuple(table.metadata.current_snapshot_id for table in now)
    lost: dict[str, Any] = {"snapshot": None, "quarantine_snapshot": None} if is_lost else {}
    return dataset.model_copy(update={"found": current, **lost})


def _dataset(connection: Connection, contract: Contract) -> Dataset:
    table, quarantine = tables_of(contract)
    recorded = recorded_snapshots(connection, [table, quarantine])
    return Dataset(
        contract=contract.document,
        kept=contract.kept,
        table=table,
        quarantine=quarantine,
        snapshot=recorded.get(table),
        quarantine_snapshot=recorded.get(quarantine),
    )


def tables_of(contract: Contract) -> tuple[str, str]:
    """Return the tables of the accepted and of the rejected rows of a dataset, as `database.table`."""
    table = ".".join(identifier(contract))
    return table, f"{table}{QUARANTINE}"
