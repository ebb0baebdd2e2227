"""Picture both views in the running stack's Airflow, for the README: `make screenshots`, after `make demo`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from waybill_devtools.stack import Stack, StackError

FOLDER = Path(__file__).parent / "images"
OPERATIONS = "/plugin/data-operations/waybill/operations"
PICTURES = {
    "business": ("/plugin/business", "Business", 1440, 1000, "light"),
    "business_dark": ("/plugin/business", "Business", 1440, 1000, "dark"),
    "business_shop": ("/plugin/business/waybill/business/shop/index.html", "Business", 1440, 1400, "light"),
    "data_operations": (f"{OPERATIONS}/index.html", "Data ops", 1440, 1000, "light"),
    "quarantine": (f"{OPERATIONS}/quarantine.html?domain=messaging", "Data ops", 1440, 800, "light"),
}
"""By file: address, title of the frame, width and height, colours."""
PHONE = "/waybill/business/index.html"


def main() -> None:
    """Log in and write the pictures to docs/images."""
    stack = Stack()
    address, password = stack.airflow_address(), stack.passwords()["operator"]
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_context(base_url=address).new_page()
        page.set_default_timeout(60_000)
        page.goto("/")
        page.fill("input[name=username]", "operator")
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.get_by_role("link", name="Business").wait_for()
        for name, (path, frame, width, height, colours) in PICTURES.items():
            page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
            page.set_viewport_size({"width": width, "height": height})
            page.goto(path)
            page.frame_locator(f"iframe[title='{frame}']").locator("h1").wait_for()
            page.wait_for_timeout(500)  # Airflow's own frame settles
            page.screenshot(path=FOLDER / f"{name}.png")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(PHONE)
        page.screenshot(path=FOLDER / "business_phone.png")
        browser.close()
    print(f"{len(PICTURES) + 1} pictures are in {FOLDER}")


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        sys.exit(str(error))
