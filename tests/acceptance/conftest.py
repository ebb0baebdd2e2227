"""One whole stack with Airflow for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rights.calls import RECORDER
from support.airflow_settings import RARE_PARSING
from support.landing import empty_connection, operations_dsn
from support.spark_job import QUICK_JAVA
from waybill.settings import PROJECT_ROOT
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from support.telemetry import Received

__all__ = ["empty_connection", "operations_dsn"]


@pytest.fixture(scope="package")
def telemetry() -> Iterator[Received]:
    """What the stack's Airflow has sent by OpenTelemetry."""
    from support.telemetry import receiver

    with receiver() as received:
        yield received


@pytest.fixture(scope="package")
def airflow_stack(tmp_path_factory: pytest.TempPathFactory, dags: Path, telemetry: Received) -> Iterator[Stack]:
    """A whole stack with a copy of the contracts, which is stopped after the tests of this folder.

    It sends metrics as on AWS, but every second.
    """
    include = tmp_path_factory.mktemp("airflow-include") / "include"
    shutil.copytree(PROJECT_ROOT / "include", include)
    variables = {
        **RARE_PARSING,
        "JAVA_TOOL_OPTIONS": QUICK_JAVA,
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
        "OTEL_EXPORTER_OTLP_ENDPOINT": telemetry.address,
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_SERVICE_NAME": "waybill-test",
        "WAYBILL_INCLUDE_DIR": str(include),
        "WAYBILL_METRICS": "true",
    }
    running = Stack(tmp_path_factory.mktemp("airflow-stack"), dags, paths=[RECORDER], variables=variables)
    try:
        running.up()
        yield running
    finally:
        running.down()
