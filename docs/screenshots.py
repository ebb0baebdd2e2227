"""Picture the views of the running stack, for the documents: `make screenshots`, after `make demo`.

Some pictures need trouble: a month of messaging is sent again with doubled amounts, and reviews without their columns.
"""

from __future__ import annotations

import gzip
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from waybill.settings import settings
from waybill.views.quality_report import publish
from waybill.warehouse.connection import connect
from waybill_devtools.demo import MESSAGING, SHOP, Airflow, sample_options, stack_environment
from waybill_devtools.stack import Stack, StackError
from waybill_devtools.stream_demo import Options, run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from playwright.sync_api import Page

FOLDER = Path(__file__).parent / "images"
OPERATIONS = "/plugin/data-operations/waybill/operations"
PICTURES = {
    "business": ("/plugin/business", "Business", 1440, 1000, "light"),
    "business_dark": ("/plugin/business", "Business", 1440, 1000, "dark"),
    "business_shop": ("/plugin/business/waybill/business/shop/index.html", "Business", 1440, 1400, "light"),
    "data_operations": (f"{OPERATIONS}/index.html", "Data ops", 1440, 1000, "light"),
    "features": (f"{OPERATIONS}/features.html?domain=shop", "Data ops", 1440, 1000, "light"),
    "lineage": (
        f"{OPERATIONS}/lineage.html?table=shop_report.daily_kpis&column=net_revenue",
        "Data ops",
        1440,
        900,
        "light",
    ),
    "quarantine": (f"{OPERATIONS}/quarantine.html?domain=messaging", "Data ops", 1440, 800, "light"),
}
"""By file: address, title of the frame, width and height, colours."""
OF_TROUBLE = {
    "needs_attention": (f"{OPERATIONS}/index.html", "Data ops", 1440, 900, "light"),
    "anomaly": (f"{OPERATIONS}/anomalies.html?domain=messaging", "Data ops", 1440, 800, "light"),
}
PHONE = "/waybill/business/index.html"
LIVE = ("/plugin/live", "Live", 1440, 1000, "light")
LIVE_PHONE = "/waybill/live/index.html"
SHOPPERS = Options(rate=20, began_ago=timedelta(minutes=65))
"""They fill the hour that the live view shows."""


def main() -> None:
    """Log in and write the pictures to docs/images."""
    stack = Stack()
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright, stack_environment(stack):
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_context(base_url=stack.airflow_address()).new_page()
        page.set_default_timeout(60_000)
        page.goto("/")
        page.fill("input[name=username]", "operator")
        page.fill("input[name=password]", stack.passwords()["operator"])
        page.click("button[type=submit]")
        page.get_by_role("link", name="Business").wait_for()
        for name, picture in PICTURES.items():
            take(page, name, *picture)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(PHONE)
        page.screenshot(path=FOLDER / "business_phone.png")
        picture_stream(page, stack)
        make_trouble(stack)
        page.goto("/waybill/operations/index.html")
        page.get_by_role("button", name="Acknowledge").last.click()
        page.get_by_text("acknowledged by operator").wait_for()
        for name, picture in OF_TROUBLE.items():
            take(page, name, *picture)
        page.set_viewport_size({"width": 1200, "height": 900})
        page.set_content(quality_report(stack.s3()))
        page.screenshot(path=FOLDER / "quality_report.png")
        browser.close()
    print(f"{len(PICTURES) + len(OF_TROUBLE) + 4} pictures are in {FOLDER}")


def take(page: Page, name: str, path: str, frame: str, width: int, height: int, colours: str) -> None:
    """Picture a page within Airflow."""
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    page.set_viewport_size({"width": width, "height": height})
    page.goto(path)
    page.frame_locator(f"iframe[title='{frame}']").locator("h1").wait_for()
    page.wait_for_timeout(500)  # Airflow's own frame settles
    page.screenshot(path=FOLDER / f"{name}.png")


def picture_stream(page: Page, stack: Stack) -> None:
    """Let shoppers click, and picture the live view as soon as it shows what they do now."""
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, stack, SHOPPERS, stop)
        try:
            page.goto("/plugin/live")
            newest = page.frame_locator("iframe[title='Live']").locator("[data-tile=newest] strong")
            newest.filter(has_text=re.compile(r"^[0-4]\.\d s$")).wait_for(timeout=300_000)
            take(page, "live", *LIVE)
            page.emulate_media(color_scheme="dark")
            page.set_viewport_size({"width": 390, "height": 844})
            page.goto(LIVE_PHONE)
            page.locator("#minutes svg").first.wait_for()
            page.screenshot(path=FOLDER / "live_phone.png")
        finally:
            stop.set()
        running.result()


def make_trouble(stack: Stack) -> None:
    """Double the amounts of the newest month of traffic, and send reviews without their columns; run the DAGs."""
    s3, bucket = stack.s3(), settings().raw_bucket
    month, months = sample_options(s3, MESSAGING)
    for file in MESSAGING.generate(month.key, months or MESSAGING.seeded).files:
        if f"/traffic_{month.key}" in file.key:
            is_packed = file.key.endswith(".gz")
            body = gzip.decompress(file.body) if is_packed else file.body
            body = re.sub(rb"(?m)\d+\.\d\d(?=\r?$)", lambda amount: b"%.2f" % (2 * float(amount[0])), body)
            s3.put_object(Bucket=bucket, Key=file.key, Body=gzip.compress(body) if is_packed else body)
    day, _ = sample_options(s3, SHOP)
    key = f"raw/shop/reviews/dt={day.key}/reviews_{day.key}_app.csv"
    s3.put_object(Bucket=bucket, Key=key, Body=b"id,stars\n1,5\n")
    api = Airflow(stack.airflow_address(), "admin", stack.passwords()["admin"])
    runs = ((MESSAGING.dag_id, {"month": month.key}), (SHOP.dag_id, {"day": day.key}), ("operations_watch", {}))
    for dag_id, conf in runs:
        api.unpause(dag_id)
        body = {"logical_date": None, "conf": conf}
        run_id = api.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        while api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"] in ("queued", "running"):
            time.sleep(2)


def quality_report(s3: S3Client) -> str:
    """Write the quality report of this moment, and return it as HTML."""
    with connect() as connection:
        address = publish(connection, s3, datetime.now(UTC))
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        sys.exit(str(error))
