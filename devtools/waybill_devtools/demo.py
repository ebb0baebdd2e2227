"""The main job, for real: seed S3, let the scheduler run every pipeline, check the books."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from psycopg import Connection

from waybill.contracts import load_domain
from waybill.errors import CommandFailed
from waybill.intake.landing import list_landed
from waybill.intake.upload import Dropped, announce, queue_url
from waybill.ops import books
from waybill.period import Cadence, Period
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools.sampledata import messaging, orders, purchases, shop
from waybill_devtools.sampledata.files import GROUND_TRUTH_PREFIX, SampleData, upload
from waybill_devtools.sampledata.ground_truth import differences
from waybill_devtools.stack import Stack

_FINISHED = ("success", "failed")


class DemoFailed(CommandFailed):
    """The main job did not end well."""


@dataclass(frozen=True)
class Pipeline:
    """A DAG and its sample data."""

    dag_id: str
    domain: str
    cadence: Cadence
    seeded: int
    """For how many periods sample files are made."""
    backfilled: int
    """How many of them, the last ones, are backfilled."""
    generate: Callable[..., SampleData]
    """Takes the last period, the number of periods, a seed and a scale."""

    @property
    def is_on_arrival(self) -> bool:
        """Whether files start the DAG, and nothing is backfilled."""
        return self.backfilled == 0


MESSAGING = Pipeline("messaging_monthly", "messaging", "month", 14, 12, messaging.generate)
SHOP = Pipeline("shop_daily", "shop", "day", 30, 30, shop.generate)
ORDERS = Pipeline("orders_reports", "orders", "day", 4, 0, orders.generate)
PURCHASES = Pipeline("purchases_medallion", "purchases", "day", 365, 0, purchases.generate)
PIPELINES = (MESSAGING, SHOP, ORDERS, PURCHASES)


@dataclass
class Outcome:
    """What the demo did and found for one pipeline."""

    pipeline: Pipeline
    periods: list[Period]
    """Those that were backfilled, or those that the files landed for."""
    uploaded: int
    run_seconds: float | None
    """How long it took from the backfill's start, or the last file's landing, to the end of the runs.

    None when every period was there already.
    """
    differences: list[str] = field(default_factory=list)
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

    def backfill(self, dag_id: str, first: Period, last: Period, wait_seconds: float = 90) -> None:
        """Create a backfill over the periods, as soon as the DAG's last one is over."""
        wanted = {
            "dag_id": dag_id,
            "from_date": f"{first.start}T00:00:00Z",
            "to_date": f"{last.start}T23:59:59Z",
            "reprocess_behavior": "completed",
            "max_active_runs": 4,
            "dag_run_conf": {},
        }
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                self.call("POST", "/backfills", json=wanted)
            except DemoFailed as error:
                # Airflow notices up to half a minute late that all runs of a backfill have ended.
                if "already a running backfill" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return

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


def last_period(s3: Any, pipeline: Pipeline) -> Period:
    """The last period of the sample data: the one that was seeded, else the last complete one of the calendar.

    It is what the schedule's newest run stands for when the sample is new.
    """
    bucket, key = settings().raw_bucket, f"{GROUND_TRUTH_PREFIX}{pipeline.domain}.json"
    try:
        ground_truth = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    except s3.exceptions.NoSuchKey:
        today = datetime.now(ZoneInfo(settings().timezone)).date()
        return Period.of(pipeline.cadence, today).shift(-1)
    return Period.parse(pipeline.cadence, ground_truth["options"][f"last_{pipeline.cadence}"])


def run(
    stack: Stack,
    *,
    step: Callable[[str], object],
    progress: Callable[[Pipeline, int, int], object],
    pipelines: Sequence[Pipeline] = PIPELINES,
) -> list[Outcome]:
    """Start everything and seed; then for each pipeline run what is missing and check its books.

    `step` is told what begins, `progress` (pipeline, finished, all) runs. Raises `DemoFailed` if a run fails.
    """
    step("starting PostgreSQL, S3 and the AWS APIs")
    stack.up(with_airflow=False)
    with _stack_environment(stack), ThreadPoolExecutor(1) as pool:
        airflow_up = pool.submit(stack.up, report=step)
        upgrade(connect())
        bucket, s3 = settings().raw_bucket, stack.s3()
        samples, uploaded = {}, {}
        for pipeline in pipelines:
            last = last_period(s3, pipeline)
            samples[pipeline] = last, pipeline.generate(last.key, pipeline.seeded)
            if not pipeline.is_on_arrival:  # the others' files land when somebody waits for them
                uploaded[pipeline] = upload(s3, bucket, samples[pipeline][1]).uploaded
        airflow_up.result()
        api = Airflow(stack.airflow_address(), "admin", stack.passwords()["admin"])
        outcomes = []
        for pipeline, (last, files) in samples.items():
            api.unpause(pipeline.dag_id)
            if pipeline.is_on_arrival:
                step(f"{pipeline.domain}: files land")
                uploaded[pipeline] = upload(s3, bucket, files).uploaded
                periods = _landing_days(s3, bucket, files)
            else:
                periods = [last.shift(-offset) for offset in reversed(range(pipeline.backfilled))]
            with connect() as connection:
                seconds = None
                gaps = books.incomplete(connection, s3, pipeline.domain, periods)
                if pipeline.is_on_arrival and (uploaded[pipeline] or gaps):
                    announced = files.files[-1]
                    landed = Dropped(bucket, announced.key, "", len(announced.body))
                    seconds = _arrive(api, connection, pipeline, landed, progress)
                elif missing := [
                    period
                    for period in landed_for(s3, pipeline.domain, periods)
                    if any(gap.period.covers(period) for gap in gaps)
                ]:
                    step(f"{pipeline.domain}: backfilling {missing[0]} to {missing[-1]}")
                    seconds = _backfill(api, connection, pipeline, missing, progress)
                found = differences(connection, files.ground_truth)
                if seconds is not None:
                    gaps = books.incomplete(connection, s3, pipeline.domain, periods)
            outcomes.append(Outcome(pipeline, periods, uploaded[pipeline], seconds, found, gaps))
    return outcomes


def landed_for(s3: Any, domain: str, periods: Sequence[Period]) -> list[Period]:
    """Those of consecutive periods for which a file of each dataset has landed; a run of another one would wait for it.

    `s3` is a boto3 client.
    """
    bucket, found = settings().raw_bucket, set(periods)
    for contract in load_domain(domain).values():
        found &= {file.period for file in list_landed(s3, bucket, contract, periods[0], periods[-1])}
    return sorted(found)


def _landing_days(s3: Any, bucket: str, sample: SampleData) -> list[Period]:
    """The days from the first on which a file of the sample landed to the last."""
    keys = {file.key for file in sample.files}
    landed = [
        file.period
        for contract in load_domain(sample.domain).values()
        for file in list_landed(s3, bucket, contract, None, None)
        if file.key in keys
    ]
    return min(landed).until(max(landed))


def _arrive(
    api: Airflow,
    connection: Connection,
    pipeline: Pipeline,
    landed: Dropped,
    progress: Callable[[Pipeline, int, int], object],
) -> float:
    """Say that a file has landed, as S3 does on AWS, and wait for a run that began after that.

    One message wakes the run: what else has landed it finds by itself.
    """
    import boto3

    queue = queue_url(pipeline.domain)
    assert queue is not None
    began, said_at = time.monotonic(), datetime.now(UTC)
    progress(pipeline, 0, 1)
    announce(boto3.Session().client("sqs"), queue, landed)
    while True:
        ended = {
            run["dag_run_id"]: run["state"]
            for run in api.runs(pipeline.dag_id)
            if run["state"] in _FINISHED and datetime.fromisoformat(run["start_date"]) > said_at
        }
        _raise_for_failed(connection, ended)
        if ended:
            progress(pipeline, 1, 1)
            return time.monotonic() - began
        time.sleep(0.2)


def _backfill(
    api: Airflow,
    connection: Connection,
    pipeline: Pipeline,
    missing: list[Period],
    progress: Callable[[Pipeline, int, int], object],
) -> float:
    began = time.monotonic()
    api.backfill(pipeline.dag_id, missing[0], missing[-1])
    wanted = {period.key for period in missing}
    while True:
        runs = {
            run["partition_key"]: run["state"]
            for run in reversed(api.runs(pipeline.dag_id))  # so that the newest run of a period counts
            if run["partition_key"] in wanted
        }
        finished = [key for key, state in runs.items() if state in _FINISHED]
        progress(pipeline, len(finished), len(wanted))
        _raise_for_failed(connection, runs)
        if len(finished) == len(wanted):
            return time.monotonic() - began
        time.sleep(0.5)


def _raise_for_failed(connection: Connection, runs: Mapping[str, str]) -> None:
    """Raise `DemoFailed` with the newest refusals if one of the runs (states by name) failed."""
    if failed := sorted(key for key, state in runs.items() if state == "failed"):
        refusals = connection.execute(
            "select message from waybill.rejected_file order by rejected_file_id desc limit 3"
        ).fetchall()
        causes = "; ".join(row[0] for row in refusals) or "see the log of the failed task in Airflow"
        raise DemoFailed(f"the runs of {', '.join(failed)} failed: {causes}")
