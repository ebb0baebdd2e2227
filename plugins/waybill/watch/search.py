"""The whole search: drift in files, and then anomalies in datasets and reports."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from psycopg import Connection

from waybill.run import Run
from waybill.watch import drift, looks, subjects
from waybill.watch.anomalies import Anomaly, watch

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def search(
    connection: Connection, s3: S3Client, run: Run, moment: datetime, domain: str | None = None
) -> tuple[list[drift.Drift], list[Anomaly]]:
    """Search the data of a domain, or of all; return the new drift and the new anomalies.

    Records when all data was searched.
    """
    datasets = subjects.datasets(domain)
    drifted = drift.look(connection, s3, datasets, run)
    if domain is None:
        looks.note(connection, "drift")
    found = watch(connection, [*datasets, *subjects.reports(domain)], run, moment)
    if domain is None:
        looks.note(connection, "anomalies")
    return drifted, found
