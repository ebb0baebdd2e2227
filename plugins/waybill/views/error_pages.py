"""Requests that are refused or fail: a page with a way back for people, JSON for programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from waybill.errors import DataError
from waybill.views import catalog, pages
from waybill.views.business import report as report_page

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""
_TITLES = {403: "Not allowed", 404: "Not found", 405: "Not possible", 422: "Not understood"}
_VIEWS = ("business", "operations")
_LISTS = {"difference.html": ("changes.html", "Changed reports")}
"""By page that cannot do without its query: the page that leads to it, and its name."""
_SHOWN_CHARACTERS = 60


class WithoutBlanks:
    """Drops blank values from the query: a form sends its empty fields, too, and they are as good as absent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of this scope."""
        if scope["type"] == "http" and scope["query_string"]:
            given = parse_qsl(scope["query_string"].decode("latin-1"))
            scope["query_string"] = urlencode([(name, value) for name, value in given if value.strip()]).encode()
        await self._app(scope, receive, send)


def answer_refusals(app: FastAPI, address: str) -> None:
    """Add the handlers. `address` is that of the web server around the views, or empty if nobody configured it."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 401 and _is_for_people(request):
            return RedirectResponse(_log_in(request, address), 303)
        title = _TITLES.get(error.status_code, "Not possible")
        return _answer(request, title, str(error.detail), error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, "Not understood", _in_words(error.errors()), 422)

    @app.exception_handler(report_page.NothingBuilt)
    async def nothing(request: Request, error: report_page.NothingBuilt) -> Response:
        text = f"{error} Locally, `make demo` fills everything; else start a run of the domain's DAG."
        return _answer(request, "Nothing to show yet", text, 404)

    @app.exception_handler(DataError)
    async def wrong(request: Request, error: DataError) -> Response:
        return _answer(request, "Not possible", str(error), 400)

    @app.exception_handler(psycopg.Error)
    async def no_warehouse(request: Request, error: psycopg.Error) -> Response:
        log.warning("the warehouse could not be asked for %s: %s", request.url.path, error)
        return _answer(request, *_of_warehouse(error))

    @app.exception_handler(BotoCoreError)
    @app.exception_handler(ClientError)
    async def no_bucket(request: Request, error: BotoCoreError | ClientError) -> Response:
        log.warning("S3 could not be asked for %s: %s", request.url.path, error)
        text = "The bucket of reports does not answer. Look at the log of the web server."
        return _answer(request, "No connection", text, 503)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:  # the server logs it with its traceback
        text = f"The page failed ({type(error).__name__}). The log of the web server has the details."
        return _answer(request, "Failed", text, 500)


def _of_warehouse(error: psycopg.Error) -> tuple[str, str, int]:
    """(title, text, status) of a question that the warehouse did not answer."""
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        text = "The warehouse lacks a table. Locally, run `make demo`; else `waybill migrate`, and start a run."
        return "Nothing to show yet", text, 404
    if isinstance(error, psycopg.errors.QueryCanceled):
        text = "The warehouse took longer than five seconds. Try again, or choose fewer rows with a filter."
        return "Too slow", text, 503
    if isinstance(error, psycopg.DataError):
        return "Not understood", "A value of the request is none that the warehouse can hold.", 422
    text = "The warehouse does not answer. Look at the Airflow connection waybill_reader and the log of the web server."
    return "No connection", text, 503


def _answer(request: Request, title: str, text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    sent = HEADERS | dict(headers or {})
    if not _is_for_people(request):
        return JSONResponse({"detail": text}, status, sent)
    root, ways = _root(request), list[tuple[str, str]]()
    if request.url.query and request.url.path.endswith(".html"):
        page = request.url.path.rpartition("/")[2]
        page, label = _LISTS.get(page, (page, "This page without filters"))
        ways.append((f"{page}{_query(request, 'domain')}", label))
    ways.append((f"{root}index.html{_query(request)}", "The beginning of this view"))
    return HTMLResponse(pages.message(root, title, text, ways), status, sent)


def _is_for_people(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and request.method in ("GET", "HEAD")


def _query(request: Request, *names: str) -> str:
    """The part of the request's query that says which tab of Airflow it is in, and these; none that is unknown."""
    query = request.query_params
    kept = {}
    if "dag_id" in query and catalog.domain_of(query["dag_id"]):
        kept = {name: query[name] for name in ("dag_id", "run_id") if name in query}
    elif "domain" in names and query.get("domain") in catalog.domains():
        kept = {"domain": query["domain"]}
    return f"?{urlencode(kept)}" if kept else ""


def _path(request: Request) -> str:
    """The request's path below the mount, from `/` on."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return path


def _view(request: Request) -> str:
    first = _path(request).lstrip("/").partition("/")[0]
    return first if first in _VIEWS else ""


def _root(request: Request) -> str:
    """From the page of a request back to the folder of its view; to that of business from anywhere else."""
    slashes: int = _path(request).count("/") - request.scope.get("raw_path", b"").lower().count(b"%2f")
    if _view(request):
        return "../" * max(slashes - 2, 0)
    return f"{'../' * max(slashes - 1, 0)}business/"


def _log_in(request: Request, address: str) -> str:
    """Where to log in, and come back. The Host header is a client's: nothing is built from it."""
    mount: str = request.scope.get("root_path", "").removeprefix(urlsplit(address).path.rstrip("/"))
    query = f"?{request.url.query}" if request.url.query else ""
    back = f"{address.rstrip('/')}{mount}{quote(_path(request))}{query}"
    base = f"{address.rstrip('/')}{mount.removesuffix('/waybill')}"
    return f"{base}/api/v2/auth/login?next={quote(back, safe='')}"


def _in_words(errors: Sequence[Any]) -> str:
    """What is wrong with the request's values: like `File id is 'abc': input should be a valid integer.`."""
    said = []
    for error in errors:
        place = [str(one) for one in error["loc"] if one not in ("query", "path", "body")]
        name = catalog.in_words(" ".join(place).replace(".", " ")) or "The body"
        given = error.get("input")
        value = f" is {given[:_SHOWN_CHARACTERS]!r}" if isinstance(given, str) and "body" not in error["loc"] else ""
        said.append(f"{name}{value}: {error['msg'][:1].lower()}{error['msg'][1:]}.")
    return " ".join(dict.fromkeys(said))
