"""The operators of the lake: days are written with the run that wrote them, and maintained."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from psycopg import Connection

from support.lake import Lake, lake_in
from support.messaging_months import migrate
from support.purchase_files import Purchase, Purchases, Rate
from waybill.contracts import load_domain
from waybill.contracts.locations import star_schema
from waybill.derived.refresh import refresh
from waybill.operators import MaintainLakeOperator, ProcessedOperator
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.connection import connect

SILVER = load_domain("purchases_star")["fact_purchases"]


@pytest.fixture
def lake(bucket: str, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    with lake_in(bucket, s3, monkeypatch) as found:
        yield found


@pytest.fixture
def warehouse(warehouse_dsn: str, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A warehouse with one purchase."""
    migrate(warehouse_dsn)
    settings.cache_clear()
    with connect(warehouse_dsn) as connection:
        purchases = Purchases(connection)
        purchases.arrive("rates", "2026-03-01", "r.csv", [Rate()])
        purchases.arrive("purchases", "2026-03-01", "a.csv", [Purchase()])
        refresh(connection, "purchases", star_schema("purchases"), Run("build", "code"))
        yield connection


def context(run_id: str, **params: Any) -> dict[str, Any]:
    return {"run_id": run_id, "params": params, "dag_run": SimpleNamespace(partition_key=None, conf=None)}


def test_a_task_writes_the_changed_days_with_its_run(warehouse: Connection, lake: Lake) -> None:
    task = ProcessedOperator(task_id="lake", domain="purchases_star")
    with pytest.raises(AirflowSkipException):
        task.execute(context("dry", dry_run=True))
    assert lake.objects() == []
    assert task.execute(context("first"))["purchases_star.fact_purchases"] == {"2026-03-01": 1}
    assert task.execute(context("second"))["purchases_star.fact_purchases"] == {}
    (snapshot,) = lake.table(SILVER).metadata.snapshots
    assert snapshot.summary is not None
    assert snapshot.summary.additional_properties["waybill.run-id"] == "first"


def test_a_task_maintains_the_lake_unless_it_is_a_dry_run(warehouse: Connection, lake: Lake) -> None:
    ProcessedOperator(task_id="lake", domain="purchases_star").execute(context("first"))
    task = MaintainLakeOperator(task_id="maintain")
    assert task.execute(context("idle")) == []
    warehouse.execute("update waybill.processed_day set row_count = 7 where dataset = %s", (SILVER.table,))
    line = "purchases_star.fact_purchases: write 1 day again with the next run"
    assert task.execute(context("dry", dry_run=True)) == [line]
    assert task.execute(context("real", dry_run=False)) == [line]
    assert task.execute(context("again")) == []
    recorded = warehouse.execute("select action, details, run_id from waybill.lake_maintenance").fetchall()
    assert recorded == [("rewrite", ["2026-03-01"], "real")]
