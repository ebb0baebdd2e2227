"""Faults that axe-core finds in a page for people with disabilities."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from waybill.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = PROJECT_ROOT / "tests" / "browser" / "axe"
_RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((one) => one.impact === "serious" || one.impact === "critical")
    .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}"""


@cache
def _source() -> str:
    return (AXE / "axe.min.js").read_text("utf-8")


def serious_faults(page: Page) -> list[str]:
    """Return the serious and critical faults of a page: rule, element and reason."""
    page.evaluate(_source())
    found: list[str] = page.evaluate(_RUN)
    return found
