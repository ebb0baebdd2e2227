"""The views as a web application. Who may see and do what is for the caller to say: Airflow, or a test."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from psycopg import Connection
from pydantic import BaseModel, Field

from waybill.contracts.domains import load_manifest
from waybill.errors import DataError
from waybill.period import EXAMPLE, Period
from waybill.run import Run, code_version
from waybill.settings import settings
from waybill.views import catalog, pages
from waybill.views.business import page as business
from waybill.views.business import report as report_page
from waybill.views.error_pages import HEADERS, WithoutBlanks, answer_refusals
from waybill.views.operations import history
from waybill.views.operations import overview as operations
from waybill.views.operations import rejected_rows as rejected
from waybill.views.operations.difference import files_of, published_difference, with_replays
from waybill.views.operations.scope import LAST_PAGE, Scope, scope_of
from waybill.warehouse import LARGEST_INTEGER

_ASSET_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Access:
    """What the web server around the views provides."""

    view: Callable[..., Any]
    """Dependency of every route: raises HTTP 401 or 403 for who may not look."""
    run: Callable[..., Any]
    """Dependency of routes with a `dag_id`: raises for who may not start runs of the DAG."""
    identify: Callable[..., Any]
    """Dependency of every route: keeps the user with the request, as `state.waybill_user`."""
    may_run: Callable[[Request, str], bool]
    """Whether the request's user may start runs of a DAG."""
    reader: Callable[[], AbstractContextManager[Connection]]
    """The warehouse by a role that may only read."""
    writer: Callable[[], AbstractContextManager[Connection]]
    """The warehouse, for replays."""
    s3: Callable[[], Any]
    """A client for S3, to compare what was published."""
    address: str = ""
    """The address by which people know the web server, as somebody configured it; empty if nobody did."""


Id = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
"""Of a file, or the number of a record."""


class Selection(BaseModel):
    """Quarantined rows to try again."""

    dataset: str
    rows: list[tuple[Id, Id]] = Field(min_length=1, max_length=rejected.REPLAYED_AT_ONCE)
    """Pairs of file id and record."""


PageNumber = Annotated[int, Query(ge=1, le=LAST_PAGE)]


def make_app(access: Access) -> FastAPI:
    """The application; every route of it asks `access`."""
    guard = [Depends(access.identify), Depends(access.view)]
    app = FastAPI(title="Waybill", openapi_url=None, docs_url=None, redoc_url=None, dependencies=guard)
    app.add_middleware(WithoutBlanks)
    answer_refusals(app, access.address)
    _add_assets(app)
    _add_business(app, access)
    _add_operations(app, access)
    return app


def _html(body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(body, status, HEADERS)


def _add_assets(app: FastAPI) -> None:
    folder = Path(__file__).parent / "assets"
    files = {path.name: path for path in folder.iterdir() if path.suffix in _ASSET_TYPES}

    @app.get("/{view}/assets/{name}")
    @app.get("/icons/{name}")
    def asset(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "There is no such file.")
        headers = HEADERS | {"Cache-Control": "private, max-age=3600"}
        return FileResponse(files[name], headers=headers, media_type=_ASSET_TYPES[files[name].suffix])


def _report(domain: str, name: str) -> None:
    if domain not in catalog.domains() or name not in catalog.reports(domain):
        raise HTTPException(404, f"There is no report {name!r} in {domain!r}.")


def _period(key: str) -> Period:
    try:
        return Period.named(key)
    except DataError as error:
        raise HTTPException(404, str(error)) from error


def _add_business(app: FastAPI, access: Access) -> None:
    @app.get("/business/index.html")
    def first() -> Response:
        with access.reader() as connection:
            domain, period = business.first_page(connection)
            return _html(pages.business(business.page(connection, domain, period), root=""))

    @app.get("/business/{domain}/index.html")
    def newest(domain: str) -> Response:
        if domain not in catalog.domains():
            raise HTTPException(404, f"There is no domain {domain!r}.")
        with access.reader() as connection:
            period = business.newest_period(connection, domain)
            return _html(pages.business(business.page(connection, domain, period), root="../"))

    @app.get("/business/{domain}/{key}.html")
    def page(domain: str, key: str) -> Response:
        if domain not in catalog.domains():
            raise HTTPException(404, f"There is no domain {domain!r}.")
        with access.reader() as connection:
            return _html(pages.business(business.page(connection, domain, _period(key)), root="../"))

    @app.get("/business/{domain}/{key}/{name}.html")
    def report(domain: str, key: str, name: str) -> Response:
        _report(domain, name)
        with access.reader() as connection:
            return _html(pages.report(report_page.provenance(connection, domain, name, _period(key))))

    @app.get("/business/{domain}/{key}/{name}.json")
    def waybill(domain: str, key: str, name: str) -> Response:
        _report(domain, name)
        with access.reader() as connection:
            body = pages.as_json(report_page.provenance(connection, domain, name, _period(key)))
        return Response(body, headers=HEADERS, media_type="application/json")

    @app.get("/business/{domain}/{key}/{name}.csv")
    def csv(domain: str, key: str, name: str) -> Response:
        _report(domain, name)
        period = _period(key)
        with access.reader() as connection:
            body = report_page.csv_of(connection, domain, name, period)
            suffix = "" if report_page.is_published(connection, domain, name, period) else "_not_published"
        headers = HEADERS | {"Content-Disposition": f'attachment; filename="{name}_{period}{suffix}.csv"'}
        return Response(body, headers=headers, media_type="text/csv; charset=utf-8")


def _scope(domain: str | None, dag_id: str | None, run_id: str | None) -> Scope:
    scope = scope_of(domain, dag_id, run_id)
    if scope is None:
        known = ", ".join(catalog.domains()) or "none"
        text = f"There is no domain {domain!r}; there are {known}."
        if dag_id:
            text = f"The DAG {dag_id} takes in no dataset of Waybill: there is nothing to show."
        raise HTTPException(404, text)
    return scope


def _dataset(scope: Scope, dataset: str | None) -> None:
    """Raises HTTP 404 for a dataset that is not one of the scope."""
    if dataset is not None and dataset not in scope.datasets:
        raise HTTPException(404, f"There is no dataset {dataset!r} in {' or '.join(scope.domains) or 'this project'}.")


def _add_operations(app: FastAPI, access: Access) -> None:
    @app.get("/operations/index.html")
    def overview(domain: str | None = None, dag_id: str | None = None, run_id: str | None = None) -> Response:
        scope = _scope(domain, dag_id, run_id)
        today = datetime.now(ZoneInfo(settings().timezone)).date()
        with access.reader() as connection:
            return _html(
                pages.operations(
                    scope,
                    dag_id,
                    totals=operations.totals(connection, scope),
                    freshness=operations.freshness(connection, scope, today),
                    balances=operations.balances(connection, scope),
                    refusals=operations.refusals(connection, scope),
                    missing=operations.missing(connection, scope),
                    warnings=operations.warnings(connection, scope),
                    checks=operations.checks(connection, scope),
                    alerts=operations.alerts(connection, scope),
                    periods_checked=operations.PERIODS_CHECKED,
                    periods_expected=operations.PERIODS_EXPECTED,
                )
            )

    @app.get("/operations/loads.html")
    def loads(
        domain: str | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        dataset: str | None = None,
        page: PageNumber = 1,
    ) -> Response:
        scope = _scope(domain, dag_id, run_id)
        _dataset(scope, dataset)
        with access.reader() as connection:
            files, total = history.loads(connection, scope, dataset, page)
        return _html(pages.loads(scope, dag_id, files, dataset, page, total))

    @app.get("/operations/changes.html")
    def changes(domain: str | None = None, dag_id: str | None = None) -> Response:
        scope = _scope(domain, dag_id, None)
        with access.reader() as connection:
            builds, has_more = history.rebuilds(connection, scope)
        return _html(pages.changes(scope, dag_id, builds, has_more=has_more))

    @app.get("/operations/difference.html")
    def difference(report: str, period: str, dag_id: str | None = None) -> Response:
        contract = catalog.contracts().get(report)
        domain = catalog.domain_of_report(report)
        if contract is None or domain is None:
            raise HTTPException(404, f"There is no report {report!r}.")
        of = _period(period)
        if of.cadence not in contract.cadences:
            raise HTTPException(
                404, f"{report} has no periods of a {of.cadence}; write it like {EXAMPLE[contract.cadence]}."
            )
        with access.reader() as connection:
            rests_on = files_of(connection, contract, of)
        found = published_difference(access.s3(), domain, contract, of, rests_on)
        if found is not None:
            with access.reader() as connection:
                found = with_replays(connection, contract, of, found)
        return _html(pages.difference(_scope(domain, dag_id, None), dag_id, contract, of.key, found))

    @app.get("/operations/quarantine.html")
    def quarantine(
        request: Request,
        domain: str | None = None,
        dag_id: str | None = None,
        dataset: str | None = None,
        reason: str | None = None,
        file_id: Annotated[int | None, Query(ge=0, le=LARGEST_INTEGER)] = None,
        state: Literal["open", "resolved"] = "open",
        page: PageNumber = 1,
    ) -> Response:
        scope = _scope(domain, dag_id, None)
        _dataset(scope, dataset)
        with access.reader() as connection:
            chosen = dataset or rejected.most_rejected(connection, scope)
            contract = catalog.contracts()[chosen]
            rows, total = rejected.quarantined(
                connection,
                contract,
                reason=reason,
                file_id=file_id,
                is_open=state != "resolved",
                page=page,
            )
            reasons = rejected.reasons(connection, chosen, is_open=state != "resolved")
        replay_dag = load_manifest(contract.domain).dag
        return _html(
            pages.quarantine(
                scope,
                dag_id,
                contract=contract,
                rows=rows,
                reasons=reasons,
                filters={"reason": reason or "", "file_id": file_id, "state": state},
                page=page,
                total=total,
                replay_dag=replay_dag if access.may_run(request, replay_dag) else None,
            )
        )

    @app.post("/operations/replay/{dag_id}", dependencies=[Depends(access.run), Depends(_from_own_page)])
    def replay(request: Request, dag_id: str, chosen: Selection) -> Response:
        domain = catalog.domain_of(dag_id)
        datasets = catalog.of_schema(domain) if domain else {}
        contract = next((one for one in datasets.values() if one.table == chosen.dataset), None)
        if contract is None:
            raise HTTPException(404, f"{dag_id} takes in no dataset {chosen.dataset!r}.")
        who = getattr(request.state.waybill_user, "get_name", lambda: "someone")()
        run = Run(f"replay by {who} in the web UI", code_version())
        with access.writer() as connection:
            result = rejected.replay_selected(connection, contract, datasets, run, chosen.rows)
        return JSONResponse(result, headers=HEADERS)


def _from_own_page(request: Request) -> None:
    """Refuse what another site's page makes a browser send."""
    headers = request.headers
    is_own = headers.get("sec-fetch-site", "same-origin") == "same-origin"
    if "origin" in headers:
        is_own = is_own and urlsplit(headers["origin"]).netloc == headers.get("host")
    if not is_own:
        raise HTTPException(403, "The request comes from another site.")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "The request must be JSON.")
