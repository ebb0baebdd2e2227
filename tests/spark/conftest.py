"""Fixtures for tests with Spark: one session for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.lake import Lake, lake_in
from support.landing import empty_connection, operations_dsn
from support.spark_job import SparkProcess, skip_without_spark

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["empty_connection", "operations_dsn"]


@pytest.fixture
def lake(bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake of the test's own in a versioned bucket."""
    skip_without_spark()
    with lake_in(bucket, s3, monkeypatch) as found:
        yield found


@pytest.fixture(scope="session")
def spark_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SparkProcess]]:
    """The one process with Spark, started by the first test that needs it."""
    running: list[SparkProcess] = []
    yield running
    for process in running:
        process.stop()


@pytest.fixture
def spark(lake: Lake, spark_folder: list[SparkProcess], tmp_path_factory: pytest.TempPathFactory) -> SparkProcess:
    """The process with Spark, which has the addresses and credentials of the stack."""
    if not spark_folder:
        spark_folder.append(SparkProcess(tmp_path_factory.mktemp("spark")))
    return spark_folder[0]
