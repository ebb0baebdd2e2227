"""The business view as a static site: the same pages, with their data as files.

All addresses are relative, so the site works in any folder of any web server. It never includes data operations.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from psycopg import Connection

from waybill.outputs.export import put, remove
from waybill.period import Cadence, Period
from waybill.settings import SettingsError, settings
from waybill.views import catalog, pages
from waybill.views.business import page as business
from waybill.views.business import report as reports
from waybill.views.business.source import Source, notice, published
from waybill.warehouse.connection import set_read_only

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

NEWEST: Final[Mapping[Cadence, int]] = {"day": 35, "week": 13, "month": 24}
"""How many of the newest periods of each cadence the site has."""
_TYPES = {
    "css": "text/css; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
# Browsers revalidate pages and data each time. Links to assets carry a version, so browsers may keep these for a day.
_REVALIDATE = "no-cache"
_KEEP = "public, max-age=86400"


def publish_dashboard(connection: Connection, s3: S3Client) -> list[str]:
    """Write the business view to the dashboard bucket. Returns the keys of new and changed objects.

    The site shows one state of the warehouse, and only published content. The targets of a page's links are written
    before the page, and the start page last. Raises `NothingBuilt` without a published report, and `SettingsError` in
    production without a configured bucket.
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
        cache = _KEEP if name.startswith("assets/") else _REVALIDATE
        if put(s3, chosen.dashboard_bucket, key, io.BytesIO(body), _TYPES[kind], cache):
            written.append(key)
    log.info(
        "wrote %d new or changed files to s3://%s/%s", len(written), chosen.dashboard_bucket, chosen.dashboard_prefix
    )
    return written


def site(connection: Connection, s3: S3Client) -> Iterator[tuple[str, bytes | None]]:
    """Yield (name, content) of every file of the site, in the order in which to write them.

    A file without content must be removed. Raises `NothingBuilt` without a published report.
    """
    for path in sorted(pages.ASSETS.iterdir()):
        yield f"assets/{path.name}", path.read_bytes()
    sources = {domain: published(connection, s3, domain, NEWEST) for domain in catalog.domains()}
    shown = {domain: periods for domain in sources if (periods := _periods(connection, domain, sources[domain]))}
    if not shown:
        raise reports.NothingBuilt("No report has been published yet.")
    domains = list(shown)
    for domain, periods in shown.items():
        found = [business.page(connection, domain, period, NEWEST, sources[domain]) for period in periods]
        linked = {(card.name, card.period) for page in found for card in page.cards}
        linked |= {(kpi.report, page.period) for page in found for kpi in page.kpis if kpi.is_built}
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
    """Return the periods of a domain on the site, the one of its start page first."""
    found = business.built_periods(connection, domain, NEWEST, source.publications)
    return [period for cadence in reversed(found) for period in found[cadence]]


def _report(
    connection: Connection, domain: str, name: str, period: Period, source: Source
) -> Iterator[tuple[str, bytes]]:
    found = reports.provenance(connection, domain, name, period, source)
    stem = f"{domain}/{period}/{name}"
    yield f"{stem}.csv", reports.csv_of(connection, domain, name, period, source)
    yield f"{stem}.json", pages.as_json(found).encode()
    yield f"{stem}.html", pages.report(found).encode()


def _withheld(
    domain: str, source: Source, periods: Collection[Period], linked: Collection[tuple[str, Period]]
) -> Iterator[tuple[str, bytes | None]]:
    """Yield a page that says why, and no data, in place of each report and period that is not published."""
    held = [one for one in source.unpublished.values() if one.is_held]
    for one in held:
        if (one.contract.name, one.period) in linked:
            continue
        stem = f"{domain}/{one.period}/{one.contract.name}"
        yield f"{stem}.csv", None
        yield f"{stem}.json", None
        title = f"{catalog.heading(one.contract.name)} {one.period}"
        yield f"{stem}.html", _message("../../", title, notice([one], source))
    for period in sorted({one.period for one in held} - {*periods}):
        text = notice([one for one in held if one.period == period], source)
        title = f"{catalog.title(domain)} {period}"
        yield f"{domain}/{period}.html", _message("../", title, text)


def _message(root: str, title: str, text: str) -> bytes:
    return pages.message(root, title, text, [(f"{root}index.html", "Published reports")]).encode()
