"""Measurements for Amazon CloudWatch: their names, units and dimensions, and how they are sent.

The alarms and dashboards in `terraform/modules/monitoring` use the same names; a test compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from psycopg import Connection

from waybill.contracts import Contract
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.literals import StandardUnitType
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDatumTypeDef

NAMESPACE: Final = "Waybill"

Name = Literal[
    "RowsIn",
    "RowsLoaded",
    "RowsRejected",
    "RowsDuplicate",
    "LoadSeconds",
    "FreshnessHours",
    "QualityErrors",
    "QualityWarnings",
    "RunSeconds",
    "WorkSeconds",
    "RunFailed",
    "StreamLagSeconds",
    "StreamEvents",
    "StreamRepeated",
    "StreamLate",
    "StreamRejected",
    "StreamBatchSeconds",
]

UNITS: Final[dict[Name, StandardUnitType]] = {
    "RowsIn": "Count",
    "RowsLoaded": "Count",
    "RowsRejected": "Count",
    "RowsDuplicate": "Count",
    "LoadSeconds": "Seconds",
    "FreshnessHours": "None",  # CloudWatch has no unit for hours
    "QualityErrors": "Count",
    "QualityWarnings": "Count",
    "RunSeconds": "Seconds",
    "WorkSeconds": "Seconds",
    "RunFailed": "Count",
    "StreamLagSeconds": "Seconds",
    "StreamEvents": "Count",
    "StreamRepeated": "Count",
    "StreamLate": "Count",
    "StreamRejected": "Count",
    "StreamBatchSeconds": "Seconds",
}


@dataclass(frozen=True)
class Measurement:
    """A number about a pipeline (the id of a DAG), or about one of its datasets or reports."""

    name: Name
    value: float
    pipeline: str
    dataset: str | None = None

    @property
    def dimensions(self) -> dict[str, str]:
        """The dimensions that identify this measurement among others of its name."""
        return {"Pipeline": self.pipeline} | ({"Dataset": self.dataset} if self.dataset else {})

    @property
    def datum(self) -> MetricDatumTypeDef:
        """The measurement as a `MetricDatum` of `PutMetricData`."""
        dimensions: list[DimensionTypeDef] = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        return {"MetricName": self.name, "Dimensions": dimensions, "Value": self.value, "Unit": UNITS[self.name]}


def of_load(
    connection: Connection, contract: Contract, pipeline: str, run_id: str, since: datetime, seconds: float
) -> list[Measurement]:
    """Return the sums of the files of a dataset that a run has loaded since an instant, and how long that took.

    They are read from the ledger, so that files also count if other files of the task were rejected. [] if nothing was
    loaded.
    """
    files, *sums = one_row(
        connection,
        "select count(*), sum(rows_in), sum(inserted + updated + unchanged), sum(rejected), sum(duplicate) "
        "from waybill.load_file where dataset = %s and run_id = %s and loaded_at >= %s",
        (contract.table, run_id, since),
    )
    if not files:
        return []
    names: tuple[Name, ...] = ("RowsIn", "RowsLoaded", "RowsRejected", "RowsDuplicate")
    values = zip(("LoadSeconds", *names), (seconds, *sums), strict=True)
    return [Measurement(name, float(value), pipeline, contract.name) for name, value in values]


def of_freshness(connection: Connection, contract: Contract, pipeline: str, now: datetime) -> list[Measurement]:
    """Return the hours from the end of the newest loaded period to an instant, at least 0; [] without a loaded file."""
    (newest,) = one_row(
        connection,
        "select max(period) from waybill.load_file where dataset = %s and status = 'loaded'",
        (contract.table,),
    )
    if newest is None:
        return []
    _, ends = Period.of(contract.cadence, newest).instants(settings().timezone)
    hours = max(0.0, (now.astimezone(UTC) - ends).total_seconds() / 3600)
    return [Measurement("FreshnessHours", round(hours, 2), pipeline, contract.name)]


def of_checks(connection: Connection, subjects: Collection[str], pipeline: str, run_id: str) -> list[Measurement]:
    """Return the failed checks of each severity in a run, for each of these tables that it checked."""
    rows = connection.execute(
        "select split_part(subject, '.', 2), "
        "count(*) filter (where not passed and severity = 'error'), "
        "count(*) filter (where not passed and severity = 'warning') "
        "from waybill.check_result where subject = any(%s) and run_id = %s group by subject order by subject",
        (sorted(subjects), run_id),
    ).fetchall()
    names: tuple[Name, ...] = ("QualityErrors", "QualityWarnings")
    return [
        Measurement(name, float(failed), pipeline, table)
        for table, *counts in rows
        for name, failed in zip(names, counts, strict=True)
    ]


def of_run(pipeline: str, run_seconds: float | None, work_seconds: float | None, *, failed: bool) -> list[Measurement]:
    """Return how long a run took and how long it worked, as far as that is known, and whether it failed."""
    times: dict[Name, float | None] = {"RunSeconds": run_seconds, "WorkSeconds": work_seconds}
    known = [Measurement(name, seconds, pipeline) for name, seconds in times.items() if seconds is not None]
    return [*known, Measurement("RunFailed", float(failed), pipeline)]


def of_stream(
    pipeline: str,
    dataset: str,
    *,
    lag_seconds: float | None,
    events: int,
    repeated: int,
    late: int,
    rejected: int,
    batch_seconds: float | None,
) -> list[Measurement]:
    """Return how many events of a stream became what since the last measurement, and how far its consumers lag.

    `dataset` is its name without the domain. `batch_seconds` is how long a batch took on average; None without one.
    """
    values: dict[Name, float | None] = {
        "StreamLagSeconds": lag_seconds,
        "StreamEvents": events,
        "StreamRepeated": repeated,
        "StreamLate": late,
        "StreamRejected": rejected,
        "StreamBatchSeconds": batch_seconds,
    }
    return [Measurement(name, float(value), pipeline, dataset) for name, value in values.items() if value is not None]


def work_seconds(began: datetime, ended: datetime, waits: Iterable[tuple[datetime, datetime]]) -> float:
    """Return the seconds between two instants that no wait covers. Waits may overlap and exceed the instants."""
    waited, covered = timedelta(), began
    for since, until in sorted(waits):
        waited += max(timedelta(), min(until, ended) - max(since, covered))
        covered = max(covered, until)
    return (ended - began - waited).total_seconds()


def client_config() -> Config:
    """Return the limits of a client that sends measurements.

    Waiting for CloudWatch occupies a worker, so it gives up early: a lost measurement is better than a slow task.
    """
    from botocore.config import Config

    return Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


def send(cloudwatch: CloudWatchClient, measurements: Iterable[Measurement]) -> None:
    """Send up to a thousand measurements in one request. Raises the errors of the client."""
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[one.datum for one in measurements])
