"""Commits to the tables of a dataset on Spark: one for each part, which replaces its partition."""

from __future__ import annotations

import json
import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from waybill.lakehouse.exchange import IntakeRequest
from waybill.lakehouse.session import CATALOG
from waybill.outputs.iceberg_files import CODE_VERSION, DAYS, RUN_ID

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
REQUEST: Final = "waybill.request"
"""The property of a snapshot with the scratch folder of the request, which each request has to itself."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Conflict(Exception):
    """Another writer has changed a table meanwhile."""


def last_snapshot(spark: SparkSession, table: str) -> int | None:
    """Return the current snapshot of a table, or None if it has none."""
    snapshot = _current(spark, table)
    return None if snapshot is None else int(snapshot.snapshotId())


def _current(spark: SparkSession, table: str) -> Any:
    return _table(spark, table).currentSnapshot()


def _table(spark: SparkSession, table: str) -> Any:
    tables = spark._jvm.org.apache.iceberg.spark.Spark3Util  # a query would run a job
    return tables.loadIcebergTable(spark._jsparkSession, f"{CATALOG}.{table}")


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


def start_at(
    spark: SparkSession, table: str, recorded: int | None, found: int | None, request: IntakeRequest
) -> int | None:
    """Undo what was committed after the recorded snapshot; returns the snapshot from which the job starts.

    These are commits until the request found the snapshot `found`, and those of an earlier try of the job. Raises
    `Conflict` if there are others. Without a recorded snapshot, the job starts without rows.
    """
    snapshot = _current(spark, table)
    current = None if snapshot is None else int(snapshot.snapshotId())
    if current == recorded:
        return current
    if current != found and snapshot.summary().get(REQUEST) != request.scratch:
        raise _conflict(table)
    log.warning("%s: snapshot %s is not recorded; the job starts from %s", table, current, recorded)
    if recorded is None:
        return _overwrite(rows_at(spark, table, None), table, "true", current, request, {})
    _table(spark, table).manageSnapshots().setCurrentSnapshot(recorded).commit()
    spark.catalog.refreshTable(f"{CATALOG}.{table}")
    return recorded


def replace_partition(rows: DataFrame, table: str, day: date, base: int | None, request: IntakeRequest) -> int:
    """Replace the rows of a period by its first day; returns the snapshot.

    Raises `Conflict` if another writer has changed the table since the snapshot `base`.
    """
    return _overwrite(rows, table, f"_delivered = date '{day}'", base, request, {str(day): ""})


def _overwrite(
    rows: DataFrame, table: str, condition: str, base: int | None, request: IntakeRequest, days: dict[str, str]
) -> int:
    from pyspark.sql import functions

    spark = rows.sparkSession
    if last_snapshot(spark, table) != base:
        raise _conflict(table)
    columns = spark.table(f"{CATALOG}.{table}").columns
    writer = rows.select(*columns).writeTo(f"{CATALOG}.{table}").option("distribution-mode", "none")
    writer.option("isolation-level", "serializable")
    if base is not None:
        writer.option("validate-from-snapshot-id", str(base))
    properties = {
        RUN_ID: request.run_id,
        CODE_VERSION: request.code_version,
        REQUEST: request.scratch,
        DAYS: json.dumps(days),
    }
    for name, value in properties.items():
        writer.option(f"snapshot-property.{name}", value)
    writer.overwrite(functions.expr(condition))
    snapshot = _current(spark, table)
    parent = snapshot.parentId()
    if snapshot.summary().get(REQUEST) != request.scratch or (None if parent is None else int(parent)) != base:
        raise _conflict(table)
    return int(snapshot.snapshotId())


def _conflict(table: str) -> Conflict:
    return Conflict(
        f"conflict: another writer has changed {table} while the job loads files into it. Nothing is recorded. Clear "
        "the run from prepare_intake on."
    )
