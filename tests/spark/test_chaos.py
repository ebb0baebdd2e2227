"""Runs on Spark that die, meet another run or find something away: nothing is lost or doubled, the next run repairs."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
import requests
from psycopg import Connection
from pyiceberg.expressions import EqualTo

from support.lake import Lake
from support.spark_job import QUICK_JAVA, SparkProcess, skip_without_spark
from support.web_domain import DAY, RUN, Web, add_domain, rows
from waybill.errors import DataError
from waybill.lakehouse import submit
from waybill.lakehouse.exchange import send
from waybill.lakehouse.record import ChangedMeanwhile
from waybill.lakehouse.submit import LocalJob, SparkFailed
from waybill.outputs.iceberg_tables import open_catalog
from waybill.run import Run
from waybill.settings import settings

OTHER = Run("run-2", "code-1")
LAST = DAY + timedelta(days=1)


@pytest.fixture
def web(include_dir: Path, empty_connection: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    skip_without_spark()
    add_domain(include_dir)
    raw = f"{lake.bucket}-raw"
    lake.s3.create_bucket(Bucket=raw)
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", raw)
    monkeypatch.setenv("WAYBILL_SPARK_MEMORY", "1g")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", QUICK_JAVA)
    monkeypatch.setenv("AWS_REGION", os.environ["AWS_DEFAULT_REGION"])
    settings.cache_clear()
    yield Web(empty_connection, lake, raw)
    settings.cache_clear()


def result_of(address: str) -> str:
    return f"{address.rpartition('/')[0]}/result.json"


def run(web: Web, spark: SparkProcess, by: Run) -> None:
    """Run an intake as the tasks do, if there is something to do."""
    address = web.prepare(LAST, by)
    if address:
        spark.tell(address)
        web.record(result_of(address), by)


def check(web: Web, files: dict[str, int]) -> None:
    """Assert that the lake has each row of the files once, read by pyarrow, and that the books say the same."""
    found = web.lake.table(web.contract).scan(selected_fields=("_object", "_record")).to_arrow().to_pylist()
    assert Counter(row["_object"] for row in found) == files
    assert len({(row["_object"], row["_record"]) for row in found}) == len(found)
    loaded = {row[0]: row for row in web.ledger() if row[2] == "loaded"}
    assert {key: row[4] for key, row in loaded.items()} == files
    assert {key: sum(row[5:]) for key, row in loaded.items()} == files
    assert web.prepare(LAST, Run("last", "code-1")) is None


def land(web: Web) -> dict[str, int]:
    """Land a file for each of two days; returns the numbers of their rows."""
    first, second = rows(50), rows(70, LAST)
    return {web.land("a.csv", first): 50, web.land("b.csv", second, LAST): 70}


def test_a_driver_that_is_killed_after_a_commit_is_repaired_by_the_next_run(web: Web, spark: SparkProcess) -> None:
    files = land(web)
    address = web.prepare(LAST)
    assert address
    job, failed = LocalJob(address, {}), list[BaseException]()

    def work() -> None:
        try:
            job.run()
        except SparkFailed as error:
            failed.append(error)

    task = threading.Thread(target=work)
    task.start()
    while task.is_alive() and web.lake.table(web.contract).current_snapshot() is None:
        task.join(0.1)
    assert job.pid
    os.kill(job.pid, signal.SIGKILL)
    task.join()
    assert web.lake.table(web.contract).current_snapshot()
    assert "signal 9" in str(failed[0])
    assert "loaded again by the next try" in str(failed[0])
    assert web.ledger() == []
    run(web, spark, OTHER)
    check(web, files)


def test_two_runs_at_once_and_a_death_before_the_ledger_lose_and_double_nothing(web: Web, spark: SparkProcess) -> None:
    files = land(web)
    one, two = web.prepare(LAST), web.prepare(LAST, OTHER)
    assert one
    assert two
    ended, failed = list[str](), list[str]()

    def work() -> None:
        try:
            LocalJob(one, {}).run()
            ended.append(one)
        except SparkFailed as error:
            failed.append(str(error))

    task = threading.Thread(target=work)
    task.start()
    spark.tell(two)
    task.join()
    assert all("onflict" in text for text in failed)
    run(web, spark, Run("run-3", "code-1"))  # both died before the ledger
    check(web, files)
    before = web.everything()
    for address, by in ((two, OTHER), *((address, RUN) for address in ended)):
        web.record(result_of(address), by)  # they come back to life
        assert web.everything() == before
    check(web, files)


def test_rows_that_somebody_else_deletes_before_the_ledger_are_loaded_again(web: Web, spark: SparkProcess) -> None:
    files = land(web)
    address = web.prepare(LAST)
    assert address
    spark.tell(address)
    web.lake.table(web.contract).delete(EqualTo("_delivered", DAY.isoformat()))
    with pytest.raises(ChangedMeanwhile, match=r"has changed .*web_hits.* since the job has\. Nothing is recorded"):
        web.record(result_of(address))
    run(web, spark, OTHER)
    check(web, files)


def test_a_job_without_the_catalog_or_s3_fails_with_the_cause_and_a_retry_loads(
    web: Web, spark: SparkProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = land(web)
    address = web.prepare(LAST)
    assert address
    with pytest.raises(SparkFailed, match=r"(?s)exit code 1.*loaded again by the next try.*Could not connect"):
        LocalJob(address, {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{_closed_port()}", "AWS_MAX_ATTEMPTS": "1"}).run()
    away = f"http://127.0.0.1:{_closed_port()}"
    request = web.requests[-1]
    without = request.model_copy(update={"lake": request.lake.model_copy(update={"catalog": away})})
    send(web.s3, address, without)
    with pytest.raises(SparkFailed, match=r"(?s)exit code 1.*HttpHostConnectException"):
        LocalJob(address, {}).run()
    with monkeypatch.context() as patch:
        patch.setenv("WAYBILL_LAKE_CATALOG", away)
        settings.cache_clear()
        with pytest.raises(requests.ConnectionError):  # the task that prepares the request is retried
            open_catalog(boto3.Session(), web.s3)
    settings.cache_clear()
    send(web.s3, address, request)
    spark.tell(address)
    web.record(result_of(address))
    check(web, files)


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_without_spark_or_java_a_task_says_how_to_install_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "ENVIRONMENT", tmp_path)
    with pytest.raises(DataError, match=r"Spark is not installed in .*Run `make spark`, then clear this task"):
        LocalJob("s3://lake/request.json", {}).run()
    (tmp_path / "installed").touch()
    with pytest.raises(DataError, match=r"There is no Java for Spark in .*Run `make spark`"):
        LocalJob("s3://lake/request.json", {}).run()
