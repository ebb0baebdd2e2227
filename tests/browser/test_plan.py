"""A plan in Airflow starts its runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from support.order_files import Line, body
from support.waiting import eventually
from waybill.ops.books import NOT_LOADED, GapSummary
from waybill.ops.remedies import ready_runs
from waybill.period import Period
from waybill.settings import settings
from waybill_devtools.demo import Airflow
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Page

LogIn = Callable[[str], "Page"]
DAG = "orders_reports"
DAY = "2026-06-07"
PAGE = f"/plugin/data-operations/waybill/operations/plan.html?domain=orders&first={DAY}"


def test_the_planned_run_is_started_by_those_who_may(log_in: LogIn, seeded: Stack) -> None:
    api = Airflow(seeded.airflow_address(), "admin", seeded.passwords()["admin"])
    key = f"raw/orders/lines/dt={DAY}/few.csv"
    seeded.s3().put_object(Bucket=settings().raw_bucket, Key=key, Body=body(Line(f"{DAY} 1")))
    viewer = log_in("viewer")
    viewer.goto(PAGE)
    frame = viewer.frame_locator("iframe[title^='Data op']")
    frame.get_by_text(f"airflow dags trigger {DAG}").wait_for()
    assert frame.get_by_role("button", name="Start run").count() == 0

    def started() -> list[str]:
        return [run["dag_run_id"] for run in api.runs(DAG) if run["conf"].get("day") == DAY]

    page = log_in("operator")
    page.goto(PAGE)
    frame = page.frame_locator("iframe[title^='Data op']")
    frame.get_by_role("button", name="Start run").click()
    frame.locator(".results", has_text="Airflow has created the runs.").wait_for()
    assert eventually(lambda: len(started()) == 1, 30)


def test_airflow_accepts_the_planned_backfill(seeded: Stack) -> None:
    api = Airflow(seeded.airflow_address(), "admin", seeded.passwords()["admin"])
    months = [Period.parse("month", key) for key in ("2026-01", "2026-02", "2026-03")]
    runs = ready_runs("messaging", [GapSummary("messaging.traffic", NOT_LOADED, months)], months)
    assert runs
    path = runs.path.removeprefix("api/v2")
    found = api.call("POST", f"{path}/dry_run", json=runs.body)["backfills"]
    assert [one["partition_key"] for one in found] == ["2026-01", "2026-02", "2026-03"]
