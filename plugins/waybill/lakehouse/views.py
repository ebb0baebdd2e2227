"""The views of datasets that reports on Spark read: the current rows, and those of an earlier day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from waybill.contracts import Contract
from waybill.lakehouse.columns import place_columns, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def register_views(
    spark: SparkSession, domain: str, dataset: str, contract: Contract, deliveries: DataFrame, as_of: date | None
) -> None:
    """Create the view `domain.dataset` of the current rows and, with a day, `domain.dataset_as_of`.

    `deliveries` are the rows of the dataset's table. The second view has the rows that were current when the files of
    all periods before the day were loaded. Both have the columns of the contract. In a dataset of changes, they have
    the change with the greatest version of each key, and `domain.dataset_changes` has all changes. The session's schema
    of global temporary views must have the name of the domain.
    """
    assert spark.conf.get("spark.sql.globalTempDatabase") == domain
    known = {"": deliveries}
    if as_of is not None:
        known["_as_of"] = deliveries.where(f"_delivered < date '{as_of}'")
    views = {suffix: current_rows(rows, contract) for suffix, rows in known.items()}
    if version := contract.version_column:
        views = {suffix: _last(rows, contract.key, [quoted(version)]) for suffix, rows in views.items()}
        views["_changes"] = current_rows(deliveries, contract)
    for suffix, rows in views.items():
        rows.select(*map(quoted, contract.names)).createOrReplaceGlobalTempView(f"{dataset}{suffix}")


def current_rows(deliveries: DataFrame, contract: Contract) -> DataFrame:
    """Return the last delivery of each row."""
    return _last(deliveries, contract.row_key, place_columns(contract))


def _last(rows: DataFrame, key: Sequence[str], order: Sequence[str]) -> DataFrame:
    """Return the row of each key that is last in an order."""
    keys, newest = ", ".join(map(quoted, key)), ", ".join(f"{name} desc" for name in order)
    ranked = rows.selectExpr("*", f"row_number() over (partition by {keys} order by {newest}) as _rank")
    return ranked.where("_rank = 1").drop("_rank")
