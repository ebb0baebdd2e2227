"""Pages from templates. Every value is escaped; what a file's sender wrote is text and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2

from waybill.contracts import Contract
from waybill.formatting import count, of_all, text
from waybill.intake.ledger import COUNTS
from waybill.views import catalog
from waybill.views.business.page import Page
from waybill.views.business.report import Provenance, as_data
from waybill.views.operations.difference import Difference
from waybill.views.operations.rejected_rows import Rejected
from waybill.views.operations.scope import Scope, Total

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
        "words": catalog.in_words,
        "moment": _moment,
        "of": of_all,
        "counted": count,
    }
    environment.globals |= {"assets_version": _assets_version(), "counts": COUNTS, "query": _query}
    return environment


def _assets_version() -> str:
    """Changes with the style or the script: a browser may keep them otherwise."""
    content = b"".join(path.read_bytes() for path in sorted(ASSETS.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def _moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if value else ""


def _query(**values: object) -> str:
    """A query string of the values that are given."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)


def message(root: str, title: str, message_text: str, ways: Sequence[tuple[str, str]]) -> str:
    """A page that says what is wrong and what to do, with links (address, label) to where one can go on."""
    return _render("message.html", root=root, title=title, text=message_text, ways=ways)


def business(page: Page, *, root: str, domains: Sequence[str] | None = None) -> str:
    """The page of a domain and period; `root` leads from it to the folder of the view, and it links to `domains`."""
    return _render("business.html", page=page, root=root, domains=catalog.domains() if domains is None else domains)


def report(found: Provenance) -> str:
    """The page of a report: its waybill and its rows."""
    return _render("report.html", found=found, root="../../")


def as_json(found: Provenance) -> str:
    """The waybill of a report as JSON."""
    return json.dumps(as_data(found), default=str, indent=2)


def _around(scope: Scope, dag_id: str | None) -> dict[str, Any]:
    """What every page of data operations needs."""
    domain = scope.domains[0] if len(scope.domains) == 1 and dag_id is None else None
    return {
        "root": "",
        "scope": scope,
        "domains": catalog.domains(),
        "place": {"domain": domain, "dag_id": dag_id, "run_id": scope.run_id},
    }


def operations(scope: Scope, dag_id: str | None, **sections: Any) -> str:
    """The overview of data operations."""
    return _render("operations.html", section="overview", **_around(scope, dag_id), **sections)


def loads(
    scope: Scope,
    dag_id: str | None,
    files: Iterable[Mapping[str, Any]],
    dataset: str | None,
    page: int,
    total: Total,
) -> str:
    """The history of loads, a page of it."""
    return _render(
        "loads.html",
        section="loads",
        **_around(scope, dag_id),
        files=files,
        dataset=dataset or "",
        page=page,
        total=total,
    )


def changes(scope: Scope, dag_id: str | None, builds: Iterable[Mapping[str, Any]], *, has_more: bool = False) -> str:
    """Which reports got another content, and when."""
    return _render("changes.html", section="changes", **_around(scope, dag_id), builds=builds, has_more=has_more)


def difference(scope: Scope, dag_id: str | None, contract: Contract, period: str, found: Difference | None) -> str:
    """How the published rows of a report's period differ from those published before."""
    return _render(
        "difference.html", section="changes", **_around(scope, dag_id), contract=contract, period=period, found=found
    )


def quarantine(
    scope: Scope,
    dag_id: str | None,
    *,
    contract: Contract,
    rows: Sequence[Rejected],
    reasons: Sequence[tuple[str, int]],
    filters: Mapping[str, Any],
    page: int,
    total: Total,
    replay_dag: str | None,
) -> str:
    """Rejected rows of a dataset, a page of them; with `replay_dag` they can be tried again."""
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
    )
