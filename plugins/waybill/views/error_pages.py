"""Answers to failed requests: a page with links for people, JSON for programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from waybill.errors import DataError
from waybill.views import catalog, pages
from waybill.views.access import access_of
from waybill.views.business.report import NothingBuilt
from waybill.views.responses import HEADERS
from waybill.warehouse.connection import STATEMENT_TIMEOUT_SECONDS, without_values
from waybill.warehouse.kept_connections import AllInUse

log = logging.getLogger(__name__)

_TITLES = {403: "Permission denied", 404: "Not found", 405: "Method not allowed", 422: "Invalid request"}
_VIEWS = ("business", "live", "operations")
_LISTS = {"difference.html": ("changes.html", "Changed reports"), "incident.html": ("incidents.html", "Incidents")}
"""Pages that do not work without a query: the page that links to them, and its name."""
_SHOWN_CHARACTERS = 60

_Problem = tuple[str, str, int]
"""(title, text, HTTP status)"""


def add_error_pages(app: FastAPI) -> None:
    """Answer each error of a route with `error_page`."""
    for kind in (
        HTTPException,
        RequestValidationError,
        DataError,
        psycopg.Error,
        BotoCoreError,
        ClientError,
        Exception,
    ):
        app.add_exception_handler(kind, error_page)


async def error_page(request: Request, error: Exception) -> Response:
    """Return the answer to a request that failed. Users who are not logged in are sent to the log-in page."""
    is_for_people = "text/html" in request.headers.get("accept", "") and request.method in ("GET", "HEAD")
    status_code = error.status_code if isinstance(error, HTTPException) else None
    if status_code == 401 and is_for_people:
        return RedirectResponse(_log_in(request), 303)
    title, text, status = _problem(request, error)
    headers = HEADERS | dict((error.headers if isinstance(error, HTTPException) else None) or {})
    if not is_for_people:
        return JSONResponse({"detail": text}, status, headers)
    return HTMLResponse(pages.message(_root(request), title, text, _links(request)), status, headers)


def _problem(request: Request, error: Exception) -> _Problem:
    match error:
        case HTTPException():
            problem = _TITLES.get(error.status_code, "Request failed"), str(error.detail), error.status_code
        case RequestValidationError():
            problem = "Invalid request", _invalid_values(error.errors()), 422
        case NothingBuilt():
            text = f"{error} To load sample data locally, run `make demo`. Otherwise, run the DAG of the domain."
            problem = "Nothing to show yet", text, 404
        case DataError():
            problem = "Request failed", str(error), 400
        case psycopg.Error():
            log.warning("the query for %s failed: %s", request.url.path, without_values(error))
            problem = _warehouse_problem(error)
        case BotoCoreError() | ClientError():
            log.warning("the request to S3 for %s failed: %s", request.url.path, error)
            text = "S3 does not respond. Check the log of the web server."
            problem = "Service unavailable", text, 503
        case _:  # the server logs its traceback
            text = f"The page failed with {type(error).__name__}. Check the log of the web server."
            problem = "Internal error", text, 500
    return problem


def _warehouse_problem(error: psycopg.Error) -> _Problem:
    match error:
        case AllInUse():
            text = "All connections of the web server to the warehouse are in use. Try again in a moment."
            return "Service unavailable", text, 503
        case psycopg.errors.UndefinedTable() | psycopg.errors.InvalidSchemaName():
            text = (
                "The warehouse has no tables of Waybill yet. To load sample data locally, run `make demo`. "
                "Otherwise, run `waybill migrate`, then a DAG."
            )
            return "Nothing to show yet", text, 404
        case psycopg.errors.QueryCanceled():
            text = f"The query took longer than {STATEMENT_TIMEOUT_SECONDS} seconds. Set a filter, or try again later."
            return "Query timed out", text, 503
        case psycopg.DataError():
            return "Invalid request", "The request has a value that the warehouse cannot store.", 422
    text = (
        "The warehouse does not respond. Check the Airflow connection `waybill_reader` and the log of the web server."
    )
    return "Service unavailable", text, 503


def _invalid_values(errors: Sequence[Any]) -> str:
    """Return which values are invalid and why, like `File ID is 'abc': input should be a valid integer`."""
    sentences = []
    for error in errors:
        place = [str(one) for one in error["loc"] if one not in ("query", "path", "body")]
        name = catalog.heading(" ".join(place).replace(".", " ")) or "The body"
        given = error.get("input")
        value = f" is {given[:_SHOWN_CHARACTERS]!r}" if isinstance(given, str) and "body" not in error["loc"] else ""
        sentences.append(f"{name}{value}: {error['msg'][:1].lower()}{error['msg'][1:]}.")
    return " ".join(dict.fromkeys(sentences))


def _links(request: Request) -> list[tuple[str, str]]:
    """Return (address, label) of the pages to go on with."""
    links = []
    if request.url.query and request.url.path.endswith(".html"):
        page = request.url.path.rpartition("/")[2]
        page, label = _LISTS.get(page, (page, "This page without filters"))
        links.append((f"{page}{_query(request, 'domain')}", label))
    return [*links, (f"{_root(request)}index.html{_query(request)}", "Start page of this view")]


def _query(request: Request, *names: str) -> str:
    """Return the query that keeps the tab of Airflow, and these parameters, without unknown values."""
    query = request.query_params
    kept: Mapping[str, str] = {}
    if "dag_id" in query and catalog.domain_of(query["dag_id"]):
        kept = {name: query[name] for name in ("dag_id", "run_id") if name in query}
    elif "domain" in names and query.get("domain") in catalog.domains():
        kept = {"domain": query["domain"]}
    return f"?{urlencode(kept)}" if kept else ""


def _path(request: Request) -> str:
    """Return the path of a request below the mount point, with the leading slash."""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return path


def _root(request: Request) -> str:
    """Return the relative path to the folder of the request's view, or of the business view from anywhere else."""
    path = _path(request)
    slashes: int = path.count("/") - request.scope.get("raw_path", b"").lower().count(b"%2f")
    if path.lstrip("/").partition("/")[0] in _VIEWS:
        return "../" * max(slashes - 2, 0)
    return f"{'../' * max(slashes - 1, 0)}business/"


def _log_in(request: Request) -> str:
    """Return the address of the log-in page, which leads back to the request's page.

    It uses the configured base URL. Clients choose the Host header, so it is ignored.
    """
    base_url = access_of(request).address.rstrip("/")
    mount: str = request.scope.get("root_path", "").removeprefix(urlsplit(base_url).path.rstrip("/"))
    query = f"?{request.url.query}" if request.url.query else ""
    back = f"{base_url}{mount}{quote(_path(request))}{query}"
    return f"{base_url}{mount.removesuffix('/waybill')}/api/v2/auth/login?next={quote(back, safe='')}"
