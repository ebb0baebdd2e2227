"""What tasks read and wrote, for the events of Airflow's OpenLineage provider.

The provider asks an operator when its task has ended, if a transport is configured, and only then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from waybill.operators.session import warehouse

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from waybill.ops.run_lineage import RunLineage


def load_lineage(task_instance: Any, tables: Collection[str]) -> OperatorLineage[Any, Any]:
    """Return the files that a task loaded, and the tables that it wrote."""
    from waybill.ops.run_lineage import loaded
    from waybill.run import code_version

    with warehouse() as connection:
        return _of(loaded(connection, tables, task_instance.run_id, code_version()))


def build_lineage(task_instance: Any, tables: Collection[str]) -> OperatorLineage[Any, Any]:
    """Return the derived tables or reports that a task wrote, and what it read."""
    from waybill.ops.run_lineage import built
    from waybill.run import code_version

    with warehouse() as connection:
        return _of(built(connection, tables, task_instance.run_id, code_version()))


def publish_lineage(task_instance: Any, domain: str) -> OperatorLineage[Any, Any]:
    """Return the reports that a task published, and where."""
    from waybill.derived.build import report_contracts

    tables = [contract.table for contract in report_contracts(domain).values()]
    query = (
        "select report, sum(row_count)::bigint, array_agg(content_sha256 order by cadence, period) "
        "from waybill.published where report = any(%s) and published_by = %s group by report order by report"
    )
    return _exported(query, (tables, task_instance.run_id), "published")


def lake_lineage(task_instance: Any, domain: str) -> OperatorLineage[Any, Any]:
    """Return the tables that a task copied to the lake."""
    query = (
        "select table_name, sum(row_count)::bigint, array_agg(content_sha256 order by day, commit_id) "
        "from waybill.lake_commit where split_part(table_name, '.', 1) = %s and run_id = %s "
        "group by table_name order by table_name"
    )
    return _exported(query, (domain, task_instance.run_id), "lake")


def _exported(query: Any, values: tuple[Any, ...], kind: Literal["published", "lake"]) -> OperatorLineage[Any, Any]:
    from waybill.ops.run_lineage import exported
    from waybill.run import code_version

    with warehouse() as connection:
        return _of(exported(connection, connection.execute(query, values).fetchall(), kind, code_version()))


def _of(found: RunLineage) -> OperatorLineage[Any, Any]:
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(inputs=found.inputs, outputs=found.outputs, run_facets=found.run_facets)
