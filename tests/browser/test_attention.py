"""Buttons of the list of open problems in a browser: the line vanishes once its problem is settled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.landing import CUSTOMERS, Landing, csv_body, customer_rows, landing_bucket, landing_dsn
from support.messaging_months import RUN, month
from support.problems import (
    landed,
    load_and_delete,
    load_late_rows,
    load_unknown_customer,
    reader_of,
    writer_of,
)
from support.serving import served
from support.stream import CLICKS, NOON, click, counter
from support.views import Someone, access_of
from waybill.checks import quality
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

__all__ = ["landed", "landing_bucket", "landing_dsn"]

MARCH = month("2026-03")


@pytest.fixture
def page(browser: Browser, stack: Stack, landed: Landing) -> Iterator[Page]:
    """An empty page of a user who may do everything; its base address is data operations of messaging."""
    with served(access_of(reader_of(stack, landed), writer_of(stack, landed), Someone())) as address:
        context = browser.new_context(base_url=address, permissions=["clipboard-read", "clipboard-write"])
        yield context.new_page()
        context.close()


def open_line(page: Page, what: str) -> None:
    """Open the page and wait for the line of a problem."""
    page.goto("")
    page.locator(".attention li", has_text=what).wait_for()


def settled(page: Page, what: str, result: str) -> None:
    """Assert that the result is told, and that the line is gone now and after a reload."""
    page.locator(".results", has_text=result).wait_for()
    assert page.locator(".attention li", has_text=what).count() == 0
    page.reload()
    page.get_by_role("heading", name="Needs attention").wait_for()
    assert page.locator(".attention li", has_text=what).count() == 0


def test_rows_whose_customer_has_arrived_are_replayed(page: Page, landed: Landing) -> None:
    load_unknown_customer(landed)
    landed.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    what = "2 rows of messaging.traffic can be loaded now"
    open_line(page, what)
    page.get_by_role("button", name="Replay 2 rows").click()
    settled(page, what, "Replayed 2 rows: 2 inserted.")
    assert landed.all("select count(*) from messaging.traffic where customer_id = 10") == [(2,)]


def test_late_rows_are_admitted_by_keyboard(page: Page, landed: Landing) -> None:
    load_late_rows(landed)
    what = "2 rows of messaging.traffic arrived too late"
    open_line(page, what)
    page.get_by_role("button", name="Admit late 2 rows").focus()
    page.keyboard.press("Enter")
    settled(page, what, "Replayed 2 rows: 2 inserted.")


def test_a_withdrawal_is_confirmed_first(page: Page, landed: Landing) -> None:
    load_and_delete(landed)
    what = "part-1.csv of messaging.traffic is gone from the bucket"
    open_line(page, what)
    assert not page.get_by_role("button", name="Withdraw now").is_visible()
    page.locator("summary", has_text="Withdraw").click()
    page.get_by_text("This removes 200 rows").wait_for()
    page.get_by_role("button", name="Withdraw now").click()
    settled(page, what, "Withdrew s3://")
    assert landed.all("select count(*) from messaging.traffic") == [(0,)]


def test_the_rows_of_a_file_that_is_gone_are_kept(page: Page, landed: Landing) -> None:
    load_and_delete(landed)
    what = "part-1.csv of messaging.traffic is gone from the bucket"
    open_line(page, what)
    page.get_by_role("button", name="Keep rows").click()
    settled(page, what, "messaging.traffic keeps 200 rows of s3://")


def test_a_refused_request_is_told_and_the_line_stays(page: Page, landed: Landing) -> None:
    key = load_and_delete(landed)
    open_line(page, "is gone from the bucket")
    landed.put("traffic", "2026-03", b"back", key.rpartition("/")[2])
    page.get_by_role("button", name="Keep rows").click()
    page.locator(".results", has_text="Keep rows failed: ").wait_for()
    assert page.locator(".attention li", has_text="is gone from the bucket").count() == 1


def test_a_command_is_copied(page: Page, landed: Landing) -> None:
    open_line(page, "messaging.traffic has no file for")
    line = page.locator(".attention li", has_text="messaging.traffic has no file for")
    line.locator("summary").click()
    line.get_by_role("button", name="Copy command").click()
    line.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == line.locator("code").inner_text()
    assert copied.startswith("waybill drop FILE --domain messaging --dataset traffic --period ")


def test_without_a_script_the_list_and_its_links_and_commands_are_there(
    browser: Browser, stack: Stack, landed: Landing
) -> None:
    load_late_rows(landed)
    with served(access_of(reader_of(stack, landed), writer_of(stack, landed), Someone())) as address:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(address)
        assert page.locator(".attention li").count() > 2
        page.locator(".attention li summary").first.click()
        assert page.locator(".attention li code").first.is_visible()
        assert page.get_by_role("button", name="Copy command").count() == 0
        page.get_by_role("link", name="Show rows").first.click()
        page.get_by_role("heading", name="Quarantine").wait_for()
        context.close()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_list_fits(page: Page, landed: Landing, width: int, scheme: str) -> None:
    load_and_delete(landed)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    open_line(page, "is gone from the bucket")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    for box in page.locator(".attention li").all():
        found = box.bounding_box()
        assert found
        assert found["width"] <= width


def test_the_description_of_a_check_is_shown_on_hover_and_focus(page: Page, landed: Landing) -> None:
    quality.record(landed.connection, quality.evaluate(landed.connection, landed.contracts["traffic"], MARCH), RUN)
    open_line(page, "messaging.traffic has no file for")
    name, tip = page.locator(".hint").first, page.get_by_role("tooltip", include_hidden=True).first
    assert not tip.is_visible()
    name.hover()
    assert tip.is_visible()
    page.get_by_role("heading", name="Needs attention").hover()
    assert not tip.is_visible()
    name.focus()
    assert tip.is_visible()
    box = tip.bounding_box()
    assert box
    assert box["width"] > 50


def test_rows_of_a_reason_are_selected_and_replayed(page: Page, landed: Landing) -> None:
    load_unknown_customer(landed, rows=3)
    landed.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    page.goto("quarantine.html?domain=messaging&dataset=messaging.traffic")
    page.get_by_label("Reason").select_option("reference:customer_id")
    page.get_by_text("1 to 3 of 3 open rows for this filter").wait_for()
    page.get_by_role("button", name="Select on this page").click()
    assert page.locator("input[name=row]:checked").count() == 3
    page.get_by_role("button", name="Replay 3 selected rows").click()
    page.locator("output", has_text="Replayed 3 rows: 3 inserted.").wait_for()
    page.reload()
    page.get_by_text("No open rows for this filter.").wait_for()


def test_rejected_events_of_a_stream_are_selected_and_replayed(page: Page, landed: Landing, include_dir: Path) -> None:
    """Their sequence numbers have more digits than a number in JavaScript."""
    (clicks,) = counter(landed.connection, "shardId-000000000000")
    clicks.sequence = 10**55
    clicks.count([click(1, NOON, "zoom"), click(2, NOON, "zoom"), click(3, NOON, device="")])
    contract = include_dir / "contracts/shop/clickstream.yaml"
    contract.write_text(contract.read_text().replace("{value: page_view}", "{value: page_view}, {value: zoom}", 1))
    page.goto(f"quarantine.html?domain=shop&dataset={CLICKS}")
    row = page.locator("tr", has_text="enum:event_type").filter(has=page.get_by_role("button"))
    row.get_by_role("button", name="Select on this page").click()
    page.get_by_role("button", name="Replay 2 selected rows").click()
    page.locator("output", has_text="Replayed 2 events: 2 counted.").wait_for()
    page.reload()
    page.get_by_text("1 to 1 of 1 open rows, newest first.").wait_for()


def test_a_replay_of_a_reason_tells_which_rows_stay(page: Page, landed: Landing) -> None:
    load_unknown_customer(landed)
    page.goto("quarantine.html?domain=messaging&dataset=messaging.traffic")
    page.get_by_role("button", name="Replay all").click()
    page.locator(".results", has_text="Still rejected: reference:customer_id (2).").wait_for()
    assert page.locator("#reasons tbody tr").count() == 1
    landed.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    page.get_by_role("button", name="Replay all").click()
    page.locator(".results", has_text="2 inserted").wait_for()
    assert page.locator("#reasons tbody tr").count() == 0
