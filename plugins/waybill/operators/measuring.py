"""Measurements of tasks and runs for CloudWatch. They can be switched off, and they never fail a task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from waybill.operators.sending import send_waiting
from waybill.operators.session import AWS, warehouse
from waybill.operators.waits import waits_of_run
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    from psycopg import Connection

    from waybill.contracts import Contract
    from waybill.ops.metrics import Measurement

log = logging.getLogger(__name__)


class FreshnessOperator(BaseOperator):
    """Sends the age of the newest loaded period of every dataset; returns the hours by dataset."""

    ui_color = "#e8f4f8"

    def execute(self, context: Any) -> dict[str, float]:  # noqa: ARG002  # Airflow's signature
        from waybill.contracts import load_all
        from waybill.contracts.domains import load_manifests
        from waybill.ops import metrics
        from waybill.settings import settings

        now, found = datetime.now(UTC), {}
        pipelines = {domain: manifest.dag for domain, manifest in load_manifests().items()}
        with warehouse() as connection:
            for contract in load_all().values():
                if contract.is_dataset and contract.domain in pipelines:
                    for measurement in metrics.of_freshness(connection, contract, pipelines[contract.domain], now):
                        found[contract.table] = measurement
        if settings().metrics and found:
            _send([*found.values()])
        hours = {table: measurement.value for table, measurement in found.items()}
        log.info("hours since the end of the newest loaded period: %s", hours)
        send_waiting()
        return hours


def _send(measurements: list[Measurement]) -> None:
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    from waybill.ops import metrics

    metrics.send(AwsGenericHook(AWS, client_type="cloudwatch", config=metrics.client_config()).get_conn(), measurements)


def _emit(find: Callable[[], list[Measurement]]) -> None:
    """Send measurements in one request. An error is logged as a warning."""
    try:
        if measurements := find():
            _send(measurements)
    except Exception as error:  # measurements must not fail a task
        log.warning("the measurements did not reach CloudWatch: %s", error)


@contextmanager
def measured_load(context: Mapping[str, Any], connection: Connection, contract: Contract) -> Iterator[None]:
    """Send the row counts and the freshness of a dataset after a load, also if files were rejected."""
    from waybill.ops import metrics
    from waybill.settings import settings

    if not settings().metrics:
        yield
        return
    began, since = time.monotonic(), _now(connection)
    try:
        yield
    finally:
        seconds = time.monotonic() - began

        def find() -> list[Measurement]:
            pipeline, run_id = context["dag"].dag_id, context["run_id"]
            load = metrics.of_load(connection, contract, pipeline, run_id, since, seconds)
            return load + metrics.of_freshness(connection, contract, pipeline, datetime.now(UTC))

        _emit(find)


@contextmanager
def measured_checks(
    context: Mapping[str, Any], connection: Connection, contracts: Collection[Contract]
) -> Iterator[None]:
    """Send the number of failed checks of these tables afterwards, also if they stop the run."""
    from waybill.ops import metrics
    from waybill.settings import settings

    try:
        yield
    finally:
        if settings().metrics:
            tables = [contract.table for contract in contracts]
            _emit(lambda: metrics.of_checks(connection, tables, context["dag"].dag_id, context["run_id"]))


def measure_success(context: Mapping[str, Any]) -> None:
    """Send how long a successful run took and worked."""
    _measure_run(context, failed=False)


def measure_failure(context: Mapping[str, Any]) -> None:
    """Send the failure of a run, and how long the run took and worked."""
    _measure_run(context, failed=True)


def _measure_run(context: Mapping[str, Any], *, failed: bool) -> None:
    from waybill.ops import metrics

    run = context.get("dag_run")
    start, end = getattr(run, "start_date", None), getattr(run, "end_date", None)
    took = worked = None
    if start and end:
        took = (end - start).total_seconds()
        try:
            worked = metrics.work_seconds(start, end, waits_of_run(context, end))
        except Exception as error:  # the failure must be sent all the same
            log.warning("the waits of the run could not be read, so its work is not measured: %s", error)
    _emit(lambda: metrics.of_run(context["dag"].dag_id, took, worked, failed=failed))


def _now(connection: Connection) -> datetime:
    now: datetime
    (now,) = one_row(connection, "select clock_timestamp()")
    return now
