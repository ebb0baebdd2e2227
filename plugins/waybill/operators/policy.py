"""What every DAG has in common: retries, timeouts, alerts, the period parameter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param

from waybill.operators.alerting import alert_failure, alert_task_failure, notify_success, notify_warnings
from waybill.operators.measuring import measure_failure, measure_success
from waybill.operators.parameters import refuse_unknown_parameters
from waybill.period import Period
from waybill.pools import POOL_SLOTS
from waybill.settings import settings

PROPOSED_MONTHS = 24

_BACKFILL_NICENESS = 15


def before_each_task(context: Mapping[str, Any]) -> None:
    """Refuse unknown parameters, and let a task of a backfill run on the processor time that others leave."""
    refuse_unknown_parameters(context)
    if context["dag_run"].run_type == "backfill":
        os.nice(_BACKFILL_NICENESS)  # of the task's own process


DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": alert_task_failure,
    "pre_execute": before_each_task,
    "pool_slots": POOL_SLOTS,
}
ARRIVAL_ARGS: dict[str, Any] = DEFAULT_ARGS | {"pool_slots": 1, "priority_weight": 1000, "weight_rule": "absolute"}
"""Of DAGs that files start: somebody waits for them, so their tasks come before those of schedules and backfills."""


def run_callbacks(domain: str, *, on_arrival: bool = False) -> dict[str, Any]:
    """What is called when a run of the domain's DAG ends, for those that are switched on.

    A failed run is always told, with the warnings about the files that it loaded. One that ended well is told if files
    start it, or if the settings want it for scheduled ones, too. Airflow reads the DAG's file for each call: so nothing
    is called that would do nothing.
    """
    of_success: list[Any] = [notify_success(domain)] if on_arrival or settings().notify_scheduled else []
    of_failure: list[Any] = [alert_failure, notify_warnings(domain)]
    if settings().metrics:
        of_success.append(measure_success)
        of_failure.append(measure_failure)
    return {"on_success_callback": of_success or None, "on_failure_callback": of_failure}


_WHEN_NEEDED = "Required for a single run; leave it empty in a backfill, whose runs know what they stand for."


def datasets_param(domain: str) -> Param:
    """The parameter that limits a run to some of a domain's datasets."""
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
        description_md="Take in these; files of the others wait for another run. Checks and reports follow as ever.",
    )


def dry_run_param() -> Param:
    """The parameter that makes a run judge files and load nothing."""
    return Param(
        False,
        type="boolean",
        title="Dry run",
        description_md="Judge the files that landed and are not loaded, and load nothing: the return values of the "
        "intake tasks say how many rows would be rejected, and why. Everything after them is skipped.",
    )


def owner_links() -> dict[str, str]:
    """Where the owner of the DAGs is found, if a setting says so."""
    link = settings().owner_link
    return {str(DEFAULT_ARGS["owner"]): link} if link else {}


def month_param() -> Param:
    """The parameter that names the month of a run triggered by hand; the form proposes the newest complete ones."""
    newest = Period.of("month", datetime.now(ZoneInfo(settings().timezone)).date()).shift(-1)
    return Param(
        None,
        type=["null", "string"],
        examples=[newest.shift(-months).key for months in range(PROPOSED_MONTHS)],
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


def arrival_params() -> dict[str, Param]:
    """The parameters that limit a run by hand to one file, one landing day or a range of them."""
    day: dict[str, Any] = {"type": ["null", "string"], "format": "date"}
    return {
        "dry_run": dry_run_param(),
        "file": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="File",
            description_md="Take in this file alone, also if it was refused before: its name, or the whole key.",
        ),
        "day": Param(
            None,
            **day,
            title="Landing day",
            description_md="Take in what landed on this day, like `2026-03-31`, also what was refused before.",
        ),
        "last_day": Param(
            None, **day, title="Last landing day", description_md="With it, all days from the landing day to this one."
        ),
    }


def arrival_schedule(name: str, queue_url: str | None) -> AssetOrTimeSchedule | CronTriggerTimetable:
    """A run as soon as a message says that a file has landed, and one every 15 minutes that needs no message.

    A message only wakes: what there is to do the run finds out by itself. Without a queue nobody is woken.
    """
    from airflow.providers.amazon.aws.triggers.sqs import SqsSensorTrigger

    reconciling = CronTriggerTimetable("*/15 * * * *", timezone="UTC")
    if queue_url is None:
        return reconciling
    # The queue holds each request until there is a message, for as long as SQS allows: told at once, asked seldom.
    trigger = SqsSensorTrigger(sqs_queue=queue_url, max_messages=10, wait_time_seconds=20, waiter_delay=1)
    landed = Asset(name, group="arrivals", watchers=[AssetWatcher(name=f"{name}_queue", trigger=trigger)])
    return AssetOrTimeSchedule(timetable=reconciling, assets=landed)
