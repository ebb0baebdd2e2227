"""The main job, for real: seed S3, backfill twelve months with the scheduler, show what came out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from psycopg import Connection

from waybill import books
from waybill.period import Period
from waybill.reports import report_contracts
from waybill.sampledata import messaging as sample
from waybill.settings import settings
from waybill.stack import Stack
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade

DAG_ID = "messaging_monthly"
SEEDED_MONTHS = 14
BACKFILLED_MONTHS = 12
_FINISHED = ("success", "failed")


class DemoFailed(Exception):
    """The main job did not end well."""


@dataclass
class Outcome:
    """What the demo did and found."""

    periods: list[Period]
    uploaded: int
    backfill_seconds: float | None
    """None when every month was there already."""
    disagreements: list[str] = field(default_factory=list)
    gaps: list[books.Gap] = field(default_factory=list)


class Airflow:
    """The few calls of Airflow's REST API that the demo makes."""

    def __init__(self, address: str, user: str, password: str) -> None:
        self._client = httpx.Client(base_url=address, timeout=60, trust_env=False)
        answer = self._client.post("/auth/token", json={"username": user, "password": password})
        answer.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON answer of a call below `/api/v2`; raises `DemoFailed` with the API's own words."""
        answer = self._client.request(method, f"/api/v2{path}", **arguments)
        if answer.is_error:
            raise DemoFailed(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def unpause(self, dag_id: str, wait_seconds: float = 60) -> None:
        """Unpause a DAG as soon as the DAG processor has read it."""
        deadline = time.monotonic() + wait_seconds
        while self._client.get(f"/api/v2/dags/{dag_id}").status_code == 404:
            if time.monotonic() > deadline:
                errors = self.call("GET", "/importErrors").get("import_errors", [])
                raise DemoFailed(f"the DAG {dag_id} did not appear in {wait_seconds:.0f} s: {errors}")
            time.sleep(0.3)
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def backfill(self, dag_id: str, first: Period, last: Period) -> None:
        """Create a backfill over the months."""
        self.call(
            "POST",
            "/backfills",
            json={
                "dag_id": dag_id,
                "from_date": f"{first.start}T00:00:00Z",
                "to_date": f"{last.start}T23:59:59Z",
                "reprocess_behavior": "completed",
                "max_active_runs": 4,
                "dag_run_conf": {},
            },
        )

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The newest runs of a DAG."""
        found: list[dict[str, Any]] = self.call(
            "GET", f"/dags/{dag_id}/dagRuns", params={"limit": 100, "order_by": "-id"}
        )["dag_runs"]
        return found


@contextmanager
def _stack_environment(stack: Stack) -> Iterator[None]:
    import os

    before = dict(os.environ)
    os.environ.update(stack.env())
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def last_month(s3: Any) -> str:
    """The last month of the sample data: the one that was seeded, else the last complete month of the calendar.

    It is the month that the schedule's newest run stands for when the sample is new.
    """
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=settings().raw_bucket, Prefix=sample.ANSWER_KEY):
        for item in page.get("Contents", []):
            answer = s3.get_object(Bucket=settings().raw_bucket, Key=item["Key"])
            return str(json.load(answer["Body"])["options"]["last_month"])
    return Period.of("month", datetime.now(ZoneInfo(settings().timezone)).date()).shift(-1).key


def run(stack: Stack, *, step: Callable[[str], object], progress: Callable[[int, int], object]) -> Outcome:
    """Start everything, seed, backfill what is missing, and check the books against the answer key.

    `step` is told what begins, `progress` (finished, all) runs. Raises `DemoFailed` if a run fails.
    """
    step("starting PostgreSQL, S3 and the AWS APIs")
    stack.up(with_airflow=False)
    with _stack_environment(stack), ThreadPoolExecutor(1) as pool:
        airflow_up = pool.submit(stack.up, report=step)
        upgrade(connect())
        last = Period.parse("month", last_month(stack.s3()))
        files = sample.generate(last.key, SEEDED_MONTHS)
        uploaded = sample.upload(stack.s3(), settings().raw_bucket, files).uploaded
        airflow_up.result()
        periods = [last.shift(-offset) for offset in reversed(range(BACKFILLED_MONTHS))]
        with connect() as connection:
            reports = report_contracts("messaging").values()
            seconds = None
            api = Airflow(stack.airflow_address(), "admin", stack.passwords()["admin"])
            api.unpause(DAG_ID)
            if missing := sorted({gap.period for gap in books.gaps(connection, reports, periods)}):
                step(f"backfilling {missing[0]} to {missing[-1]}")
                seconds = _backfill(api, connection, missing, progress)
            return Outcome(
                periods,
                uploaded,
                seconds,
                books.disagreements(connection, files.answer_key),
                books.gaps(connection, reports, periods),
            )


def _backfill(
    api: Airflow, connection: Connection, missing: list[Period], progress: Callable[[int, int], object]
) -> float:
    began = time.monotonic()
    api.backfill(DAG_ID, missing[0], missing[-1])
    wanted = {period.key for period in missing}
    while True:
        runs = {
            run["partition_key"]: run["state"]
            for run in reversed(api.runs(DAG_ID))  # so that the newest run of a month counts
            if run["partition_key"] in wanted
        }
        finished = [key for key, state in runs.items() if state in _FINISHED]
        progress(len(finished), len(wanted))
        if failed := sorted(key for key, state in runs.items() if state == "failed"):
            refusals = connection.execute(
                "select message from waybill.refusal order by refusal_id desc limit 3"
            ).fetchall()
            causes = "; ".join(row[0] for row in refusals) or "see the log of the failed task in Airflow"
            raise DemoFailed(f"the runs of {', '.join(failed)} failed: {causes}")
        if len(finished) == len(wanted):
            return time.monotonic() - began
        time.sleep(0.5)
