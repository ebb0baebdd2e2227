"""Reports are approved and rejected in *Needs attention* within Airflow, which records who answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from support.order_files import Line, body
from support.waiting import eventually
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill_devtools.demo import Airflow
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Page

LogIn = Callable[[str], "Page"]
DAG = "orders_reports"
PAGE = "/plugin/data-operations/waybill/operations/index.html?domain=orders"
SECONDS = 180
"""The longest time that a test waits. No test checks the speed."""


@pytest.fixture
def api(seeded: Stack) -> Airflow:
    found = Airflow(seeded.airflow_address(), "admin", seeded.passwords()["admin"])
    found.unpause(DAG)
    return found


def ask(seeded: Stack, api: Airflow, day: str) -> dict[str, Any]:
    """Start a run whose reports exceed `maxWarnings`, with more than fifty regions. Return its question."""
    lines = [Line(f"{day} {number}", region=f"Region {number}") for number in range(51)]
    key = f"raw/orders/lines/dt={day}/wide.csv"
    seeded.s3().put_object(Bucket=settings().raw_bucket, Key=key, Body=body(*lines))
    api.call("POST", f"/dags/{DAG}/dagRuns", json={"logical_date": None, "conf": {}})

    def questions() -> list[dict[str, Any]]:
        asked = api.call("GET", f"/dags/{DAG}/dagRuns/~/hitlDetails")["hitl_details"]
        waiting = [one for one in asked if day in one["subject"]]
        return [one for one in waiting if one["task_instance"]["state"] == "awaiting_input"]

    assert eventually(lambda: len(questions()) == 1, SECONDS)
    (found,) = questions()
    return found


@pytest.mark.parametrize(
    ("day", "choice", "told", "outcome"),
    [
        ("2026-06-01", "Approve", "Approved: the run publishes orders_report.region_profit 2026-06-01", "success"),
        ("2026-06-02", "Reject", "Rejected: orders_report.region_profit 2026-06-02", "failed"),
    ],
)
def test_an_answer_is_given_in_the_list(
    log_in: LogIn, seeded: Stack, api: Airflow, day: str, choice: str, told: str, outcome: str
) -> None:
    run_id = ask(seeded, api, day)["task_instance"]["dag_run_id"]
    viewer = log_in("viewer")
    viewer.goto(PAGE)
    line = viewer.frame_locator("iframe[title^='Data op']").locator(".attention li", has_text=f"{day} waits")
    line.get_by_text(f"you need permission to answer the required actions of {DAG}").first.wait_for()
    assert line.locator("form").count() == 0

    page = log_in("operator")
    page.goto(PAGE)
    frame = page.frame_locator("iframe[title^='Data op']")
    line = frame.locator(".attention li", has_text=f"{day} waits for approval")
    line.locator("summary", has_text=choice).click()
    line.get_by_role("button", name=f"{choice} now").click()
    frame.locator(".results", has_text=told).wait_for()
    assert line.count() == 0

    def ended() -> str:
        return str(api.call("GET", f"/dags/{DAG}/dagRuns/{run_id}")["state"])

    assert eventually(lambda: ended() in ("success", "failed"), SECONDS)
    assert ended() == outcome
    path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/publish/-1/hitlDetails"
    answer = api.call("GET", path)
    assert (answer["chosen_options"], answer["responded_by_user"]["name"]) == ([choice], "operator")
    with connect(seeded.database_url()) as connection:
        published = connection.execute(
            "select count(*) from waybill.published where report = 'orders_report.region_profit' and period = %s",
            (day,),
        ).fetchone()
    assert published == (int(choice == "Approve"),)


def test_an_answer_that_airflow_refuses_is_told_and_the_line_stays(log_in: LogIn, seeded: Stack, api: Airflow) -> None:
    run_id = ask(seeded, api, "2026-06-03")["task_instance"]["dag_run_id"]
    page = log_in("operator")
    page.goto(PAGE)
    frame = page.frame_locator("iframe[title^='Data op']")
    line = frame.locator(".attention li", has_text="2026-06-03 waits for approval")
    line.locator("summary", has_text="Approve").click()
    path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/publish/-1/hitlDetails"
    api.call("PATCH", path, json={"chosen_options": ["Reject"], "params_input": {}})  # somebody else was faster
    line.get_by_role("button", name="Approve now").click()
    frame.locator(
        ".results", has_text="Approve now failed: Human-in-the-loop detail has already been updated"
    ).wait_for()
    assert line.count() == 1
