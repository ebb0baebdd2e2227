"""Commits to the tables of a dataset on Spark: one for each part, which replaces its partition."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Final

from waybill.lakehouse.session import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAYS: Final = "waybill.days"
RUN_ID: Final = "waybill.run-id"
CODE_VERSION: Final = "waybill.code-version"


def last_snapshot(spark: SparkSession, table: str) -> int | None:
    """Return the current snapshot of a table, or None if it has none."""
    tables = spark._jvm.org.apache.iceberg.spark.Spark3Util  # a query would run a job
    snapshot = tables.loadIcebergTable(spark._jsparkSession, f"{CATALOG}.{table}").currentSnapshot()
    return None if snapshot is None else int(snapshot.snapshotId())


def rows_at(spark: SparkSession, table: str, snapshot: int | None) -> DataFrame:
    """Return the rows of a table at a snapshot; none without a snapshot."""
    if snapshot is None:
        return spark.table(f"{CATALOG}.{table}").where("false")
    return spark.read.option("snapshot-id", snapshot).table(f"{CATALOG}.{table}")


def replace_partition(rows: DataFrame, table: str, day: date, base: int | None, run_id: str, code_version: str) -> int:
    """Replace the rows of a period by its first day; returns the snapshot.

    Fails if another writer has changed the partition since the snapshot `base`.
    """
    from pyspark.sql import functions

    spark = rows.sparkSession
    columns = spark.table(f"{CATALOG}.{table}").columns
    writer = rows.select(*columns).writeTo(f"{CATALOG}.{table}").option("distribution-mode", "none")
    writer.option("isolation-level", "serializable")
    if base is not None:
        writer.option("validate-from-snapshot-id", str(base))
    properties = {RUN_ID: run_id, CODE_VERSION: code_version, DAYS: json.dumps({str(day): ""})}
    for name, value in properties.items():
        writer.option(f"snapshot-property.{name}", value)
    writer.overwrite(functions.expr(f"_delivered = date '{day}'"))
    snapshot = last_snapshot(spark, table)
    assert snapshot is not None
    return snapshot
