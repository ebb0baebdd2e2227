"""The demo: seed S3, let Airflow run every pipeline, and compare the books with the ground truth."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import httpx
from psycopg import Connection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from waybill.contracts import load_domain
from waybill.contracts.domains import queue_url
from waybill.errors import CommandFailed
from waybill.intake.landing import list_landed
from waybill.intake.upload import Dropped, announce
from waybill.ops import books
from waybill.period import Cadence, Period
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools.sampledata import messaging, orders, purchases, shop
from waybill_devtools.sampledata.files import GROUND_TRUTH_PREFIX, SampleData, upload
from waybill_devtools.sampledata.ground_truth import differences
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_FINISHED = ("success", "failed")


class DemoFailed(CommandFailed):
    """The demo failed."""


class _Away(Exception):
    """Airflow did not answer, or its database was away."""


@dataclass(frozen=True)
class Pipeline:
    """A DAG and its sample data."""

    dag_id: str
    domain: str
    cadence: Cadence
    seeded: int
    """The number of periods with sample files."""
    backfilled: int
    """The number of newest seeded periods to backfill; 0 if files start the DAG."""
    generate: Callable[..., SampleData]
    """Takes the last period, the number of periods, a seed and a scale."""
    sample: str = ""
    """The domain whose sample files the pipeline reads; empty: its own."""

    @property
    def is_on_arrival(self) -> bool:
        """Whether arriving files start the DAG."""
        return self.backfilled == 0


MESSAGING = Pipeline("messaging_monthly", "messaging", "month", 14, 12, messaging.generate)
SHOP = Pipeline("shop_daily", "shop", "day", 14, 14, shop.generate)
ORDERS = Pipeline("orders_reports", "orders", "day", 4, 0, orders.generate)
PURCHASES = Pipeline("purchases_medallion", "purchases", "day", 90, 0, purchases.generate)
CLICKS = Pipeline("clicks_daily", "clicks", "day", 14, 3, shop.generate, sample="shop")
PIPELINES = (ORDERS, MESSAGING, SHOP, PURCHASES)
"""The quickest is first."""
ALL_PERIODS = (ORDERS, MESSAGING, replace(SHOP, seeded=30, backfilled=30), replace(PURCHASES, seeded=365))
"""The pipelines with more sample files."""


def on_spark(pipelines: Sequence[Pipeline]) -> list[Pipeline]:
    """Return pipelines with the one that needs Spark, which reads the files of the shop."""
    (read,) = (one for one in pipelines if one.domain == CLICKS.sample)
    return [*pipelines, replace(CLICKS, seeded=read.seeded)]


@dataclass
class Outcome:
    """The result of the demo for one pipeline."""

    pipeline: Pipeline
    periods: list[Period]
    """The periods that were backfilled, or the days on which files landed."""
    uploaded: int
    run_seconds: float | None
    """Seconds from the start of the backfill, or from the landing of the last file, to the end of the runs.

    None if every period was complete already.
    """
    differences: list[str] = field(default_factory=list)
    gaps: list[books.Gap] = field(default_factory=list)


class Airflow:
    """The few calls of Airflow's REST API that the demo makes."""

    def __init__(self, address: str, user: str, password: str, wait_seconds: float = 120) -> None:
        self._client = httpx.Client(base_url=address, timeout=60, trust_env=False)
        self._patient = Retrying(
            retry=retry_if_exception_type(_Away),
            stop=stop_after_delay(wait_seconds),
            wait=wait_fixed(1),
            reraise=True,
        )
        answer = self._send("POST", "/auth/token", json={"username": user, "password": password})
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Return the response to a request, which is repeated while Airflow or its database is away.

        Raises `DemoFailed` with the message of the server.
        """

        def attempt() -> httpx.Response:
            try:
                answer = self._client.request(method, path, **arguments)
            except httpx.TransportError as error:
                raise _Away(f"Airflow does not answer: {error}") from error
            if answer.is_server_error:
                raise _Away(f"{answer.status_code} {answer.text[:500]}")
            return answer

        try:
            answer = self._patient(attempt)
        except _Away as error:
            raise DemoFailed(f"{method} {path}: {error}") from error
        if answer.is_error:
            raise DemoFailed(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON response of a call below `/api/v2`. Raises `DemoFailed` with the message of the API."""
        return self._send(method, f"/api/v2{path}", **arguments).json()

    def unpause(self, dag_id: str, wait_seconds: float = 300) -> None:
        """Unpause a DAG as soon as the DAG processor has parsed it."""
        deadline = time.monotonic() + wait_seconds
        while not self.call("GET", "/dags", params={"dag_id_pattern": dag_id})["dags"]:
            if time.monotonic() > deadline:
                errors = self.call("GET", "/importErrors").get("import_errors", [])
                raise DemoFailed(
                    f"Airflow has not parsed {dag_id} within {wait_seconds:.0f} s. Import errors: {errors}"
                )
            time.sleep(0.3)
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def backfill(self, dag_id: str, first: Period, last: Period, wait_seconds: float = 300) -> None:
        """Create a backfill over the periods, as soon as the previous backfill of the DAG has ended."""
        wanted = {
            "dag_id": dag_id,
            "from_date": f"{first.start}T00:00:00Z",
            "to_date": f"{last.start}T23:59:59Z",
            "reprocess_behavior": "completed",
            "max_active_runs": 4,
            "dag_run_conf": {},
        }
        began, deadline = datetime.now(UTC), time.monotonic() + wait_seconds
        while True:
            try:
                self.call("POST", "/backfills", json=wanted)
            except DemoFailed as error:
                # Airflow marks a backfill as ended up to half a minute after its last run.
                if "already a running backfill" not in str(error) or time.monotonic() > deadline:
                    raise
                if self._has_backfill_since(dag_id, began):  # its response was lost
                    return
                time.sleep(1)
            else:
                return

    def _has_backfill_since(self, dag_id: str, moment: datetime) -> bool:
        found = self.call("GET", "/backfills", params={"dag_id": dag_id, "order_by": "-id", "limit": 1})["backfills"]
        return any(datetime.fromisoformat(one["created_at"]) >= moment for one in found)

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the newest runs of a DAG."""
        found: list[dict[str, Any]] = self.call(
            "GET", f"/dags/{dag_id}/dagRuns", params={"limit": 100, "order_by": "-id"}
        )["dag_runs"]
        return found


@contextmanager
def stack_environment(stack: Stack) -> Iterator[None]:
    """Set the variables with which this process reaches a stack."""
    import os

    before = dict(os.environ)
    os.environ.update(stack.env())
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def sample_options(s3: S3Client, pipeline: Pipeline) -> tuple[Period, int | None]:
    """Return the last period of the sample data in the bucket, and the number of its periods.

    Without sample data, the period is that of the newest scheduled run, and the number is None.
    """
    bucket, key = settings().raw_bucket, f"{GROUND_TRUTH_PREFIX}{pipeline.sample or pipeline.domain}.json"
    try:
        ground_truth = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    except s3.exceptions.NoSuchKey:
        today = datetime.now(ZoneInfo(settings().timezone)).date()
        return Period.of(pipeline.cadence, today).shift(-1), None
    options = ground_truth["options"]
    return Period.parse(pipeline.cadence, options[f"last_{pipeline.cadence}"]), options[f"{pipeline.cadence}s"]


def _sample(s3: S3Client, pipeline: Pipeline) -> tuple[Period, SampleData]:
    """Return the last period and the files of a pipeline's sample data. Raises `DemoFailed` if other data is there."""
    last, seeded = sample_options(s3, pipeline)
    if seeded not in (None, pipeline.seeded):
        raise DemoFailed(
            f"The bucket {settings().raw_bucket} has sample data of {pipeline.domain} for {seeded} "
            f"{pipeline.cadence}s, not {pipeline.seeded}. Run `make clean` and repeat the command, "
            "or run it with the same options as before."
        )
    return last, pipeline.generate(last.key, pipeline.seeded)


def run(
    stack: Stack,
    *,
    step: Callable[[str], object],
    progress: Callable[[Pipeline, int, int], object],
    finished: Callable[[Outcome], object] = lambda _: None,
    pipelines: Sequence[Pipeline] = PIPELINES,
) -> list[Outcome]:
    """Start the stack and seed it; then run the missing periods of each pipeline and compare its books.

    `step` is called with the name of each step, `progress` with a pipeline, its finished runs and all its runs, and
    `finished` with the outcome of each pipeline. Raises `DemoFailed` if a run fails.
    """
    step("starting PostgreSQL, S3 and the AWS APIs")
    stack.up(with_airflow=False)
    with stack_environment(stack), ThreadPoolExecutor(1) as pool:
        airflow_up = pool.submit(stack.up, report=step)
        upgrade(connect())
        bucket, s3 = settings().raw_bucket, stack.s3()
        samples, uploaded = {}, {}
        for pipeline in pipelines:
            samples[pipeline] = _sample(s3, pipeline)
            if not pipeline.is_on_arrival:  # files on arrival are uploaded when their DAG is unpaused
                uploaded[pipeline] = upload(s3, bucket, samples[pipeline][1]).uploaded
        airflow_up.result()
        api = Airflow(stack.airflow_address(), "admin", stack.passwords()["admin"])
        outcomes = []
        for pipeline, (last, files) in samples.items():
            api.unpause(pipeline.dag_id)
            if pipeline.is_on_arrival:
                step(f"{pipeline.domain}: uploading files")
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
                found = differences(connection, pipeline.domain, files.ground_truth)
                if seconds is not None:
                    gaps = books.incomplete(connection, s3, pipeline.domain, periods)
            outcomes.append(Outcome(pipeline, periods, uploaded[pipeline], seconds, found, gaps))
            finished(outcomes[-1])
    return outcomes


def landed_for(s3: S3Client, domain: str, periods: Sequence[Period]) -> list[Period]:
    """Return the periods for which a file of each dataset has landed. Runs of other periods would wait for files."""
    bucket, found = settings().raw_bucket, set(periods)
    for contract in load_domain(domain).values():
        found &= {file.period for file in list_landed(s3, bucket, contract, periods[0], periods[-1])}
    return sorted(found)


def _landing_days(s3: S3Client, bucket: str, sample: SampleData) -> list[Period]:
    """Return the days from the first to the last landing of a file of the sample."""
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
    """Send the notification of S3 for a landed file, and wait for a run that starts after it.

    One notification is enough: the run lists the bucket and finds all files.
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
            for run in reversed(api.runs(pipeline.dag_id))  # the newest run of a period counts
            if run["partition_key"] in wanted
        }
        finished = [key for key, state in runs.items() if state in _FINISHED]
        progress(pipeline, len(finished), len(wanted))
        _raise_for_failed(connection, runs)
        if len(finished) == len(wanted):
            return time.monotonic() - began
        time.sleep(0.5)


def _raise_for_failed(connection: Connection, runs: Mapping[str, str]) -> None:
    """Raise `DemoFailed` with the newest rejected files if one of the runs (states by name) has failed."""
    if failed := sorted(key for key, state in runs.items() if state == "failed"):
        rejections = connection.execute(
            "select message from waybill.rejected_file order by rejected_file_id desc limit 3"
        ).fetchall()
        causes = "; ".join(row[0] for row in rejections) or "see the log of the failed task in Airflow"
        raise DemoFailed(f"the runs of {', '.join(failed)} failed: {causes}")
