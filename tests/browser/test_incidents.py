"""Incidents in a browser: buttons that change their state without leaving the page, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from support.accessibility import serious_faults
from support.landing import MONTH, Landing, landing_bucket, landing_dsn
from support.problems import DAG, NOW, landed, load_and_delete, reader_of, writer_of
from support.serving import served
from support.views import Someone, access_of
from waybill.ops.incidents import FailedRun, close, mute, numbered
from waybill.views.operations.incidents import failed, look
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["landed", "landing_bucket", "landing_dsn"]

FAILED = f"{DAG} {MONTH} failed in traffic"


@pytest.fixture
def number(landed: Landing) -> int:
    """The number of the incident of a failed run. Other lines have incidents, too."""
    load_and_delete(landed)
    look(landed.connection, "messaging", "watch", NOW, is_watch=True)
    run = FailedRun(DAG, "r1", "traffic", MONTH)
    found, _ = failed(landed.connection, "messaging", run, OSError("Out of disk."), f"{DAG} {MONTH}", is_quiet=False)
    return found


@pytest.fixture
def page(browser: Browser, stack: Stack, landed: Landing, number: int) -> Iterator[Page]:
    """An empty page of a user who may run the DAG; its base address is data operations of messaging."""
    with served(access_of(reader_of(stack, landed), writer_of(stack, landed), Someone("ana"))) as address:
        context = browser.new_context(base_url=address)
        yield context.new_page()
        context.close()


def line(page: Page, what: str = FAILED) -> Locator:
    return page.locator(".attention li", has_text=what)


def focused(page: Page) -> str:
    """Return the text of the element that has the focus."""
    return str(page.evaluate("document.activeElement.innerText"))


def test_an_incident_is_acknowledged_in_place(page: Page, landed: Landing, number: int) -> None:
    page.goto("")
    page.evaluate("window.isSame = true")
    line(page).get_by_role("button", name="Acknowledge").click()
    page.locator(".results", has_text=f"The incident {number} is acknowledged.").wait_for()
    line(page).get_by_text("acknowledged by ana").wait_for()
    assert line(page).get_by_role("button", name="Acknowledge").count() == 0
    assert FAILED in focused(page)
    assert page.evaluate("window.isSame"), "the page was not loaded again"
    assert numbered(landed.connection, number).acknowledged_by == "ana"
    errors = page.locator(".attention li.error").all_inner_texts()
    assert FAILED in errors[-1], "it comes after those that nobody works on"


def test_an_incident_is_muted_and_unmuted_by_keyboard(page: Page, landed: Landing, number: int) -> None:
    page.goto("")
    line(page).locator("summary", has_text="Mute").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "Mute for 1 day"
    page.keyboard.press("Tab")
    assert focused(page) == "Mute for 1 week"
    page.keyboard.press("Enter")
    page.locator(".results", has_text=f"The incident {number} sends no alerts until").wait_for()
    folded = page.locator("details.muted")
    folded.get_by_text("muted by ana until").wait_for()
    assert FAILED in focused(page)
    page.reload()
    assert not line(page).is_visible()
    folded.locator("summary").first.focus()
    page.keyboard.press("Enter")
    line(page).get_by_role("button", name="Unmute").focus()
    page.keyboard.press("Enter")
    page.locator(".results", has_text=f"The incident {number} is unmuted.").wait_for()
    page.locator("details.muted").wait_for(state="detached")
    assert numbered(landed.connection, number).state == "open"


def test_an_incident_of_a_run_is_closed_after_a_confirmation(page: Page, landed: Landing, number: int) -> None:
    page.goto("")
    assert not page.get_by_role("button", name="Close now").is_visible()
    line(page).locator("summary", has_text="Close").click()
    page.get_by_role("button", name="Close now").click()
    page.locator(".results", has_text=f"The incident {number} is closed.").wait_for()
    line(page).wait_for(state="detached")
    assert focused(page) == "Needs attention"
    assert numbered(landed.connection, number).closed_by == "ana"


def test_a_conflict_is_told_and_the_line_stays(page: Page, landed: Landing, number: int) -> None:
    page.goto("")
    close(landed.connection, number, "lena")
    line(page).get_by_role("button", name="Acknowledge").click()
    page.locator(".results", has_text=f"Acknowledge failed: The incident {number} was closed by lena.").wait_for()
    assert line(page).count() == 1
    assert line(page).get_by_role("button", name="Acknowledge").is_enabled()


def test_buttons_work_after_others_were_used(page: Page, number: int) -> None:
    page.goto("")
    line(page).get_by_role("button", name="Acknowledge").click()
    line(page).get_by_text("acknowledged by ana").wait_for()
    page.get_by_role("button", name="Keep rows").click()
    page.locator(".results", has_text="messaging.traffic keeps 200 rows").wait_for()
    line(page, "is gone from the bucket").wait_for(state="detached")
    assert page.locator(".results p").count() == 2


def test_the_list_leads_to_the_page_of_an_incident_which_has_the_same_buttons(page: Page, number: int) -> None:
    page.goto("")
    line(page).get_by_role("link", name=f"Incident {number}").click()
    page.get_by_role("heading", name=f"Incident {number}").wait_for()
    page.get_by_role("button", name="Acknowledge").click()
    page.locator(".results", has_text="is acknowledged").wait_for()
    page.get_by_text("acknowledged by ana").first.wait_for()
    page.get_by_role("region", name="History").get_by_text("acknowledged", exact=True).wait_for()
    assert focused(page) == FAILED
    page.get_by_role("link", name="Incidents", exact=True).click()
    page.get_by_role("heading", name="Incidents").wait_for()
    page.get_by_label("State").select_option("acknowledged")
    page.wait_for_url("**state=acknowledged*")
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name=f"Incident {number}").click()
    page.get_by_role("heading", name=f"Incident {number}").wait_for()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_and_have_no_serious_fault(
    page: Page, landed: Landing, number: int, width: int, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    other = FailedRun(DAG, "r2", "traffic", MONTH)
    muted, _ = failed(landed.connection, "messaging", other, OSError("No network."), DAG, is_quiet=False)
    mute(landed.connection, muted, "lena", NOW + timedelta(days=36500))
    for path in ("", "incidents.html?domain=messaging", f"incident.html?number={number}"):
        page.goto(path)
        for summary in page.locator("details.muted > summary, .attention details.confirm > summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, path
        assert serious_faults(page) == [], path


def test_without_a_script_incidents_are_listed_and_their_pages_are_reached(
    browser: Browser, stack: Stack, landed: Landing, number: int
) -> None:
    with served(access_of(reader_of(stack, landed), writer_of(stack, landed), Someone())) as address:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(address)
        line(page).get_by_role("link", name=f"Incident {number}").click()
        page.get_by_role("heading", name=f"Incident {number}").wait_for()
        page.get_by_role("link", name="Incidents", exact=True).click()
        page.get_by_label("State").select_option("open")
        page.get_by_role("button", name="Apply").click()
        page.get_by_role("link", name=f"Incident {number}").wait_for()
        context.close()
