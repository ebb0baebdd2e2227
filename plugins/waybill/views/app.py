"""The views as a web application. Who may see and do what is for the caller to say: Airflow, or a test."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

import psycopg
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from waybill.errors import DataError
from waybill.intake.ledger import Run
from waybill.period import Period
from waybill.pipelines import dag_of
from waybill.provenance import code_version
from waybill.settings import settings
from waybill.views import business, catalog, history, operations, pages, rejected, report_page
from waybill.views.difference import published_difference
from waybill.views.scope import LAST_PAGE, Scope, scope_of

log = logging.getLogger(__name__)

_ASSET_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


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


class Selection(BaseModel):
    """Quarantined rows to try again."""

    dataset: str
    rows: list[tuple[int, int]] = Field(min_length=1, max_length=rejected.REPLAYED_AT_ONCE)
    """Pairs of file id and record."""


PageNumber = Annotated[int, Query(ge=1, le=LAST_PAGE)]


def make_app(access: Access) -> FastAPI:
    """The application; every route of it asks `access`."""
    guard = [Depends(access.identify), Depends(access.view)]
    app = FastAPI(title="Waybill", openapi_url=None, docs_url=None, redoc_url=None, dependencies=guard)
    _add_failures(app)
    _add_assets(app)
    _add_business(app, access)
    _add_operations(app, access)
    return app


def _html(body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(body, status, HEADERS)


def _add_failures(app: FastAPI) -> None:
    """Failures that people meet are pages that say what to do."""

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        if wants_page and error.status_code == 401:
            base = request.scope.get("root_path", "").removesuffix("/waybill")
            return RedirectResponse(f"{base}/api/v2/auth/login?next={quote(str(request.url), safe='')}", 303)
        if wants_page:
            return _html(pages.message(_root(request), "Not possible", str(error.detail)), error.status_code)
        return JSONResponse({"detail": error.detail}, error.status_code, HEADERS)

    @app.exception_handler(report_page.NothingBuilt)
    async def nothing(request: Request, error: report_page.NothingBuilt) -> Response:
        text = f"{error} Locally, `make demo` fills everything; else start a run of the domain's DAG."
        return _html(pages.message(_root(request), "Nothing to show yet", text), 404)

    @app.exception_handler(DataError)
    async def wrong(request: Request, error: DataError) -> Response:
        return _html(pages.message(_root(request), "Not possible", str(error)), 400)

    @app.exception_handler(psycopg.Error)
    async def no_warehouse(request: Request, error: psycopg.Error) -> Response:
        log.warning("the warehouse could not be asked for %s: %s", request.url.path, error)
        title, text, status = _failure(error)
        return _html(pages.message(_root(request), title, text), status)


def _failure(error: psycopg.Error) -> tuple[str, str, int]:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        text = "The warehouse lacks a table. Locally, run `make demo`; else `waybill migrate`, and start a run."
        return "Nothing to show yet", text, 404
    if isinstance(error, psycopg.errors.QueryCanceled):
        text = "The warehouse took longer than five seconds. Try again, or choose fewer rows with a filter."
        return "Too slow", text, 503
    text = "The warehouse does not answer. Look at the Airflow connection waybill_reader and the log of the web server."
    return "No connection", text, 503


def _root(request: Request) -> str:
    """From the page of a request back to the folder of its view."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "../" * max(path.count("/") - 2, 0)


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
        headers = HEADERS | {"Content-Disposition": f'attachment; filename="{name}_{period}.csv"'}
        return Response(body, headers=headers, media_type="text/csv; charset=utf-8")


def _scope(domain: str | None, dag_id: str | None, run_id: str | None) -> Scope:
    scope = scope_of(domain, dag_id, run_id)
    if scope is None:
        name = f"The DAG {dag_id} takes in" if dag_id else f"There is no domain {domain!r}, so it has"
        raise HTTPException(404, f"{name} no dataset of Waybill: there is nothing to show.")
    return scope


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
                    freshness=operations.freshness(connection, scope, today),
                    balances=operations.balances(connection, scope),
                    refusals=operations.refusals(connection, scope),
                    missing=operations.missing(connection, scope),
                    warnings=operations.warnings(connection, scope),
                    checks=operations.checks(connection, scope),
                    alerts=operations.alerts(connection, scope),
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
        with access.reader() as connection:
            files, has_more = history.loads(connection, scope, dataset or None, page)
        return _html(pages.loads(scope, dag_id, files, dataset, page, has_more=has_more))

    @app.get("/operations/changes.html")
    def changes(domain: str | None = None, dag_id: str | None = None) -> Response:
        scope = _scope(domain, dag_id, None)
        with access.reader() as connection:
            return _html(pages.changes(scope, dag_id, history.rebuilds(connection, scope)))

    @app.get("/operations/difference.html")
    def difference(report: str, period: str, dag_id: str | None = None) -> Response:
        contract = catalog.contracts().get(report)
        domain = catalog.domain_of_report(report)
        if contract is None or domain is None:
            raise HTTPException(404, f"There is no report {report!r}.")
        found = published_difference(access.s3(), domain, contract, _period(period))
        return _html(pages.difference(_scope(domain, dag_id, None), dag_id, contract, period, found))

    @app.get("/operations/quarantine.html")
    def quarantine(
        request: Request,
        domain: str | None = None,
        dag_id: str | None = None,
        dataset: str | None = None,
        reason: str | None = None,
        file_id: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
        state: str = "open",
        page: PageNumber = 1,
    ) -> Response:
        scope = _scope(domain, dag_id, None)
        chosen = dataset if dataset in scope.datasets else None
        if dataset and not chosen:
            raise HTTPException(404, f"There is no dataset {dataset!r}.")
        with access.reader() as connection:
            chosen = chosen or rejected.most_rejected(connection, scope)
            contract = catalog.contracts()[chosen]
            rows, has_more = rejected.quarantined(
                connection,
                contract,
                reason=reason or None,
                file_id=file_id,
                is_open=state != "resolved",
                page=page,
            )
            reasons = rejected.reasons(connection, chosen)
        replay_dag = dag_of(contract.domain) or ""
        return _html(
            pages.quarantine(
                scope,
                dag_id,
                contract=contract,
                rows=rows,
                reasons=reasons,
                filters={"reason": reason or "", "file_id": file_id, "state": state},
                page=page,
                has_more=has_more,
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
