"""What every DAG has in common: retries, timeouts, alerts, the period parameter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param

from waybill.operators.alerting import alert_task_failure

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": alert_task_failure,
}


def month_param() -> Param:
    """The parameter that names the month of a run triggered by hand."""
    return Param(
        None,
        type=["null", "string"],
        pattern=r"^\d{4}-(0[1-9]|1[0-2])$",
        title="Month",
        description_md="The month to compute, like `2026-03`. Empty: the month before the scheduled run.",
    )


def day_param() -> Param:
    """The parameter that names the day of a run triggered by hand."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day",
        description_md="The day to take in, like `2026-03-31`. Empty: the day before the scheduled run.",
    )
