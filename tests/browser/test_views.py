"""The views in a browser: within Airflow, logged in, and as the published site."""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.accessibility import serious_faults
from support.messaging_months import report_rows
from support.views import EVIL_VALUE
from support.waiting import eventually
from waybill.checks.approval import approve, held_by
from waybill.derived.build import build_from_sql, known_files, report_contracts
from waybill.outputs.publish import publish
from waybill.period import Period
from waybill.run import Run
from waybill.views.site import site
from waybill.warehouse.connection import connect, set_read_only
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Locator, Page, ViewportSize

LogIn = Callable[[str], "Page"]
QUARANTINE = "/plugin/data-operations/waybill/operations/quarantine.html?dataset=messaging.traffic"
LINEAGE = "operations/lineage.html?table=messaging.traffic&column=revenue_eur"
PHONE: ViewportSize = {"width": 390, "height": 844}
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


def business(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title='Business']")


def operations(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title^='Data op']")


TEXT_WITHOUT_CHARTS = """main => {
  const copy = main.cloneNode(true);
  copy.querySelectorAll(".plot, .spark").forEach((chart) => chart.replaceChildren());
  return copy.textContent;
}"""
"""Returns the text of a page with its tables. Charts repeat it, and are drawn when they come near the screen."""


ACCENT = "html => getComputedStyle(html).getPropertyValue('--accent').trim()"
STATE_OF_CHARTS = """html => JSON.stringify({
  theme: html.dataset.theme,
  visibility: document.visibilityState,
  room: [innerWidth, innerHeight, scrollY],
  plots: [...document.querySelectorAll(".plot")].map((plot) => [
    plot.closest("section").id,
    Math.round(plot.getBoundingClientRect().top),
    [...new Set([...plot.querySelectorAll("path")].map((path) => path.getAttribute("fill")))],
  ]),
})"""


def test_the_business_view_is_a_click_away_and_shows_charts_of_the_data(log_in: LogIn, seeded: Stack) -> None:
    page = log_in("viewer")
    page.get_by_role("link", name="Business").click()
    frame = business(page)
    frame.get_by_role("heading", name="Messaging 2026-03").wait_for()
    with connect(seeded.database_url()) as connection:
        rows = report_rows(connection, "segment_share", "2026-03")

    def bars() -> Locator:
        """The bars in the colour of the page, which may change after it has loaded."""
        return frame.locator(f"#segment_share svg path[fill='{frame.locator('html').evaluate(ACCENT)}']")

    def is_drawn() -> bool:
        """Scroll in each look: Airflow can load the frame again, which begins at its top."""
        frame.locator("#segment_share").scroll_into_view_if_needed()
        return bars().count() > 0

    assert eventually(is_drawn, 120), frame.locator("html").evaluate(STATE_OF_CHARTS)

    def widths() -> list[float]:
        found = bars()
        return [box["width"] for n in range(found.count()) if (box := found.nth(n).bounding_box())]

    # A chart is drawn again when its room or the colours of the page change.
    assert eventually(lambda: len(widths()) == len(rows))
    most = max(rows, key=lambda row: row["customers_count"])
    assert most["segment"] in frame.locator("#segment_share svg text").all_text_contents()
    assert eventually(lambda: bool(found := widths()) and found[0] == max(found) > 50)
    assert frame.locator("section", has_text="Revenue over time").locator("tr[data-label]").count() == 2
    assert "2026-03" in page.url or "business" in page.url


def test_names_in_the_navigation_are_shown_in_full(log_in: LogIn) -> None:
    page = log_in("viewer")
    page.goto("/plugin/data-operations")
    operations(page).get_by_role("heading", name="Data operations").wait_for()
    for name in ("Business", "Data ops"):
        label = page.get_by_role("link", name=name, exact=True).locator("div")
        assert label.inner_text() == name
        assert label.evaluate("label => label.scrollWidth <= label.clientWidth"), name


def test_tables_on_a_phone_show_status_and_counts(browser: Browser, log_in: LogIn) -> None:
    context = browser.new_context(
        base_url=log_in("viewer").url, storage_state=log_in("viewer").context.storage_state(), viewport=PHONE
    )
    page = context.new_page()
    for name in ("loads.html", "index.html"):
        page.goto(f"/waybill/operations/{name}")
        row = page.locator("table.stack tbody tr", has_text="messaging.traffic").first
        assert row.locator(".state").first.is_visible()
        for cell in (row.locator(".state").first, row.locator("td").last):
            box = cell.bounding_box()
            assert box is None or box["x"] + box["width"] <= PHONE["width"]
        assert page.evaluate(OVERFLOW) <= 0
    context.close()


def test_filters_limit_what_is_downloaded(log_in: LogIn, tmp_path: Path) -> None:
    page = log_in("viewer")
    page.goto("/plugin/business")
    frame = business(page)
    frame.locator(".drawing svg").first.wait_for()
    frame.locator("select[name=industry]").select_option("Retail")
    frame.get_by_role("link", name="Remove filters").wait_for()
    card = frame.locator("#industry_exposure")
    with page.expect_download() as download:
        card.get_by_role("link", name=re.compile(r"^CSV\b.* of Industry exposure$")).click()
    assert download.value.suggested_filename.startswith("industry_exposure_2026-03_industry=Retail")
    download.value.save_as(tmp_path / "found.csv")
    assert [row["industry"] for row in csv.DictReader((tmp_path / "found.csv").open())] == ["Retail"]
    card.get_by_role("link", name="Where this comes from (Industry exposure)").click()
    frame.get_by_text("Only rows with Industry Retail").wait_for()
    frame.get_by_role("link", name="Remove filters").click()
    frame.get_by_text("Only rows with").wait_for(state="hidden")


def test_filters_are_in_the_address_and_survive_a_reload(log_in: LogIn) -> None:
    page = log_in("viewer")
    page.goto("/plugin/business")
    business(page).locator(".drawing svg").first.wait_for()  # the scripts have run
    business(page).get_by_role("combobox", name="Period").select_option(label="2026-02")
    business(page).get_by_role("heading", name="Messaging 2026-02").wait_for()
    page.wait_for_url("**/messaging/2026-02.html")
    page.reload()
    business(page).get_by_role("heading", name="Messaging 2026-02").wait_for()


def test_a_number_opens_its_waybill_and_its_csv(log_in: LogIn, seeded: Stack, tmp_path: Path) -> None:
    page = log_in("viewer")
    page.goto("/plugin/business")
    business(page).locator("#top_customers").get_by_role("link", name="Where this comes from (Top customers)").click()
    frame = business(page)
    frame.get_by_role("heading", name="Top customers 2026-03").wait_for()
    text = frame.locator("main").inner_text()
    with connect(seeded.database_url()) as connection:
        keys = [
            key
            for (key,) in connection.execute(
                "select object_key from waybill.load_file where dataset in ('messaging.customers', 'messaging.traffic')"
            )
        ]
        rows = report_rows(connection, "top_customers", "2026-03")
    assert len(keys) > 5
    assert all(key in text for key in keys)
    assert "abc123" in text
    assert "order by" in frame.locator("pre").inner_text()
    with page.expect_download() as download:
        frame.get_by_role("link", name="CSV", exact=True).click()
    download.value.save_as(tmp_path / "found.csv")
    found = list(csv.DictReader((tmp_path / "found.csv").open()))
    assert [row["customer_id"] for row in found] == [str(row["customer_id"]) for row in rows]


def test_a_viewer_sees_rejected_rows_inert_and_cannot_replay(log_in: LogIn) -> None:
    page = log_in("viewer")
    page.goto(QUARANTINE + "&reason=type:interactions_count")
    frame = operations(page)
    frame.get_by_text(EVIL_VALUE).first.wait_for()
    assert frame.locator("main img").count() == 0
    assert frame.locator("html").evaluate("html => html.ownerDocument.title") != "hacked"
    assert frame.get_by_role("checkbox").count() == 0
    assert frame.get_by_text("you need permission to run the DAG").count() == 1
    response = page.request.post(
        "/waybill/operations/replay/messaging_monthly", data={"dataset": "messaging.traffic", "rows": [[1, 1]]}
    )
    assert response.status == 403


def test_an_operator_replays_a_selected_row(log_in: LogIn, seeded: Stack) -> None:
    page = log_in("operator")
    page.goto(QUARANTINE + "&reason=reference:customer_id")
    frame = operations(page)
    rows = frame.locator("tbody tr", has_text=re.compile(r"\b999999\b"))
    rows.first.wait_for()
    before = rows.count()
    rows.first.get_by_role("checkbox").check()
    frame.get_by_role("button", name="Replay 1 selected row").click()
    result = frame.locator("output").filter(has_text=re.compile("Replayed|Replay failed"))
    result.wait_for()
    assert "Replayed 1 row: 1 inserted. Run the periods from 2026-03 on again" in result.inner_text()
    with connect(seeded.database_url()) as connection:
        resolved = connection.execute(
            "select resolved_as, resolved_by from waybill.quarantine where resolved_as is not null"
        ).fetchall()
        there = connection.execute("select count(*) from messaging.traffic where customer_id = 999999").fetchone()
    assert (before, resolved, there) == (2, [("inserted", "replay by operator in the web UI")], (1,))
    page.reload()
    operations(page).get_by_role("heading", name="Quarantine").wait_for()
    assert operations(page).locator("tbody tr", has_text=re.compile(r"\b999999\b")).count() == before - 1


def test_a_dag_has_a_tab_of_its_own_data(log_in: LogIn) -> None:
    page = log_in("operator")
    page.goto("/dags/messaging_monthly/plugin/dag-data-operations")
    books = operations(page).locator("#books")
    books.wait_for()
    assert "messaging.traffic" in books.inner_text()
    assert "shop." not in operations(page).locator("main").inner_text()
    page.goto("/dags/probe/plugin/dag-data-operations")
    operations(page).get_by_text("The DAG probe does not load any dataset of Waybill").wait_for()


def test_a_failed_run_is_to_do_and_leads_to_its_task_in_airflow(log_in: LogIn) -> None:
    page = log_in("operator")
    dag, what = "/api/v2/dags/messaging_monthly", "messaging_monthly 2026-02 failed in landed"
    started = {"dag_run_id": "wrong", "logical_date": None, "conf": {"month": "2026-02", "monht": "2026-03"}}
    try:
        assert page.request.patch(dag, data={"is_paused": False}).ok
        assert page.request.post(f"{dag}/dagRuns", data=started).ok
        assert eventually(lambda: page.request.get(f"{dag}/dagRuns/wrong").json()["state"] == "failed", 120)
        page.goto("/plugin/data-operations")
        line = operations(page).locator(".attention li", has_text=what)
        line.wait_for()
        assert "error" in line.inner_text()
        assert "monht" in line.locator("p").first.inner_text(), "the cause names the unknown parameter"
        line.get_by_role("link", name="Open task").click()
        page.wait_for_url("**/dags/messaging_monthly/runs/wrong/tasks/landed")
    finally:
        page.request.patch(dag, data={"is_paused": True})
        page.request.delete(f"{dag}/dagRuns/wrong")
    page.goto("/plugin/data-operations")
    operations(page).get_by_role("heading", name="Needs attention").wait_for()
    line = operations(page).locator(".attention li", has_text=what)
    line.get_by_text("Close", exact=True).click()  # Airflow has no run any more that could succeed
    line.get_by_role("button", name="Close now").click()
    line.wait_for(state="detached")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_follow_light_and_dark(log_in: LogIn, width: int, scheme: str) -> None:
    page = log_in("operator")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for name in (
        "business/index.html",
        "business/messaging/2026-03/top_customers.html",
        "operations/index.html",
        "operations/loads.html",
        "operations/quarantine.html",
        LINEAGE,
    ):
        page.goto(f"/waybill/{name}")
        assert page.evaluate(OVERFLOW) <= 0, name
        red = int(
            page.evaluate("getComputedStyle(document.documentElement).backgroundColor").split("(")[1].split(",")[0]
        )
        assert (red < 60) == (scheme == "dark")
    page.goto("/plugin/business")  # within Airflow, its own choice is followed
    business(page).locator(f"html[data-theme='{scheme}']").wait_for()
    page.set_viewport_size({"width": 1440, "height": 900})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_serious_fault_for_people_with_disabilities(log_in: LogIn, scheme: str) -> None:
    page = log_in("operator")
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for name in (
        "business/index.html",
        "business/messaging/2026-03/top_customers.html",
        "operations/index.html",
        "operations/loads.html",
        "operations/changes.html",
        "operations/anomalies.html",
        "operations/incidents.html",
        "operations/plan.html",
        "operations/quarantine.html",
        "operations/lineage.html",
        LINEAGE,
    ):
        page.goto(f"/waybill/{name}")
        assert serious_faults(page) == [], name


def test_a_column_leads_to_the_columns_that_use_it(log_in: LogIn) -> None:
    page = log_in("viewer")
    page.goto("/waybill/operations/lineage.html")
    page.get_by_role("combobox", name="Table").select_option("messaging.traffic")
    page.wait_for_url("**table=messaging.traffic*")
    page.get_by_role("combobox", name="Column").select_option("revenue_eur")
    page.wait_for_url("**column=revenue_eur*")
    graph = page.get_by_role("region", name="Graph")
    assert graph.locator("path.value").count() > 10
    assert graph.locator("path.rows").count() > 3
    link = graph.locator("a", has_text="revenue_share_pct").first
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**column=revenue_share_pct*")
    page.get_by_role("region", name="Comes from").get_by_role("link", name="revenue_eur").first.click()
    page.wait_for_url("**table=messaging.traffic&column=revenue_eur*")


def test_the_keyboard_alone_reaches_filter_table_and_zoom(log_in: LogIn) -> None:
    page = log_in("operator")
    page.goto("/waybill/business/index.html")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            str(
                page.evaluate(
                    "(e => e.tagName + ' ' + (e.innerText || e.ariaLabel || '').trim())(document.activeElement)"
                )
            )
        )
        if reached[-1] == "SUMMARY View as table":
            break
    assert reached[0] == "A Skip to content"
    assert {one.split()[0] for one in reached} >= {"A", "SELECT", "INPUT", "SUMMARY"}
    page.keyboard.press("Enter")
    assert page.locator("details[open] table").first.is_visible()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


def write_site(seeded: Stack, folder: Path) -> None:
    with connect(seeded.database_url()) as connection:
        set_read_only(connection)
        for name, body in site(connection, seeded.s3()):
            place = folder / "some" / "where" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if body is None:
                place.unlink(missing_ok=True)
            else:
                place.write_bytes(body)


@pytest.fixture
def published(seeded: Stack, tmp_path: Path) -> Iterator[str]:
    """The address of the published site, below two folders of a plain web server."""
    write_site(seeded, tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/where/index.html"
    server.shutdown()


def test_the_site_works_under_a_folder_and_on_a_phone(browser: Browser, published: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(300_000)
    page = context.new_page()
    failures: list[str] = []
    page.on("console", lambda message: failures.append(message.text) if message.type == "error" else None)
    page.on("response", lambda answer: failures.append(answer.url) if answer.status >= 400 else None)
    page.goto(published)
    page.get_by_role("heading", name="Messaging 2026-03").wait_for()
    assert page.evaluate(OVERFLOW) <= 0
    page.get_by_role("combobox", name="Period").select_option(label="2026-02")
    page.wait_for_url("**/some/where/messaging/2026-02.html")
    page.locator("#segment_share").get_by_role("link", name="Where this comes from (Segment share)").click()
    page.get_by_role("heading", name="Segment share 2026-02").wait_for()
    assert page.locator("pre").inner_text()
    assert "Data operations" not in page.content()
    with page.expect_download():
        page.get_by_role("link", name="CSV", exact=True).click()
    assert failures == []
    context.close()


def test_a_report_that_waits_for_approval_is_marked_and_not_on_the_site(
    log_in: LogIn, browser: Browser, seeded: Stack, published: str, tmp_path: Path
) -> None:
    contracts, period, run = report_contracts("messaging"), Period.named("2026-03"), Run("held", "abc123")
    shares = contracts["segment_share"]
    page = log_in("viewer")

    def outside_text() -> str:
        write_site(seeded, tmp_path)
        outside = browser.new_page()  # without a cache: the server tells seconds apart, no less
        outside.goto(published)
        outside.get_by_role("heading", name="Messaging 2026-03").wait_for()
        text = str(outside.locator("main").evaluate(TEXT_WITHOUT_CHARTS))
        outside.close()
        return text

    before = outside_text()
    with connect(seeded.database_url()) as connection:
        warning = replace(shares.checks[-1], query="select 99")
        text = "select %(period_start)s::date as month, 'All' as segment, 987654 as customers_count, 100 as share_pct"
        inputs = partial(known_files, connection, "messaging", period)
        build_from_sql(connection, replace(shares, checks=(warning,)), inputs, text, period, run)
        assert publish(connection, seeded.s3(), "messaging", contracts.values(), period, run) == []
        built_at = connection.execute(
            "select to_char(built_at, 'YYYY-MM-DD HH24:MI') from waybill.publication "
            "where (report, period) = ('messaging_report.segment_share', '2026-03-01')"
        ).fetchone()
        assert built_at
        notice = f"Segment share 2026-03, built {built_at[0]}, is not published: waiting for approval. "
        page.goto("/plugin/business")
        frame = business(page)
        frame.get_by_text(f"{notice}Approve or reject it in Airflow under Browse → Required Actions.").wait_for()
        card = frame.locator("#segment_share")
        assert "not published: waiting for approval" in card.locator("h3").inner_text()
        assert "987,654" in (card.text_content() or "")
        with page.expect_download() as download:
            card.get_by_role("link", name="CSV (not published) of Segment share").click()
        assert download.value.suggested_filename == "segment_share_2026-03_not_published.csv"
        waiting = outside_text()
        instead = f"{notice}The numbers that were published before are shown."
        assert instead in waiting
        assert "987,654" not in waiting
        assert waiting.replace(instead, "").split() == before.split(), "nothing else changed"
        approve(connection, held_by(connection, contracts.values(), run), "somebody")
        assert publish(connection, seeded.s3(), "messaging", contracts.values(), period, run)
    assert "987,654" in outside_text()
    page.goto("/plugin/business")
    frame.locator("#segment_share").wait_for()
    assert frame.get_by_text("not published").count() == 0
