"""Charts in a browser: labels stay, points are complete, values stand beside the line."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from waybill.period import Period
from waybill.views import pages
from waybill.views.business import charts
from waybill.views.business import page as business
from waybill.views.business.cards import Card, TrendChart

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BARS = [
    charts.Bar("Gaming", "127,229.45 €", 100, "High"),
    charts.Bar("Telecommunications and everything that belongs to them", "63,410.91 €", 50, "Mid"),
    charts.Bar("Agriculture", "0.00 €", 0, "Low"),
]
SIGNED = [
    charts.Bar("North", "30.00 €", 75, start_pct=25),
    charts.Bar("South", "-10.00 €", 25, is_negative=True),
]
DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(40)]


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A page with one line of forty days and bars with values of different widths, as a file."""
    values = [(day, str(day), Decimal(900_000 + 50_000 * (n % 7))) for n, day in enumerate(DAYS)]
    line = charts.line("€", values, {DAYS[-1]: "3 of 7 days"})
    assert line is not None
    period = Period.of("day", DAYS[-1])
    page = business.Page(
        domain="messaging",
        period=period,
        coverage="",
        periods=[period],
        cadences=[period],
        kpis=[],
        trends=[TrendChart("Revenue", "revenue", [("day", line)])],
        cards=[
            Card("exposure", "Exposure", "", period, len(BARS), bars=BARS),
            Card("profit", "Profit", "", period, len(SIGNED), bars=SIGNED),
        ],
        notices=[],
    )
    (tmp_path / "assets").mkdir()
    for path in pages.ASSETS.iterdir():
        (tmp_path / "assets" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "index.html").write_text(pages.business(page, root="", domains=["messaging"]))
    return (tmp_path / "index.html").as_uri()


def boxes(found: Locator) -> list[dict[str, float]]:
    return [dict(box) for n in range(found.count()) if (box := found.nth(n).bounding_box())]  # type: ignore[call-overload]


@pytest.mark.parametrize("width", [1440, 390])
def test_bars_of_equal_values_have_equal_length(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(address)
    tracks, fills = (boxes(page.locator(f"#exposure .bars .{name}")) for name in ("track", "fill"))
    assert len(tracks) == len(BARS)
    assert {(round(box["x"]), round(box["width"])) for box in tracks} == {
        (round(tracks[0]["x"]), round(tracks[0]["width"]))
    }
    assert fills[1]["width"] == pytest.approx(fills[0]["width"] / 2, abs=1)
    assert tracks[0]["width"] > 80
    page.close()


def test_a_negative_bar_ends_where_a_positive_one_begins(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    positive, negative = boxes(page.locator("#profit .bars .fill"))
    assert negative["x"] + negative["width"] == pytest.approx(positive["x"], abs=1)
    assert negative["width"] == pytest.approx(positive["width"] / 3, abs=1)
    colours = page.locator("#profit .fill").evaluate_all("fills => fills.map(fill => getComputedStyle(fill).fill)")
    assert colours[0] != colours[1]
    page.close()


def check_axes(page: Page) -> list[str]:
    """Assert that labels range from the first to the last visible point, do not overlap and are not cut off."""
    card = boxes(page.locator(".card"))[0]
    plot = boxes(page.locator(".plot"))[0]
    points = boxes(page.locator(".point:not([hidden])"))
    marks, levels = boxes(page.locator(".mark")), boxes(page.locator(".level-text"))
    for box in (*points, *marks, *levels):
        assert box["x"] >= card["x"]
        assert box["x"] + box["width"] <= card["x"] + card["width"]
    assert all(box["x"] + box["width"] <= plot["x"] for box in levels), "a value lies on the plot"
    assert {round(box["width"]) for box in points} <= {8, 9, 10}, "points are complete"
    assert page.locator(".plot").evaluate("plot => getComputedStyle(plot).overflow") == "visible"
    for one, next_one in pairwise(marks):
        assert one["x"] + one["width"] + 4 <= next_one["x"], "a label lies on another"
    labels = page.locator(".mark").all_text_contents()
    shown = page.locator(".point:not([hidden]) title").all_text_contents()
    assert (labels[0], labels[-1]) == (shown[0].partition(":")[0], shown[-1].partition(":")[0])
    return labels


@pytest.mark.parametrize(("width", "scale"), [(1440, 1), (720, 2), (390, 3)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_stay_at_any_zoom_and_width(browser: Browser, address: str, width: int, scale: int, scheme: Any) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, device_scale_factor=scale, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(address)
    page.locator(".zoom:not([hidden])").wait_for()
    assert len(check_axes(page)) >= (3 if width == 390 else 5)
    for _ in range(4):
        page.get_by_role("button", name="Zoom in").click()
        assert len(check_axes(page)) >= 2
    assert page.locator(".shown").inner_text().endswith(str(DAYS[-1]))
    for _ in range(3):
        page.get_by_role("button", name="Earlier").click()
        check_axes(page)
    for _ in range(5):
        page.get_by_role("button", name="Zoom out").click()
    assert (check_axes(page)[0], check_axes(page)[-1]) == (str(DAYS[0]), str(DAYS[-1]))
    page.set_viewport_size({"width": 390 if width > 390 else 1440, "height": 900})
    page.wait_for_timeout(200)  # the labels follow the width
    check_axes(page)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.locator(".point.part").count() == 1
    context.close()
