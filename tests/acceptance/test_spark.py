"""The clickstream on Spark as a user starts it: Airflow runs the job, and the books and reports are complete."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from acceptance.test_stack_airflow import call, token
from support.spark_job import skip_without_spark
from support.waiting import eventually
from waybill.intake.ledger import COUNTS
from waybill.period import Period
from waybill.warehouse.connection import connect
from waybill_devtools import demo
from waybill_devtools.sampledata import shop
from waybill_devtools.stack import Stack

PIPELINE = replace(demo.CLICKS, seeded=3, backfilled=1, generate=partial(shop.generate, scale=0.1))
"""The run of the last day loads the small files of the days before, too."""


@pytest.fixture(scope="module")
def last_day(airflow_stack: Stack) -> Period:
    """The last of three days, whose files a run has loaded."""
    skip_without_spark()
    [outcome] = demo.run(airflow_stack, step=lambda _: None, progress=lambda *_: None, pipelines=[PIPELINE])
    assert (outcome.differences, outcome.gaps) == ([], [])
    assert outcome.run_seconds is not None
    return outcome.periods[-1]


def run(stack: Stack, day: Period, **parameters: Any) -> dict[str, str]:
    """Run a day to the end of the run; returns the states of its tasks."""
    admin = token(stack, "admin")
    body = {"logical_date": None, "conf": {"day": day.key, **parameters}}
    started = call(stack, "/api/v2/dags/clicks_daily/dagRuns", body, admin)
    path = f"/api/v2/dags/clicks_daily/dagRuns/{started['dag_run_id']}"
    assert eventually(lambda: call(stack, path, token=admin)["state"] in ("success", "failed"), every=0.5)
    found = call(stack, f"{path}/taskInstances", token=admin)["task_instances"]
    return {one["task_id"]: one["state"] for one in found}


def test_the_books_balance_and_the_reports_are_published(airflow_stack: Stack, last_day: Period) -> None:
    with closing(connect(airflow_stack.database_url())) as connection:
        books = connection.execute(
            f"select count(*), sum(rows_in), sum({' + '.join(COUNTS[1:])}) from waybill.load_file "
            "where dataset = 'clicks.clickstream' and status = 'loaded'"
        ).fetchone()
        published = connection.execute(
            "select report, count(*), bool_and(exported_sha256 = content_sha256) from waybill.publication "
            "where report like 'clicks_report.%%' and period > %s group by report order by report",
            (last_day.start - timedelta(days=3),),
        ).fetchall()
    assert books
    assert books[0] == 3
    assert books[1] == books[2] > 0
    reports = ("funnel", "page_statistics", "sessions_by_day")
    assert published == [(f"clicks_report.{name}", 3, True) for name in reports]


def test_a_run_with_nothing_to_do_starts_no_spark(airflow_stack: Stack, last_day: Period) -> None:
    states = run(airflow_stack, last_day)
    assert {name: state for name, state in states.items() if state != "success"} == {
        "spark_intake": "skipped", "spark_reports": "skipped"
    }  # fmt: skip


def test_a_dry_run_ends_before_spark(airflow_stack: Stack, last_day: Period) -> None:
    states = run(airflow_stack, last_day, dry_run=True)
    assert {name for name, state in states.items() if state == "success"} == {"landed", "prepare_intake"}
    assert {state for name, state in states.items() if name not in ("landed", "prepare_intake")} == {"skipped"}
