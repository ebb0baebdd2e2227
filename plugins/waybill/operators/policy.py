"""Settings that all DAGs share: retries, timeouts, callbacks, parameters and the schedule on arrival."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param

from waybill.contracts.domains import queue_url
from waybill.operators.alerting import (
    after_each_task,
    alert_failure,
    alert_task_failure,
    notify_success,
    notify_warnings,
)
from waybill.operators.assets import landed_asset_name
from waybill.operators.measuring import measure_failure, measure_success
from waybill.operators.parameters import reject_unknown_parameters
from waybill.period import Period
from waybill.pools import POOL_SLOTS
from waybill.settings import settings

PROPOSED_MONTHS = 24

_BACKFILL_NICENESS = 15


def before_each_task(context: Mapping[str, Any]) -> None:
    """Fail on unknown parameters, and lower the CPU priority of tasks of a backfill."""
    reject_unknown_parameters(context)
    if context["dag_run"].run_type == "backfill":
        os.nice(_BACKFILL_NICENESS)  # affects only the process of the task


DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": alert_task_failure,
    "pre_execute": before_each_task,
    "post_execute": after_each_task,
    "pool_slots": POOL_SLOTS,
}
ARRIVAL_ARGS: dict[str, Any] = DEFAULT_ARGS | {"pool_slots": 1, "priority_weight": 1000, "weight_rule": "absolute"}
"""Arguments of DAGs that arriving files start: their tasks come before tasks of schedules and backfills."""


def run_callbacks(domain: str, *, on_arrival: bool = False) -> dict[str, Any]:
    """Return the callbacks for the end of a run of the domain's DAG.

    A failed run opens an incident or joins one, and sends the warnings about the files that it loaded. A successful run
    sends a message if files started it, or if the settings ask for one after scheduled runs. Airflow parses the DAG's
    file for each callback, so callbacks without effect are left out.
    """
    of_success: list[Any] = [notify_success(domain)] if on_arrival or settings().notify_scheduled else []
    of_failure: list[Any] = [alert_failure, notify_warnings(domain)]
    if settings().metrics:
        of_success.append(measure_success)
        of_failure.append(measure_failure)
    return {"on_success_callback": of_success or None, "on_failure_callback": of_failure}


_WHEN_NEEDED = "Required for a single run. Leave it empty in a backfill: each of its runs has its own period."


def datasets_param(domain: str) -> Param:
    """Return the parameter that limits a run to some datasets of a domain."""
    from waybill.contracts import references

    names = sorted(references(domain))
    return Param(
        names,
        type="array",
        items={"type": "string", "enum": names},
        examples=names,
        minItems=1,
        uniqueItems=True,
        title="Datasets",
        description_md="The datasets to ingest. Files of others wait for another run. Checks and reports run as usual.",
    )


_DRY_INTAKE = (
    "Validate the files that landed and are not loaded, and load nothing. The return values of the intake tasks show "
    "how many rows would be rejected, and why. All later tasks are skipped."
)


def dry_run_param(description: str = _DRY_INTAKE) -> Param:
    """Return the parameter for a run that changes nothing, by default one that validates files and loads nothing."""
    return Param(False, type="boolean", title="Dry run", description_md=description)


def owner_links() -> dict[str, str]:
    """Return the link to the owner of the DAGs, if it is set."""
    link = settings().owner_link
    return {str(DEFAULT_ARGS["owner"]): link} if link else {}


def month_param() -> Param:
    """Return the parameter for the month of a manual run; the form proposes the newest complete months."""
    newest = Period.of("month", datetime.now(ZoneInfo(settings().timezone)).date()).shift(-1)
    return Param(
        None,
        type=["null", "string"],
        examples=[newest.shift(-months).key for months in range(PROPOSED_MONTHS)],
        pattern=r"^\d{4}-(0[1-9]|1[0-2])$",
        title="Month",
        description_md=f"The month to compute, for example `2026-03`. {_WHEN_NEEDED}",
    )


def day_param() -> Param:
    """Return the parameter for the day of a manual run."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day",
        description_md=f"The day to ingest, for example `2026-03-31`. {_WHEN_NEEDED}",
    )


def arrival_params() -> dict[str, Param]:
    """Return the parameters that limit a manual run to one file or to a range of landing days."""
    day: dict[str, Any] = {"type": ["null", "string"], "format": "date"}
    return {
        "dry_run": dry_run_param(),
        "file": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="File",
            description_md="Name or key of the only file to ingest. A file that was rejected before is tried again.",
        ),
        "day": Param(
            None,
            **day,
            title="Landing day",
            description_md="Ingest the files that landed on this day, for example `2026-03-31`. "
            "Files that were rejected before are tried again.",
        ),
        "last_day": Param(
            None,
            **day,
            title="Last landing day",
            description_md="Ingest the files of all days from the landing day to this day.",
        ),
    }


def arrival_schedule(domain: str) -> AssetOrTimeSchedule | CronTriggerTimetable:
    """Return the schedule of a domain whose files land at any time.

    A run starts every 15 minutes, and at once if the domain's queue has a message. The run compares the bucket with
    the ledger; `listing_scope` chooses which objects.
    """
    from airflow.providers.amazon.aws.triggers.sqs import SqsSensorTrigger

    reconciling, address = CronTriggerTimetable("*/15 * * * *", timezone="UTC"), queue_url(domain)
    if address is None:
        return reconciling
    # Long polling: SQS holds each request for up to 20 seconds, so messages arrive at once and requests are few.
    trigger = SqsSensorTrigger(sqs_queue=address, max_messages=10, wait_time_seconds=20, waiter_delay=1)
    watcher = AssetWatcher(name=f"{domain}_landed_queue", trigger=trigger)
    landed = Asset(landed_asset_name(domain), group="arrivals", watchers=[watcher])
    return AssetOrTimeSchedule(timetable=reconciling, assets=landed)
