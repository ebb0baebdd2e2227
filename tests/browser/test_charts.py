"""Charts in a browser: drawn from their tables, read by pointer, touch and keys, and zoomed, without breaking rules."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from support.accessibility import AXE, serious_faults
from waybill.contracts import Column, Contract, load_all
from waybill.period import Period
from waybill.views import pages
from waybill.views.business import charts
from waybill.views.business import page as business
from waybill.views.business.cards import Card, TrendChart
from waybill.views.business.filters import Choice
from waybill.views.business.kpis import KpiValue

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

CONTRACTS = load_all()
REGIONS = CONTRACTS["orders_report.region_profit"]
FUNNEL = CONTRACTS["shop_report.conversion_funnel"]
PRODUCTS = CONTRACTS["shop_report.top_products_by_category"]
EVIL = "<img src=x onerror=\"document.title='hacked'\">"
MONTH_BEFORE = date(2026, 1, 9)
DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(40)]
VALUES = [900_000 + 50_000 * (n % 7) for n in range(40)]


def column(contract: Contract, name: str) -> Column:
    return next(one for one in contract.columns if one.name == name)


def bars(contract: Contract, measure: str, rows: list[dict[str, Any]]) -> charts.Chart:
    nothing = dict.fromkeys(contract.names)
    return charts.bars(contract, column(contract, measure), [nothing | row for row in rows], 12)


def example_charts() -> dict[str, charts.Chart]:
    """Return a chart of each kind."""
    exposure = bars(
        REGIONS,
        "profit",
        [
            {"region": name, "profit": Decimal(value)}
            for name, value in (
                ("Gaming", "127229.45"),
                (f"Telecommunications and everything that belongs to them {EVIL}", "63614.725"),
                ("Agriculture", "0"),
            )
        ],
    )
    noted = zip(exposure.rows, ("High", "Mid", "Low"), strict=True)
    steps = ("session", "product_view", "add_to_cart", "checkout", "purchase")
    small = [replace(column(REGIONS, "profit"), name=f"profit_{n}_eur", business_name=f"Part {n}") for n in range(3)]
    parts = charts.line(REGIONS, small, [(day, str(day), [n, 40 - n, None]) for n, day in enumerate(DAYS)])
    assert parts
    return {
        "exposure": replace(exposure, rows=[replace(row, note=note) for row, note in noted]),
        "profit": bars(
            REGIONS,
            "profit",
            [{"region": "North", "profit": Decimal(30)}, {"region": "South", "profit": Decimal(-10)}],
        ),
        "funnel": bars(
            FUNNEL,
            "sessions_count",
            [{"step_number": n, "step": step, "sessions_count": 1000 // n} for n, step in enumerate(steps, 1)],
        ),
        "cohorts": charts.heatmap(
            [(date(2026, 1 + row, 1), number, Decimal(100 // (number + 1))) for row in range(3) for number in range(3)],
            ("Cohort", "Months since"),
        ),
        "parts": parts,
        "groups": bars(
            PRODUCTS,
            "net_revenue",
            [
                {"category": group, "product_id": n, "product_name": f"{group} {n}", "net_revenue": Decimal(100 // n)}
                for group in ("Books", "Toys")
                for n in (1, 2)
            ],
        ),
    }


def key_figure(label: str, value: int, unit: str, coverage: str = "") -> KpiValue:
    return KpiValue(
        label=label,
        value=value,
        unit=unit,
        text=f"{value:,} {unit}".strip(),
        change="",
        direction="",
        note="not compared",
        year_change="",
        year_note="",
        spark=[1, 3, 2],
        coverage=coverage,
        report="region_profit",
        is_built=True,
        unpublished="",
    )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with figures, one line of forty days and a chart of each kind, and pages of two days before."""
    folder = tmp_path_factory.mktemp("charts")
    revenue = replace(column(REGIONS, "profit"), name="revenue_eur", business_name="Revenue")
    points = [(day, str(day), [Decimal(value)]) for day, value in zip(DAYS, VALUES, strict=True)]
    line = charts.line(REGIONS, [revenue], points, {DAYS[-1]: "3 of 7 days"})
    assert line is not None
    period, *others = (Period.of("day", day) for day in (DAYS[-1], DAYS[-2], MONTH_BEFORE))
    page = business.Page(
        domain="messaging",
        period=period,
        coverage="",
        periods=[period, *others],
        cadences=[period],
        kpis=[
            key_figure("Revenue", 1500, "€"),
            key_figure("Share", 40, "%"),
            key_figure("Orders", 9, "", "3 of 7 days"),
        ],
        trends=[TrendChart("Revenue", "revenue", [("day", line)])],
        cards=[
            Card(name, name.title(), "", period, len(chart.rows), chart=chart)
            for name, chart in example_charts().items()
        ]
        + [Card("nothing", "Nothing", "Has no rows.", period, 0)],
        notices=[],
        filters=[Choice("region", "Region", ["Gaming", "North"])],
    )
    (folder / "assets").mkdir()
    for path in pages.ASSETS.iterdir():
        (folder / "assets" / path.name).write_bytes(path.read_bytes())
    (folder / "messaging").mkdir()
    (folder / "messaging" / f"{period}.html").write_text(pages.business(page, root="../", domains=["messaging"]))
    cards = [replace(card, chart=halved(card.chart)) for card in page.cards if card.chart]
    kpis = [
        replace(kpi, value=kpi.value and kpi.value // 2, text=f"{kpi.value and kpi.value // 2} {kpi.unit}")
        for kpi in page.kpis
    ]
    for other in others:
        earlier = replace(page, period=other, cards=cards, kpis=kpis)
        (folder / "messaging" / f"{other}.html").write_text(pages.business(earlier, root="../", domains=["messaging"]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/messaging/{period}.html"
    server.shutdown()


def halved(chart: charts.Chart) -> charts.Chart:
    """Return a chart with half of each value."""
    rows = []
    for row in chart.rows:
        values = {place: value and value / 2 for place, value in row.values.items()}
        cells = [
            f"{values[place]:.0f}" if values.get(place) and cell.isdigit() else cell
            for place, cell in enumerate(row.cells)
        ]
        rows.append(replace(row, values=values, cells=cells))
    return replace(chart, rows=rows)


Open = Any
"""Opens the page in a window of a width, and returns it."""


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def enter(width: int = 1440, **options: Any) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        if options.get("java_script_enabled", True):
            page.locator(".drawing svg").first.wait_for()
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == [], "the content security policy allows all that the charts do"


def boxes(found: Locator) -> list[dict[str, float]]:
    return [dict(box) for n in range(found.count()) if (box := found.nth(n).bounding_box())]  # type: ignore[call-overload]


def drawn(page: Page, name: str) -> Locator:
    """Return a card of the page once its charts are drawn, which happens when they come near the screen."""
    found = page.locator(name)
    found.scroll_into_view_if_needed()
    found.locator(".drawing svg").first.wait_for()
    return found


def texts(found: Locator) -> list[str]:
    return [text.strip() for text in found.locator("svg text").all_text_contents()]


def filled(page: Page, name: str, variable: str) -> list[dict[str, float]]:
    """Return the boxes of the shapes of a chart that have a colour of the page."""
    colour = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{variable}').trim()")
    return boxes(drawn(page, name).locator(f"svg path[fill='{colour}']"))


def test_bars_are_as_long_as_their_values(open_page: Open) -> None:
    page = open_page()
    first, second, *_ = filled(page, "#exposure", "accent")
    assert second["width"] == pytest.approx(first["width"] / 2, abs=1)
    assert first["x"] == pytest.approx(second["x"], abs=1)
    (positive,), (negative,) = (filled(page, "#profit", name) for name in ("accent", "muted"))
    assert negative["x"] + negative["width"] == pytest.approx(positive["x"], abs=1)
    assert negative["width"] == pytest.approx(positive["width"] / 3, abs=1)
    assert {"127,229.45 €", "High", "Mid", "Low"} <= {*texts(drawn(page, "#exposure"))}


def test_each_kind_of_chart_shows_the_numbers_of_its_table(open_page: Open) -> None:
    page = open_page()
    assert "500 · 50.0 % of the step before" in texts(drawn(page, "#funnel"))
    numbers = sorted(text for text in texts(drawn(page, "#cohorts")) if text in ("100", "50", "33"))
    assert numbers == ["100"] * 3 + ["33"] * 3 + ["50"] * 3
    assert drawn(page, "#parts").locator(".multiples h4").all_text_contents() == ["Part 0 (EUR)", "Part 1 (EUR)"]
    assert page.locator("#parts .drawing svg").count() == 2
    assert drawn(page, "#groups").locator(".multiples h4").all_text_contents() == ["Books", "Toys"]


def plot_point(page: Page, part: float) -> tuple[float, float]:
    box = page.locator(".drawing").first.bounding_box()
    assert box
    return box["x"] + box["width"] * part, box["y"] + box["height"] * 0.4


def check_tip(page: Page) -> str:
    """Assert that the shown tip has the value of its day and the change to the day before. Returns the day."""
    label, value, *change = page.locator(".reading > *").all_text_contents()
    place = [str(day) for day in DAYS].index(label)
    assert value.partition(" (")[0] == f"{VALUES[place]:,}.00 €"
    if place:
        moved = round(100 * (VALUES[place] / VALUES[place - 1] - 1), 1)
        sign = "+" if moved > 0 else "\u2212" if moved < 0 else "±"
        assert change == [f"{sign}{abs(moved):.1f} % vs {DAYS[place - 1]}"]
    return label


def test_a_pointer_reads_the_value_and_its_change(open_page: Open) -> None:
    page = open_page()
    page.mouse.move(*plot_point(page, 0.5))
    page.locator(".reading").wait_for()
    middle = check_tip(page)
    page.mouse.move(*plot_point(page, 0.8))
    page.locator(".reading", has_text=re.compile("2026-02")).wait_for()
    assert check_tip(page) > middle


def test_a_touch_reads_a_value(open_page: Open) -> None:
    page = open_page(390, has_touch=True, is_mobile=True)
    page.touchscreen.tap(*plot_point(page, 0.6))
    page.locator(".reading").wait_for()
    check_tip(page)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_keys_move_along_a_chart_and_are_read_aloud(open_page: Open) -> None:
    page = open_page()
    drawing, spoken = page.locator(".drawing").first, page.locator(".plot output").first
    drawing.focus()
    described = drawing.get_attribute("aria-label") or ""
    assert "Revenue by day. 40 values. From 2026-01-01, 900,000.00 €, to 2026-02-09, 1,100,000.00 €" in described
    page.keyboard.press("End")
    page.locator(".reading").wait_for()
    assert check_tip(page) == str(DAYS[-1])
    assert "1,100,000.00 € (3 of 7 days)" in spoken.inner_text()
    page.keyboard.press("ArrowLeft")
    page.locator(".reading", has_text=f"vs {DAYS[-3]}").wait_for()
    assert check_tip(page) == str(DAYS[-2])
    page.keyboard.press("Home")
    page.locator(".reading", has_text=str(DAYS[0])).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY", "Tab leaves the chart"


def test_text_from_files_is_text_in_charts(open_page: Open) -> None:
    page = open_page()
    drawn(page, "#exposure").locator(".drawing").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.locator(".reading", has_text="onerror").wait_for()
    assert page.locator(".reading img").count() == 0
    assert page.title() != "hacked"


def days_on_axis(page: Page) -> list[str]:
    drawn = page.locator(".drawing").first
    return [text for text in texts(drawn) if re.fullmatch(r"\d{4}-\d\d-\d\d", text)]


def check_axes(page: Page) -> None:
    """Assert that the labels of a line lie beside each other and within its card."""
    card = boxes(page.locator(".card"))[0]
    labels = boxes(page.locator(".drawing").first.locator("svg text", has_text=re.compile(r"^\d{4}-\d\d-\d\d$")))
    for box in labels:
        assert box["x"] >= card["x"]
        assert box["x"] + box["width"] <= card["x"] + card["width"]
    for one, other in pairwise(labels):
        assert one["x"] + one["width"] + 4 <= other["x"], "a label lies on another"


@pytest.mark.parametrize(("width", "scale"), [(1440, 1), (720, 2), (390, 3)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_stay_at_any_zoom_and_width(open_page: Open, width: int, scale: int, scheme: str) -> None:
    page = open_page(width, device_scale_factor=scale, color_scheme=scheme)
    whole = page.get_by_role("button", name="Show all")
    ends = [str(DAYS[0]), str(DAYS[-1])]
    assert [days_on_axis(page)[0], days_on_axis(page)[-1]] == ends
    check_axes(page)
    page.locator(".drawing").first.focus()
    for _ in range(3):
        page.keyboard.press("+")
        whole.wait_for()
        check_axes(page)
    assert len(days_on_axis(page)) >= 2
    assert [days_on_axis(page)[0], days_on_axis(page)[-1]] != ends
    page.set_viewport_size({"width": 390 if width > 390 else 1440, "height": 900})
    page.wait_for_timeout(200)  # the labels follow the width
    check_axes(page)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    whole.click()
    whole.wait_for(state="hidden")
    assert [days_on_axis(page)[0], days_on_axis(page)[-1]] == ends


def test_dragging_zooms(open_page: Open) -> None:
    page = open_page()
    page.mouse.move(*plot_point(page, 0.4))
    page.mouse.down()
    page.mouse.move(*plot_point(page, 0.5))
    page.mouse.move(*plot_point(page, 0.6))
    page.mouse.up()
    page.get_by_role("button", name="Show all").wait_for()
    first, *_, last = days_on_axis(page)
    assert str(DAYS[10]) < first < last < str(DAYS[30])


def test_colours_follow_the_page(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    light = page.locator(".drawing").first.inner_html()
    page.emulate_media(color_scheme="dark")
    accent = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()")
    page.locator(f".drawing path[stroke='{accent}']").first.wait_for()
    assert accent not in light


def test_without_scripts_there_are_the_tables(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    page.locator("#funnel summary").click()
    assert page.locator("#funnel table").is_visible()
    assert page.locator("#funnel tbody tr").count() == 5
    assert not page.locator("#funnel .plot").is_visible()


def test_a_period_is_compared_with_another(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Compare with").select_option(str(DAYS[-2]))
    page.wait_for_url(f"**/{DAYS[-1]}.html?compare={DAYS[-2]}*")
    page.locator(".drawing svg text", has_text=str(DAYS[-2])).first.wait_for()
    assert page.get_by_label("Compare with").input_value() == str(DAYS[-2])
    page.locator("#exposure .drawing svg").wait_for()
    assert str(DAYS[-2]) in texts(drawn(page, "#exposure")), "the legend names both periods"
    drawn(page, "#exposure").locator(".drawing").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#exposure .reading").wait_for()
    read = page.locator("#exposure .reading > *").all_text_contents()
    assert f"{DAYS[-2]}: 63,614.73 €, +100.0 %" in read
    page.locator(".drawing").first.focus()
    page.keyboard.press("End")
    page.locator(".reading", has_text=f"{DAYS[-2]}: {VALUES[-2]:,}.00 €").first.wait_for()


def compared_with(page: Page, day: date) -> Page:
    page.get_by_label("Compare with").select_option(str(day))
    page.wait_for_url(f"**/{DAYS[-1]}.html?compare={day}*")
    page.locator(".compared").first.wait_for()
    return page


def test_a_funnel_is_compared_step_by_step(open_page: Open) -> None:
    page = compared_with(open_page(), DAYS[-2])
    funnel = drawn(page, "#funnel")
    shown = texts(funnel)
    assert {str(DAYS[-1]), str(DAYS[-2])} <= {*shown}, "headings name both periods"
    assert "500 · 50.0 % of the step before · +100.0 %" in shown
    own, other = boxes(funnel.locator("svg path[fill^='rgb']"))[0], filled(page, "#funnel", "muted")[0]
    assert own["width"] == pytest.approx(2 * other["width"], abs=3)
    assert own["x"] + own["width"] < other["x"]
    funnel.locator(".drawing").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    funnel.locator(".reading", has_text=f"50.0 % of the step before{DAYS[-2]}: 250, +100.0 %").wait_for()


def test_cells_of_a_heat_map_are_compared_with_the_month_as_far_before(open_page: Open) -> None:
    page = compared_with(open_page(), MONTH_BEFORE)
    cohorts = drawn(page, "#cohorts")
    cohorts.get_by_text("in points, from the row 1 month before").wait_for()
    # Each row has 100, 50 and 33. The page of the month before has half of them, and no row before the first.
    shown = sorted(text for text in texts(cohorts) if re.fullmatch(r"[+\u2212±]\d+", text))
    assert shown == sorted(["+50", "+25", "+17"] * 2)
    cohorts.locator(".drawing").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    cohorts.locator(".reading", has_text="2026-01: 50 %, +50.0 points").wait_for()


def test_key_figures_are_compared_and_incomplete_ones_say_so(open_page: Open) -> None:
    page = compared_with(open_page(), DAYS[-2])
    assert page.locator(".compared").all_text_contents() == [
        f"{DAYS[-2]}: 750 € (+100.0 %)",
        f"{DAYS[-2]}: 20 % (+20.0 points)",
        f"{DAYS[-2]}: 4 (3 of 7 days)",
    ]


def test_a_bar_filters_the_page(open_page: Open) -> None:
    page = open_page()
    drawn(page, "#exposure").locator(".drawing").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**?region=Gaming")
    page.locator("#profit .drawing svg").wait_for()
    box = filled(page, "#profit", "accent")[0]
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**?region=North")


def test_a_report_without_rows_takes_one_line(open_page: Open) -> None:
    page = open_page()
    box = boxes(page.locator("#nothing"))[0]
    assert box["height"] < 80
    assert page.locator("#nothing").get_by_text("No rows in this period.").is_visible()


@pytest.mark.parametrize("width", [390, 1440])
def test_a_phone_leaves_out_ids_whose_names_are_shown(open_page: Open, width: int) -> None:
    page = open_page(width)
    drawn(page, "#groups").locator("summary").click()
    shown = [one.inner_text() for one in page.locator("#groups th").all() if one.is_visible()]
    assert ("Product" in shown) == (width > 640)
    assert "Product name" in shown


def test_headings_sort_their_table(open_page: Open) -> None:
    page = open_page()
    page.locator("#exposure summary").click()
    heading = page.locator("#exposure th", has_text="Profit")
    cells = page.locator("#exposure tbody tr td:first-child")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert [text[:6] for text in cells.all_text_contents()] == ["Gaming", "Teleco", "Agricu"]
    heading.get_by_role("button").click()
    assert [text[:6] for text in cells.all_text_contents()] == ["Agricu", "Teleco", "Gaming"]
    page.locator("#exposure th", has_text="Region").get_by_role("button").click()
    assert [text[:6] for text in cells.all_text_contents()] == ["Agricu", "Gaming", "Teleco"]


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_the_page_has_no_serious_fault_for_people_with_disabilities(open_page: Open, width: int, scheme: str) -> None:
    page = open_page(width, color_scheme=scheme)
    for summary in page.locator("summary").all():
        summary.click()
    for card in page.locator("section.card[id]:not(.bare)").all():
        drawn(page, f"#{card.get_attribute('id')}")
    assert serious_faults(page) == []


def test_the_checker_finds_a_fault(open_page: Open) -> None:
    page = open_page()
    page.locator("nav a").first.evaluate("link => { link.textContent = ''; }")
    assert [fault.partition(":")[0] for fault in serious_faults(page)] == ["link-name"]


def test_the_checker_is_the_recorded_file() -> None:
    recorded = re.search(r"^SHA-256: (\w+)$", (AXE / "LICENSE.txt").read_text("utf-8"), re.MULTILINE)
    assert recorded
    assert hashlib.sha256((AXE / "axe.min.js").read_bytes()).hexdigest() == recorded[1]
