"""The live view in a browser, while simulated shoppers click and a consumer counts."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.accessibility import serious_faults
from support.waiting import eventually
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack
from waybill_devtools.stream_demo import Options, Progress, run

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

LogIn = Callable[[str], "Page"]
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


@contextmanager
def shoppers(stack: Stack) -> Iterator[Future[Progress]]:
    """Let shoppers click, and count what they do, during the block."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, stack, Options(rate=40), stop)
        try:
            yield running
        finally:
            stop.set()
        running.result()


@pytest.fixture
def page(log_in: LogIn) -> Iterator[Page]:
    """A page that is as wide and light as before, after the test."""
    found = log_in("viewer")
    yield found
    found.set_viewport_size({"width": 1440, "height": 900})
    found.emulate_media(color_scheme="light")


def counted(frame: FrameLocator) -> int:
    """Return how many events the shards have by the page."""
    numbers = frame.locator("#shards td[data-name=Events]").all_inner_texts()
    return sum(int(text.replace(",", "")) for text in numbers)


def test_the_live_view_follows_a_running_stream_without_being_loaded_again(page: Page, seeded: Stack) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto("/plugin/live")
    frame = page.frame_locator("iframe[title='Live']")
    frame.locator("html[data-theme='dark']").wait_for()
    frame.get_by_text("No consumer has read the stream of shop.clickstream yet.").wait_for()
    frame.locator("h1").evaluate("heading => { heading.dataset.loaded = 'once'; }")
    with shoppers(seeded):
        frame.locator("[data-tile=rate] strong", has_text=re.compile(r"^[\d.]+ events/s$")).wait_for()
        assert frame.get_by_text("No consumer has read").is_hidden()
        frame.locator("#minutes svg").first.wait_for()
        before = counted(frame)
        assert eventually(lambda: counted(frame) > before + 40)
        last = frame.locator("#minutes tbody tr").first
        assert "so far" in (last.text_content() or "")
        events = frame.locator("#minutes tbody tr td:nth-child(2)").first.text_content
        seen = events()
        assert eventually(lambda: events() != seen)
        assert re.fullmatch(r"\d+(\.\d)? s", frame.locator("[data-tile=newest] strong").inner_text())
        assert frame.locator("body").evaluate(OVERFLOW) <= 0
        assert frame.locator("h1[data-loaded=once]").count() == 1, "the page was not loaded again"

        page.goto("/waybill/live/index.html")
        page.locator("#minutes svg").first.wait_for()
        assert page.evaluate(OVERFLOW) <= 0
        assert serious_faults(page) == []
        page.locator("#minutes .drawing").first.focus()
        page.keyboard.press("End")
        assert "so far" in page.locator("#minutes output").inner_text()
        page.locator("#funnel summary").focus()
        page.keyboard.press("Enter")
        page.locator("#funnel table").get_by_text("Product view").wait_for()
        rows = page.locator("#shards tbody").inner_text
        seen = rows()
        assert eventually(lambda: rows() != seen)
        assert page.locator("#funnel details").get_attribute("open") is not None, "an update closes no table"

        page.context.set_offline(True)
        stale = page.get_by_text(re.compile(r"^Not updated since \d\d:\d\d:\d\d\. The server does not respond\.$"))
        stale.wait_for()
        assert serious_faults(page) == []
        page.context.set_offline(False)
        stale.wait_for(state="hidden")
    page.locator("h1").evaluate("heading => { heading.dataset.loaded = 'once'; }")
    with connect(seeded.database_url()) as connection:
        connection.execute("update waybill.stream_shard set newest = newest - interval '1 hour'")
    page.get_by_text(
        re.compile(r"^No events since (\d{4}-\d\d-\d\d )?\d\d:\d\d\. No consumer reads the stream\.$")
    ).wait_for()
    assert page.locator("[data-tile=rate] strong").inner_text() == "none"
    assert page.locator("h1[data-loaded=once]").count() == 1
    page.emulate_media(color_scheme="light")
    assert serious_faults(page) == []
