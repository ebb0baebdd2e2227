"""The operators of the watch: search for anomalies and schema drift, and write the quality report."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator

from waybill.operators.alerting import alert_anomalies, alert_drift
from waybill.operators.session import output_client, run_of, s3_client, warehouse

log = logging.getLogger(__name__)


def moment() -> datetime:
    """Return the time at which data is looked at: the watch describes the present."""
    return datetime.now(UTC)


class WatchOperator(BaseOperator):
    """Searches the periods of files that were loaded since the last search for anomalies, and files for schema drift.

    Returns a line for each new one. One alert lists the anomalies and another one the drift. They do not fail the run.
    """

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> list[str]:
        from waybill.watch import drift, subjects
        from waybill.watch.anomalies import described, found_by, watch

        datasets, run = subjects.datasets(), run_of(context)
        with warehouse() as connection:
            watch(connection, [*datasets, *subjects.reports()], run, moment())
            # Those of an earlier try, too, which may have ended before its alert.
            anomalies = described(found_by(connection, run))
            for line in anomalies:
                log.warning("%s", line)
            if anomalies:
                alert_anomalies(context, anomalies)
            drifted = drift.described(drift.look(connection, s3_client(), datasets, run))
        for line in drifted:
            log.warning("%s", line)
        if drifted:
            alert_drift(context, drifted)
        return [*anomalies, *drifted]


class QualityReportOperator(BaseOperator):
    """Writes the quality report to the bucket of reports; returns its address."""

    ui_color = "#f4e3e3"

    def execute(self, context: Any) -> str:  # noqa: ARG002  # Airflow's signature
        from waybill.views.quality_report import publish

        with warehouse() as connection:
            return publish(connection, output_client(), moment())
