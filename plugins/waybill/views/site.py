"""The business view as a static site: the same pages, with the data as files beside them.

All addresses are relative, so it opens under any folder of any web server. Data operations are never part of it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from psycopg import Connection

from waybill.outputs.export import put, remove
from waybill.period import Cadence, Period
from waybill.settings import SettingsError, settings
from waybill.views import catalog, pages
from waybill.views.business import page as business
from waybill.views.business import report as report_page
from waybill.views.business.source import Source, notice, published
from waybill.warehouse.connection import set_read_only

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

    All of it shows one state of the warehouse, and only what is published. What a page links to is written before the
    page, and the first page last. Raises `NothingBuilt` without any published report, `SettingsError` in production
    without a bucket that was chosen.
    """
    chosen = settings()
    if chosen.profile == "prod" and "dashboard_bucket" not in chosen.model_fields_set:
        raise SettingsError(
            "WAYBILL_DASHBOARD_BUCKET must be set to publish the dashboard when WAYBILL_PROFILE is prod"
        )
    set_read_only(connection)
    written = []
    for name, body in site(connection, s3):
        key, kind = f"{chosen.dashboard_prefix}{name}", name.rpartition(".")[2]
        if body is None:
            remove(s3, chosen.dashboard_bucket, key)
            continue
        cache = _KEEP if name.startswith("assets/") else _ALWAYS_ASK
        if put(s3, chosen.dashboard_bucket, key, io.BytesIO(body), _TYPES[kind], cache):
            written.append(key)
    log.info("%d files of s3://%s/%s are new", len(written), chosen.dashboard_bucket, chosen.dashboard_prefix)
    return written


def site(connection: Connection, s3: Any) -> Iterator[tuple[str, bytes | None]]:
    """Every file of the site, (name, content), in the order in which they are to be written.

    Without content, a file of this name must not be there. Raises `NothingBuilt` if no report was ever published.
    """
    for path in sorted(pages.ASSETS.iterdir()):
        yield f"assets/{path.name}", path.read_bytes()
    sources = {domain: published(connection, s3, domain, NEWEST) for domain in catalog.domains()}
    shown = {domain: periods for domain in sources if (periods := _periods(connection, domain, sources[domain]))}
    if not shown:
        raise report_page.NothingBuilt("No report was published yet.")
    domains = list(shown)
    for domain, periods in shown.items():
        found = [business.page(connection, domain, period, NEWEST, sources[domain]) for period in periods]
        linked = {(card.name, card.period) for page in found for card in page.cards}
        linked |= {(number.report, page.period) for page in found for number in page.numbers if number.is_built}
        for name, period in sorted(linked, key=lambda one: (one[0], one[1])):
            yield from _report(connection, domain, name, period, sources[domain])
        for page in found:
            yield f"{domain}/{page.period}.html", pages.business(page, root="../", domains=domains).encode()
        yield f"{domain}/index.html", pages.business(found[0], root="../", domains=domains).encode()
        yield from _withheld(domain, sources[domain], periods, linked)
    for domain in sources.keys() - shown.keys():
        yield from _withheld(domain, sources[domain], (), ())
    first = business.page(connection, domains[0], shown[domains[0]][0], NEWEST, sources[domains[0]])
    yield "index.html", pages.business(first, root="", domains=domains).encode()


def _periods(connection: Connection, domain: str, source: Source) -> list[Period]:
    """The periods of the site, the one to open with first."""
    found = business.built_periods(connection, domain, NEWEST, source.heads)
    return [period for cadence in reversed(found) for period in found[cadence]]


def _report(
    connection: Connection, domain: str, name: str, period: Period, source: Source
) -> Iterator[tuple[str, bytes]]:
    found = report_page.provenance(connection, domain, name, period, source)
    stem = f"{domain}/{period}/{name}"
    yield f"{stem}.csv", report_page.csv_of(connection, domain, name, period, source)
    yield f"{stem}.json", pages.as_json(found).encode()
    yield f"{stem}.html", pages.report(found).encode()


def _withheld(
    domain: str, source: Source, periods: Collection[Period], linked: Collection[tuple[str, Period]]
) -> Iterator[tuple[str, bytes | None]]:
    """What stands where nothing is published: a page that says why, and no data, whatever was there before."""
    held = [one for one in source.unpublished.values() if one.is_held]
    for one in held:
        if (one.contract.name, one.period) in linked:
            continue
        stem = f"{domain}/{one.period}/{one.contract.name}"
        yield f"{stem}.csv", None
        yield f"{stem}.json", None
        title = f"{catalog.in_words(one.contract.name)} {one.period}"
        yield f"{stem}.html", _message("../../", title, f"{one.why[:1].upper()}{one.why[1:]}.")
    for period in sorted({one.period for one in held} - {*periods}):
        text = notice([one for one in held if one.period == period], source)
        title = f"{catalog.title(domain)} {period}"
        yield f"{domain}/{period}.html", _message("../", title, f"{text}.")


def _message(root: str, title: str, text: str) -> bytes:
    return pages.message(root, title, text, [(f"{root}index.html", "What is published")]).encode()
