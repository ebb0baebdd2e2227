"""The business view as a static site: the same pages, with the data as files beside them.

All addresses are relative, so it opens under any folder of any web server. Data operations are never part of it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from psycopg import Connection

from waybill.export import put
from waybill.period import Cadence, Period
from waybill.settings import SettingsError, settings
from waybill.views import business, catalog, pages, report_page
from waybill.warehouse.connection import only_read

log = logging.getLogger(__name__)

NEWEST: Final[Mapping[Cadence, int]] = {"day": 35, "week": 13, "month": 24}
"""How many periods of each cadence the site has."""
_TYPES = {
    "css": "text/css; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
# Pages and data are asked for anew each time and answered by "not modified"; their links to assets carry a version.
_ALWAYS_ASK = "no-cache"
_KEEP = "public, max-age=86400"


def publish_dashboard(connection: Connection, s3: Any) -> list[str]:
    """Write the business view to the dashboard bucket; returns the keys that were new or had other content.

    All of it shows one state of the warehouse. What a page links to is written before the page, and the first page
    last. Raises `NothingBuilt` without any report, `SettingsError` in production without a bucket that was chosen.
    """
    chosen = settings()
    if chosen.profile == "prod" and "dashboard_bucket" not in chosen.model_fields_set:
        raise SettingsError(
            "WAYBILL_DASHBOARD_BUCKET must be set to publish the dashboard when WAYBILL_PROFILE is prod"
        )
    only_read(connection)
    written = []
    for name, body in site(connection):
        key, kind = f"{chosen.dashboard_prefix}{name}", name.rpartition(".")[2]
        cache = _KEEP if name.startswith("assets/") else _ALWAYS_ASK
        if put(s3, chosen.dashboard_bucket, key, io.BytesIO(body), _TYPES[kind], cache):
            written.append(key)
    log.info("%d files of s3://%s/%s are new", len(written), chosen.dashboard_bucket, chosen.dashboard_prefix)
    return written


def site(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Every file of the site, (name, content), in the order in which they are to be written.

    Raises `NothingBuilt` if no report was ever built.
    """
    for path in sorted(pages.ASSETS.iterdir()):
        yield f"assets/{path.name}", path.read_bytes()
    built = {domain: periods for domain in catalog.domains() if (periods := _periods(connection, domain))}
    if not built:
        raise report_page.NothingBuilt("No report was built yet.")
    domains = list(built)
    for domain, periods in built.items():
        shown = [business.page(connection, domain, period, NEWEST) for period in periods]
        linked = {(card.name, card.period) for page in shown for card in page.cards}
        linked |= {(number.report, page.period) for page in shown for number in page.numbers if number.is_built}
        for name, period in sorted(linked, key=lambda one: (one[0], one[1])):
            yield from _report(connection, domain, name, period)
        for page in shown:
            yield f"{domain}/{page.period}.html", pages.business(page, root="../", domains=domains).encode()
        yield f"{domain}/index.html", pages.business(shown[0], root="../", domains=domains).encode()
    first = business.page(connection, domains[0], built[domains[0]][0], NEWEST)
    yield "index.html", pages.business(first, root="", domains=domains).encode()


def _periods(connection: Connection, domain: str) -> list[Period]:
    """The periods of the site, the one to open with first."""
    found = business.built_periods(connection, domain, NEWEST)
    return [period for cadence in reversed(found) for period in found[cadence]]


def _report(connection: Connection, domain: str, name: str, period: Period) -> Iterator[tuple[str, bytes]]:
    found = report_page.provenance(connection, domain, name, period)
    stem = f"{domain}/{period}/{name}"
    yield f"{stem}.csv", report_page.csv_of(connection, domain, name, period)
    yield f"{stem}.json", pages.as_json(found).encode()
    yield f"{stem}.html", pages.report(found).encode()
