"""The button that reveals the values of one rejected record, in a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.accessibility import serious_faults
from support.landing import Landing, landing_bucket, landing_dsn
from support.ledger import add_file, add_reject
from support.problems import landed, reader_of, writer_of
from support.serving import served
from support.views import EVIL_VALUE, Someone, access_of
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["landed", "landing_bucket", "landing_dsn"]


def test_a_record_is_revealed_as_text_in_its_line_only(browser: Browser, stack: Stack, landed: Landing) -> None:
    file_id = add_file(landed.connection, "shop.customers", rows_in=2, rejected=2)
    for record in (1, 2):
        values = {"name": EVIL_VALUE, "email": f"ada{record}@example.com"}
        add_reject(landed.connection, file_id, record, json.dumps(values), "pattern:email")
    landed.connection.commit()
    user = Someone("ada", may_reveal=True)
    with served(access_of(reader_of(stack, landed), writer_of(stack, landed), user)) as address:
        page = browser.new_context(base_url=address).new_page()
        page.goto("quarantine.html?dataset=shop.customers")
        lines = page.locator(".replay tbody tr")
        assert lines.get_by_text("hidden (restricted)").count() == 4
        assert serious_faults(page) == []
        page.get_by_role("textbox", name="Why").fill("ticket 7")
        lines.first.get_by_role("button", name="Reveal").click()
        lines.first.get_by_text(f"The reveal of record 1 of file {file_id} is recorded.").wait_for()
        assert f"name {EVIL_VALUE} email ada1@example.com" in " ".join(lines.first.inner_text().split())
        assert lines.first.locator("mark").all_inner_texts() == ["ada1@example.com"]
        assert "hacked" not in page.title()
        assert lines.nth(1).get_by_text("hidden (restricted)").count() == 2
        assert lines.nth(1).get_by_role("button", name="Reveal").count() == 1
        page.get_by_role("link", name="is recorded").click()
        page.get_by_role("cell", name="ticket 7").wait_for()
        assert serious_faults(page) == []
        page.go_back()
        page.reload()
        assert lines.get_by_text("hidden (restricted)").count() == 4
        page.context.close()
