"""Commits to the tables of a dataset on Spark: one for each part, which replaces its partition."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from waybill.lakehouse.exchange import IntakeRequest
from waybill.lakehouse.session import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAYS: Final = "waybill.days"
RUN_ID: Final = "waybill.run-id"
CODE_VERSION: Final = "waybill.code-version"
REQUEST: Final = "waybill.request"
"""The property of a snapshot with the scratch folder of the request, which each request has to itself."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


def microseconds(instant: str) -> Any:
    """Return the column of an expression of an instant. Python would convert it by the local time zone."""
    from pyspark.sql import functions

    return functions.expr(f"unix_micros({instant})")


def instant_of(number: int) -> datetime:
    """Return the instant of a number of microseconds."""
    return _EPOCH + timedelta(microseconds=number)


def replace_partition(rows: DataFrame, table: str, day: date, base: int | None, request: IntakeRequest) -> int:
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
    properties = {
        RUN_ID: request.run_id,
        CODE_VERSION: request.code_version,
        REQUEST: request.scratch,
        DAYS: json.dumps({str(day): ""}),
    }
    for name, value in properties.items():
        writer.option(f"snapshot-property.{name}", value)
    writer.overwrite(functions.expr(f"_delivered = date '{day}'"))
    snapshot = last_snapshot(spark, table)
    assert snapshot is not None
    return snapshot
