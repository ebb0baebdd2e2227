"""The views of datasets that reports on Spark read: the current rows, and those of an earlier day."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from waybill.contracts import Contract
from waybill.lakehouse.columns import place_columns, quoted
from waybill.lakehouse.session import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def register_views(
    spark: SparkSession, domain: str, dataset: str, contract: Contract, table: str, as_of: date | None
) -> None:
    """Create the view `domain.dataset` of the current rows and, with a day, `domain.dataset_as_of`.

    The latter has the rows that were current when the files of all periods before the day were loaded. Both have the
    columns of the contract. The session's schema of global temporary views must have the name of the domain.
    """
    assert spark.conf.get("spark.sql.globalTempDatabase") == domain
    deliveries = spark.table(f"{CATALOG}.{table}")
    current_rows(deliveries, contract).select(*map(quoted, contract.names)).createOrReplaceGlobalTempView(dataset)
    if as_of is not None:
        known = deliveries.where(f"_delivered < date '{as_of}'")
        current_rows(known, contract).select(*map(quoted, contract.names)).createOrReplaceGlobalTempView(
            f"{dataset}_as_of"
        )


def current_rows(deliveries: DataFrame, contract: Contract) -> DataFrame:
    """Return the last delivery of each key."""
    key = ", ".join(map(quoted, contract.row_key))
    newest = ", ".join(f"{name} desc" for name in place_columns(contract))
    ranked = deliveries.selectExpr("*", f"row_number() over (partition by {key} order by {newest}) as _rank")
    return ranked.where("_rank = 1").drop("_rank")
