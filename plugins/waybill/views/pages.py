"""Render pages from templates. Every value is escaped, so text from files cannot act as HTML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlencode

import jinja2
import markupsafe

from waybill.contracts import Contract
from waybill.contracts.domains import is_on_spark
from waybill.contracts.locations import domain_of
from waybill.formatting import count, of_all, text
from waybill.intake.ledger import COUNTS
from waybill.ops.incidents import Incident
from waybill.ops.lineage import TABLES
from waybill.ops.plan import STATES, Plan
from waybill.ops.reveals import LONGEST_REASON, Reveal
from waybill.period import EXAMPLE, Period
from waybill.settings import settings
from waybill.stream.declared import stream_of, streams_of
from waybill.views import catalog
from waybill.views.business.page import Page
from waybill.views.business.report import Provenance, as_data
from waybill.views.business.rows_behind import Behind
from waybill.views.live.content import SHARD_HEADINGS, Content, milliseconds
from waybill.views.operations.anomalies import AnomalyChart
from waybill.views.operations.attention import LISTED
from waybill.views.operations.difference import Difference
from waybill.views.operations.features import NOTABLE, FeatureState
from waybill.views.operations.incident_pages import CLOSED, IncidentDetails
from waybill.views.operations.incident_pages import STATES as INCIDENT_STATES
from waybill.views.operations.lineage import LineagePage
from waybill.views.operations.loads import State
from waybill.views.operations.overview import Overview
from waybill.views.operations.plans import MOST_DAYS, MOST_OBJECTS, cadence_of
from waybill.views.operations.rejected_rows import Reason, RejectedRow
from waybill.views.operations.run_report import RunReport
from waybill.views.operations.scope import Scope, Total
from waybill.warehouse.feature_tables import Gone

if TYPE_CHECKING:
    from waybill.views.quality_report import QualityReport

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": text,
        "title_of": catalog.title,
        "heading": catalog.heading,
        "moment": _moment,
        "of": of_all,
        "counted": count,
        "milliseconds": milliseconds,
    }
    environment.globals |= {"assets_version": assets_version(), "counts": COUNTS, "query": _query}
    return environment


@cache
def assets_version() -> str:
    """Return a hash of the assets. Links to them carry it, so browsers never use an old copy."""
    content = b"".join(path.read_bytes() for path in sorted(ASSETS.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def _moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if value else ""


def _query(**values: object) -> str:
    """Return a query string of the values that are not empty."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)


def message(root: str, title: str, message_text: str, links: Sequence[tuple[str, str]]) -> str:
    """Return a page with a message and links (address, label). Text between backquotes is set as code."""
    return _render("message.html", root=root, title=title, text=message_text, links=links)


def business(page: Page, *, root: str, domains: Sequence[str] | None = None) -> str:
    """Return the page of a domain and period.

    `root` is the relative path from the page to the folder of the view. The page links to `domains`, by default to all.
    """
    return _render("business.html", page=page, root=root, domains=catalog.domains() if domains is None else domains)


def report(found: Provenance) -> str:
    """Return the page of a report: its waybill and its rows."""
    return _render("report.html", found=found, root="../../")


def rows_behind(contract: Contract, period: Period, values: Mapping[str, str], behind: Sequence[Behind]) -> str:
    """Return the page of the rows behind a row of a report, which has these key values."""
    return _render(
        "rows.html",
        root="../../../",
        title=catalog.heading(contract.name),
        name=contract.name,
        period=period,
        values=values,
        behind=behind,
        on_spark=is_on_spark(domain_of(contract.domain)),
    )


def quality(found: QualityReport, hours: Sequence[str]) -> str:
    """Return a quality report as a page of its own, with links to the reports of these hours beside it."""
    style = markupsafe.Markup((ASSETS / "view.css").read_text())  # noqa: S704  # our own file
    return _render("quality.html", found=found, hours=hours, style=style)


def live(found: Content, age_seconds: int, datasets: Sequence[str]) -> str:
    """Return the live page of a stream, with links to those of the streams of all `datasets`."""
    return _render("live.html", root="", page=found, age=age_seconds, datasets=datasets, shard_headings=SHARD_HEADINGS)


def as_json(found: Provenance) -> str:
    """Return the waybill of a report as JSON."""
    return json.dumps(as_data(found), default=str, indent=2)


def _around(scope: Scope, dag_id: str | None) -> dict[str, Any]:
    """Return the values that every page of data operations needs."""
    domain = scope.domains[0] if len(scope.domains) == 1 and dag_id is None else None
    return {
        "root": "",
        "scope": scope,
        "domains": catalog.domains(),
        "place": {"domain": domain, "dag_id": dag_id, "run_id": scope.run_id},
    }


def operations(scope: Scope, dag_id: str | None, overview: Overview, allowed: Collection[tuple[str, str]]) -> str:
    """Return the overview of data operations. `allowed` are the kinds of actions that the user may take, by DAG."""
    return _render(
        "operations.html",
        section="overview",
        **_around(scope, dag_id),
        overview=overview,
        allowed=allowed,
        listed=LISTED,
        streams=[one.dataset for domain in scope.domains for one in streams_of(domain)],
    )


def run(scope: Scope, dag_id: str, found: RunReport) -> str:
    """Return the page of a run of a DAG."""
    return _render("run.html", section="overview", **_around(scope, dag_id), found=found)


def loads(
    scope: Scope,
    dag_id: str | None,
    files: Sequence[Mapping[str, Any]],
    rejected: Sequence[Mapping[str, Any]],
    filters: Mapping[str, str],
    page: int,
    total: Total,
) -> str:
    """Return a page of the history of loads: the loaded files, the open rejected ones, or all rejected ones."""
    return _render(
        "loads.html",
        section="loads",
        **_around(scope, dag_id),
        files=files,
        rejected=rejected,
        filters=filters,
        states=get_args(State),
        page=page,
        total=total,
    )


def reveals(scope: Scope, dag_id: str | None, found: Sequence[Reveal], page: int, total: Total) -> str:
    """Return the page of reveals of restricted values."""
    return _render("reveals.html", section="quarantine", **_around(scope, dag_id), found=found, page=page, total=total)


def changes(scope: Scope, dag_id: str | None, builds: Iterable[Mapping[str, Any]], *, has_more: bool = False) -> str:
    """Return the page of reports whose content changed."""
    return _render("changes.html", section="changes", **_around(scope, dag_id), builds=builds, has_more=has_more)


def incidents(scope: Scope, dag_id: str | None, state: str | None, found: Sequence[Incident]) -> str:
    """Return the page of open and closed incidents."""
    return _render(
        "incidents.html",
        section="incidents",
        **_around(scope, dag_id),
        state=state,
        states=INCIDENT_STATES,
        found=found,
        most_closed=CLOSED,
    )


def incident(scope: Scope, dag_id: str | None, found: IncidentDetails, allowed: Collection[tuple[str, str]]) -> str:
    """Return the page of an incident. `allowed` are the kinds of actions that the user may take, by DAG."""
    return _render("incident.html", section="incidents", **_around(scope, dag_id), found=found, allowed=allowed)


def anomalies(scope: Scope, dag_id: str | None, dataset: str | None, found: Sequence[AnomalyChart]) -> str:
    """Return the page of open anomalies."""
    return _render("anomalies.html", section="anomalies", **_around(scope, dag_id), dataset=dataset, found=found)


def plan(
    scope: Scope, dag_id: str | None, first: str | None, last: str | None, found: Plan | None, *, may_run: bool = False
) -> str:
    """Return the page that plans runs of a range of periods, or only its form.

    With `may_run`, it has a button for runs that can start at once.
    """
    return _render(
        "plan.html",
        section="plan",
        **_around(scope, dag_id),
        first=first,
        last=last,
        found=found,
        may_run=may_run,
        states=STATES,
        example=EXAMPLE[cadence_of(scope.domains[0])] if len(scope.domains) == 1 else "",
        most_days=MOST_DAYS,
        most_objects=MOST_OBJECTS,
    )


def lineage(scope: Scope, dag_id: str | None, found: LineagePage, *, with_rows: bool) -> str:
    """Return the page of the lineage of a column or a table, or the map of domains."""
    return _render(
        "lineage.html",
        section="lineage",
        **_around(scope, dag_id),
        found=found,
        with_rows=with_rows,
        contracted=TABLES,
    )


def features(scope: Scope, dag_id: str | None, found: Sequence[FeatureState], gone: Sequence[Gone]) -> str:
    """Return the page of feature views."""
    return _render(
        "features.html",
        section="features",
        **_around(scope, dag_id),
        found=found,
        gone=gone,
        notable=NOTABLE,
        docs_url=(settings().docs_url or "").rstrip("/"),
    )


def difference(scope: Scope, dag_id: str | None, contract: Contract, period: str, found: Difference | None) -> str:
    """Return the page that compares the last two published versions of a report's period."""
    return _render(
        "difference.html", section="changes", **_around(scope, dag_id), contract=contract, period=period, found=found
    )


def quarantine(
    scope: Scope,
    dag_id: str | None,
    *,
    contract: Contract,
    rows: Sequence[RejectedRow],
    reasons: Sequence[Reason],
    filters: Mapping[str, Any],
    page: int,
    total: Total,
    replay_dag: str | None,
    reveal_dag: str | None,
) -> str:
    """Return a page of rejected rows.

    With `replay_dag`, the user can replay them; nobody can replay rows on Spark. With `reveal_dag`, the user can see
    restricted values.
    """
    return _render(
        "quarantine.html",
        section="quarantine",
        **_around(scope, dag_id),
        contract=contract,
        rows=rows,
        reasons=reasons,
        filters=filters,
        page=page,
        total=total,
        replay_dag=replay_dag,
        reveal_dag=reveal_dag,
        longest_reason=LONGEST_REASON,
        on_spark=is_on_spark(contract.domain),
        has_stream=stream_of(contract) is not None,
    )
