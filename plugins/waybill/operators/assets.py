"""The Airflow assets that DAGs update: datasets in the warehouse, and published reports."""

from __future__ import annotations

from airflow.sdk import Asset, BaseOperator

from waybill.contracts.domains import domain_names
from waybill.contracts.locations import report_schema
from waybill.contracts.standard import likeliest
from waybill.errors import DataError
from waybill.settings import settings


def landed_asset_name(domain: str) -> str:
    """Return the name of the asset whose events are messages of the domain's queue."""
    return f"{domain}_landed"


def dataset_names(domain: str) -> list[str]:
    """Return the names of a domain's datasets; DAG files call this, so only the names of files are read."""
    return sorted(path.stem for path in (settings().include_dir / "contracts" / domain).glob("*.yaml"))


def dataset_asset(domain: str, dataset: str) -> Asset:
    """Return the asset of a dataset in the warehouse; DAG files call this, so only the names of files are read.

    Raises `DataError` if the dataset has no contract: Airflow shows it as an import error of the DAG file.
    """
    known = {*dataset_names(domain)}
    if dataset not in known:
        folder = settings().include_dir / "contracts" / domain
        raise DataError(f"There is no dataset {dataset!r} in {folder}: {likeliest(dataset, known)}")
    return Asset(name=f"{domain}.{dataset}", uri=f"waybill://warehouse/{domain}/{dataset}", group="datasets")


def reports_asset(domain: str) -> Asset:
    """Return the asset of the published reports of a domain."""
    return Asset(name=report_schema(domain), uri=f"waybill://reports/{domain}", group="reports")


def all_reports() -> list[Asset]:
    """Return the assets of all domains with reports, without reading contracts: DAG files call this."""
    contracts = settings().include_dir / "contracts"
    return [reports_asset(domain) for domain in domain_names() if (contracts / report_schema(domain)).is_dir()]


def emit_no_event(task: BaseOperator) -> None:
    """Suppress the asset event of a running task, because it changed nothing.

    Airflow reads the outlets of the running copy when the task ends. The task in the DAG keeps its outlets.
    """
    task.outlets = []
