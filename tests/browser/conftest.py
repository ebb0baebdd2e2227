"""A browser, users who are logged in, and a stack with two months of messaging."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.airflow_settings import RARE_PARSING
from support.messaging_months import RUN, build_month, ingest_month, put, sample
from support.views import EVIL_VALUE
from waybill.contracts import load_domain
from waybill.derived.build import report_contracts
from waybill.outputs.publish import publish
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MONTHS = ("2026-02", "2026-03")
SECONDS = 1000
"""Milliseconds of a second. Time limits are long, because the machine may be busy."""

LogIn = Callable[[str], "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Tests are skipped without it; `make test` tries to install it."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("there is no Chromium: install the package chromium, then these tests run")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="package")
def airflow_stack(tmp_path_factory: pytest.TempPathFactory, dags: Path) -> Iterator[Stack]:
    """A running stack with two months of messaging, and rejected rows: two hostile, two of an unknown customer."""
    running = Stack(tmp_path_factory.mktemp("browser-stack"), dags, variables=RARE_PARSING)
    try:
        running.up()
        with environment(running):
            seed(running)
        yield running
    finally:
        running.down()


@pytest.fixture(scope="module")
def seeded(airflow_stack: Stack) -> Iterator[Stack]:
    """The stack, which this process reaches by its environment."""
    with environment(airflow_stack):
        yield airflow_stack


@contextmanager
def environment(running: Stack) -> Iterator[None]:
    """Set the variables with which the kernel reaches the stack."""
    patch = pytest.MonkeyPatch()
    for name, value in running.env().items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy", "WAYBILL_MASK_KEY")):
            patch.setenv(name, value)
    settings.cache_clear()
    try:
        yield
    finally:
        patch.undo()
        settings.cache_clear()


def seed(running: Stack) -> None:
    """Ingest the files, build and publish the reports, then add the unknown customer."""
    s3, bucket = running.s3(), settings().raw_bucket
    put(s3, bucket, sample(MONTHS[-1], 2))
    evil = '"' + EVIL_VALUE.replace('"', '""') + '"'
    rows = [f"{910000 + n},2026-03-05,1,1001,{n + 1},{evil},1.00" for n in range(2)]
    rows += [f"{900000 + n},2026-03-{n + 1:02d},1,999999,1,10,1.00" for n in range(2)]
    rows += [f"{920000 + n},2026-03-{n % 28 + 1:02d},1,{n // 28 + 1001},2,1,1.00" for n in range(200)]
    body = "\n".join([",".join(load_domain("messaging")["traffic"].names), *rows, ""]).encode()
    s3.put_object(Bucket=bucket, Key=f"raw/messaging/traffic/month={MONTHS[-1]}/hostile.csv", Body=body)
    with connect(running.database_url()) as connection:
        upgrade(connection)
        for month in MONTHS:
            ingest_month(connection, s3, month)
            build_month(connection, month)
            publish(connection, s3, "messaging", report_contracts("messaging").values(), Period.named(month), RUN)
        connection.execute(
            "insert into messaging.customers_history select 999999, account_id, customer_name, segment, industry, "
            "country, created_date, valid_from, valid_to, _file_id, 999999 from messaging.customers_history "
            "order by valid_from limit 1"
        )


@pytest.fixture(scope="module")
def log_in(browser: Browser, seeded: Stack) -> Iterator[LogIn]:
    """Return the page of a user who is logged in. All tests share one browser window for each user."""
    pages: dict[str, Page] = {}

    def enter(user: str) -> Page:
        if user not in pages:
            page = browser.new_context(base_url=seeded.airflow_address(), accept_downloads=True).new_page()
            page.set_default_timeout(300 * SECONDS)
            page.goto("/")
            page.fill("input[name=username]", user)
            page.fill("input[name=password]", seeded.passwords()[user])
            page.click("button[type=submit]")
            page.get_by_role("link", name="Business").wait_for()
            pages[user] = page
        return pages[user]

    yield enter
    for page in pages.values():
        page.context.close()
