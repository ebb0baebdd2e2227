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


_WHEN_NEEDED = "Required for a single run; leave it empty in a backfill, whose runs know what they stand for."


def month_param() -> Param:
    """The parameter that names the month of a run triggered by hand."""
    return Param(
        None,
        type=["null", "string"],
        pattern=r"^\d{4}-(0[1-9]|1[0-2])$",
        title="Month",
        description_md=f"The month to compute, like `2026-03`. {_WHEN_NEEDED}",
    )


def day_param() -> Param:
    """The parameter that names the day of a run triggered by hand."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day",
        description_md=f"The day to take in, like `2026-03-31`. {_WHEN_NEEDED}",
    )
