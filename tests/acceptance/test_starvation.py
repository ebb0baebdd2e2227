"""A file that arrives is a report within seconds, also while a long backfill runs."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import date, datetime

import boto3

from support.order_files import CONTRACTS, Line, body
from support.waiting import eventually
from waybill.contracts.locations import raw_prefix, report_prefix
from waybill.intake.upload import Dropped, announce
from waybill.period import Period
from waybill.pools import POOL_SLOTS
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools import demo
from waybill_devtools.demo import Airflow
from waybill_devtools.sampledata.files import upload
from waybill_devtools.stack import Stack

SECONDS, SLOT_SECONDS, TIMES = 20, 5, 3
"""An order may take so many seconds to become a report, and its tasks may wait so many for a process.

On a busy machine it may be so many times as long as without a backfill.
"""
DAYS = 8
"""The days of the backfill, at most four of which run at a time: it must outlast the orders."""


def longest_wait(api: Airflow, newest: int) -> float:
    """Return the most seconds that a task of the newest message-driven runs waited for a process."""
    runs = [run for run in api.runs("orders_reports") if run["run_type"] == "asset_triggered"]
    found = []
    for run in runs[:newest]:
        path = f"/dags/orders_reports/dagRuns/{run['dag_run_id']}/taskInstances"
        for task in api.call("GET", path)["task_instances"]:
            if task["queued_when"] and task["start_date"]:
                started, queued = (datetime.fromisoformat(task[name]) for name in ("start_date", "queued_when"))
                found.append((started - queued).total_seconds())
    return max(found)


def test_an_order_is_a_report_within_seconds_while_days_are_backfilled(airflow_stack: Stack) -> None:
    with closing(connect(airflow_stack.database_url())) as connection:
        upgrade(connection)
    api = Airflow(airflow_stack.airflow_address(), "admin", airflow_stack.passwords()["admin"])
    s3, environment = airflow_stack.s3(), airflow_stack.env()
    sqs = boto3.client(
        "sqs",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )

    def published(day: Period) -> bool:
        found = s3.list_objects_v2(Bucket="waybill-reports", Prefix=f"{report_prefix(day)}region_profit.csv")
        return found["KeyCount"] == 1

    def seconds(number: int) -> float:
        """Return the seconds from the message about a file with one order to its report."""
        day = Period.of("day", date(2026, 5, number))
        key = f"{raw_prefix('orders', CONTRACTS['lines'].name, day)}order.csv"
        text = body(Line(f"{number}"))
        s3.put_object(Bucket="waybill-raw", Key=key, Body=text)
        began = time.monotonic()
        queue = json.loads(environment["WAYBILL_QUEUE_URLS"])["*"].replace("{domain}", "orders")
        assert announce(sqs, queue, Dropped("waybill-raw", key, "", len(text)))
        assert eventually(lambda: published(day))
        return round(time.monotonic() - began, 1)

    def backfilled(*states: str) -> int:
        return sum(run["state"] in states for run in api.runs("shop_daily") if run["run_type"] == "backfill")

    def at_work() -> int:
        """Return the number of the backfill's tasks that have a slot."""
        path = "/dags/shop_daily/dagRuns/~/taskInstances"
        found = api.call("GET", path, params={"state": ["queued", "running"], "limit": 1})
        return int(found["total_entries"])

    last = Period.parse("day", "2026-10-31")
    upload(s3, "waybill-raw", demo.SHOP.generate(last.key, DAYS, scale=0.3))
    api.unpause("orders_reports")
    seconds(1)  # the first one of all is slow
    alone = seconds(2)
    slot_alone = longest_wait(api, newest=1)
    api.unpause("shop_daily")
    api.backfill("shop_daily", last.shift(1 - DAYS), last)
    slots = int(environment["AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT"]) // POOL_SLOTS
    assert eventually(lambda: at_work() >= slots, every=0.5), "the backfill takes all slots that it gets"
    began, before = time.monotonic(), backfilled("success")
    took = [seconds(number) for number in (3, 4, 5)]
    assert backfilled("queued", "running") > 1, "the backfill still runs"
    print(f"alone {alone} s, during a backfill {took} s, which did {backfilled('success') - before} days in ", end="")
    print(f"{time.monotonic() - began:.0f} s")
    assert max(took) <= max(SECONDS, TIMES * alone), f"orders took {took} s, and {alone} s alone"
    slot = longest_wait(api, newest=3)
    assert slot <= max(SLOT_SECONDS, TIMES * slot_alone), (
        f"an order waits {slot} s for a slot, and {slot_alone} s alone"
    )
    for dag_id in ("orders_reports", "shop_daily"):
        api.call("PATCH", f"/dags/{dag_id}", json={"is_paused": True})
