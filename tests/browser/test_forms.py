"""Every form of the views in a browser, with empty and odd values, and the links of each error page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

LogIn = Callable[[str], "Page"]
PLUGIN = "/plugin/data-operations/waybill/operations"
OPERATIONS = "/waybill/operations"
ODD = [
    "-1",
    "0.5",
    "99999999999999999999",
    "½",
    "Zoë ✓",
    "\"'",
    "<script>document.title='hacked'</script>",
    "%00",
    "a&b",
]


def operations(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title^='Data op']")


def wait_for_scripts(page: Page) -> None:
    """Wait until the scripts of the page in the frame have run: before, they miss that a list changes."""
    operations(page).locator("html").evaluate(
        "() => document.readyState === 'complete' || new Promise(done => addEventListener('load', done))"
    )


@contextmanager
def another_page(page: Page) -> Iterator[None]:
    """Wait for the page in the frame that the block opens."""
    with page.expect_event("framenavigated", lambda frame: frame.parent_frame is not None):
        yield
    wait_for_scripts(page)


def open_rows(seeded: Stack, condition: str = "true") -> int:
    with connect(seeded.database_url()) as connection:
        row = connection.execute(
            "select count(*) from waybill.quarantine as q inner join waybill.load_file as f using (file_id) "  # type: ignore[arg-type]
            f"where f.dataset = 'messaging.traffic' and f.status = 'loaded' and q.resolved_as is null and {condition}"
        ).fetchone()
    assert row
    return int(row[0])


def test_the_filters_of_the_quarantine_work_while_the_file_id_is_empty(log_in: LogIn, seeded: Stack) -> None:
    page = log_in("viewer")
    page.goto(f"{PLUGIN}/quarantine.html?dataset=messaging.traffic")
    frame = operations(page)
    frame.get_by_text(re.compile(rf"1 to \d+ of {open_rows(seeded)} open rows")).wait_for()
    wait_for_scripts(page)
    with another_page(page):
        frame.get_by_label("Reason").select_option("type:interactions_count")
    wanted = open_rows(seeded, "'type:interactions_count' = any(q.reasons)")
    frame.get_by_text(f"1 to {wanted} of {wanted} open rows for this filter").wait_for()
    assert frame.locator(".replay tbody tr").count() == wanted
    with another_page(page):
        frame.get_by_role("button", name="Apply").click()  # once more, unchanged
    frame.get_by_text(f"1 to {wanted} of {wanted} open rows for this filter").wait_for()
    with another_page(page):
        frame.get_by_label("Status").select_option("resolved")
    frame.get_by_text(re.compile("resolved rows")).wait_for()
    with another_page(page):
        frame.get_by_label("Dataset").select_option("messaging.channels")
    frame.get_by_role("heading", name="Quarantine").wait_for()
    assert frame.get_by_label("Dataset").input_value() == "messaging.channels"


def test_a_file_id_is_a_number_and_a_huge_one_is_rejected_by_a_page_with_links(log_in: LogIn) -> None:
    page = log_in("viewer")
    address = f"{OPERATIONS}/quarantine.html?domain=messaging&dataset=messaging.traffic"
    page.goto(address)
    field = page.get_by_label("File ID")
    for text in ("abc", "-1", "<script>", "ü"):
        field.fill(text)
        page.get_by_role("button", name="Apply").click()
        assert field.evaluate("field => field.validity.patternMismatch"), text
        assert page.url.endswith(address), "the browser keeps the form"
    field.fill("99999999999")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("heading", name="Invalid request").wait_for()
    assert "File ID is '99999999999'" in page.locator("main").inner_text()
    page.get_by_role("link", name="This page without filters").click()
    page.get_by_role("heading", name="Quarantine").wait_for()
    field.fill("2147483647")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("No open rows for this filter").wait_for()
    assert field.input_value() == "2147483647"


def test_loads_are_filtered_by_dataset_and_back(log_in: LogIn, seeded: Stack) -> None:
    with connect(seeded.database_url()) as connection:
        counts = dict(
            connection.execute(
                "select coalesce(dataset, ''), count(*) from waybill.load_file group by grouping sets ((dataset), ())"
            ).fetchall()
        )
    page = log_in("viewer")
    page.goto(f"{PLUGIN}/loads.html")
    for name in ("messaging.channels", ""):
        frame = operations(page)
        frame.get_by_label("Dataset").wait_for()
        wait_for_scripts(page)
        frame.get_by_label("Dataset").select_option(name)
        frame.get_by_text(f"1 to {counts[name]} of {counts[name]} files").wait_for()


@pytest.mark.parametrize(
    "asked",
    [
        *(
            f"operations/quarantine.html?{name}="
            for name in ("file_id", "dataset", "domain", "state", "page", "reason")
        ),
        *(f"operations/loads.html?{name}=" for name in ("dataset", "domain", "page")),
        "operations/index.html?domain=",
        "operations/index.html?dag_id=",
        "operations/changes.html?domain=",
        "operations/anomalies.html?domain=",
        "operations/incident.html?number=",
        "operations/incidents.html?state=",
        "operations/plan.html?domain=messaging&first=",
        "operations/difference.html?period=2026-03&report=",
        "operations/difference.html?report=messaging_report.top_customers&period=",
    ],
)
def test_odd_values_give_a_page_with_links(log_in: LogIn, asked: str) -> None:
    """The browser shows the page of a script, and the first of the equal error pages, whose link it follows."""
    page = log_in("viewer")
    is_followed = False
    for value in ODD:
        address = f"/waybill/{asked}{value if value == '%00' else quote(value, safe='')}"
        answer = page.request.get(address, headers={"accept": "text/html"})
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.status in (200, 404, 422)
        if "script" in value:
            page.goto(address)
            assert page.title() != "hacked"
        if answer.status != 200 and not is_followed:
            page.goto(address)
            page.locator("section.message a").first.click()
            page.locator("header nav").first.wait_for()
            assert page.locator("section.message").count() == 0
            is_followed = True


@pytest.mark.parametrize(
    "path",
    ["2026-13.html", "2019-01.html", "x.html", "2026-03/nothing.html", "2026-03/top_customers.xml", "%3Cb%3E.html"],
)
def test_unknown_periods_and_reports_link_to_the_view(log_in: LogIn, path: str) -> None:
    page = log_in("viewer")
    answer = page.goto(f"/waybill/business/messaging/{path}")
    assert answer
    assert answer.status == 404
    page.get_by_role("link", name="Start page of this view").click()
    page.get_by_role("heading", name="Messaging 2026-03").wait_for()


def test_the_log_in_page_returns_to_the_configured_address(log_in: LogIn, seeded: Stack) -> None:
    page = log_in("viewer")
    context = page.context.browser.new_context()  # type: ignore[union-attr]
    address = seeded.airflow_address()
    answer = context.request.get(
        f"{address}{OPERATIONS}/index.html", headers={"accept": "text/html", "host": "evil.example"}, max_redirects=0
    )
    assert answer.status == 303
    assert "evil" not in answer.headers["location"]
    assert answer.headers["location"].startswith(f"{address}/api/v2/auth/login?next=")
    context.close()
