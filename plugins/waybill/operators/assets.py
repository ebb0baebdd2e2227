"""What DAGs make, as Airflow's asset graph names it: datasets in the warehouse, and published reports."""

from __future__ import annotations

from airflow.sdk import Asset, BaseOperator

from waybill.contracts.domains import domain_names
from waybill.contracts.locations import report_schema
from waybill.settings import settings


def dataset_asset(domain: str, dataset: str) -> Asset:
    """A dataset in the warehouse."""
    return Asset(name=f"{domain}.{dataset}", uri=f"waybill://warehouse/{domain}/{dataset}", group="datasets")


def reports_asset(domain: str) -> Asset:
    """The published reports of a domain."""
    return Asset(name=report_schema(domain), uri=f"waybill://reports/{domain}", group="reports")


def all_reports() -> list[Asset]:
    """The published reports of every domain that has any; light enough for a DAG file to ask."""
    contracts = settings().include_dir / "contracts"
    return [reports_asset(domain) for domain in domain_names() if (contracts / report_schema(domain)).is_dir()]


def emit_no_event(task: BaseOperator) -> None:
    """Let a running task emit no asset event when it succeeds: what it makes is as it was.

    Airflow reads the outlets when the task has ended, of the copy that runs; the DAG's own task keeps them.
    """
    task.outlets = []
