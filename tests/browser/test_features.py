"""The page *Features* in a browser: light and dark, wide and narrow, with and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.accessibility import serious_faults
from support.feature_views import build_orders
from support.landing import Landing, landing_bucket, landing_dsn
from support.problems import landed, reader_of, writer_of
from support.serving import served
from support.views import Someone, access_of
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["landed", "landing_bucket", "landing_dsn"]


def test_features_are_readable_on_every_screen(browser: Browser, stack: Stack, landed: Landing) -> None:
    build_orders(landed.connection)
    with served(access_of(reader_of(stack, landed), writer_of(stack, landed), Someone("ada"))) as address:
        for colours, width, scripts in (("light", 1440, True), ("dark", 390, True), ("light", 390, False)):
            context = browser.new_context(
                base_url=address,
                color_scheme="dark" if colours == "dark" else "light",
                viewport={"width": width, "height": 844},
                java_script_enabled=scripts,
            )
            page = context.new_page()
            page.goto("features.html?domain=shop")
            card = page.locator("#customer_orders_v1")
            assert "stable" in card.locator("tr", has_text="spend_90_days").inner_text()
            if scripts:
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert serious_faults(page) == [], (colours, width)
            card.get_by_role("link", name="spend_90_days").click()
            page.get_by_role("heading", name="Lineage shop_feature.customer_orders_v1.spend_90_days").wait_for()
            context.close()
