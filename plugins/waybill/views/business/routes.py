"""The routes of the business view."""

from __future__ import annotations

import re
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from waybill.views import catalog, pages
from waybill.views.access import Access, CurrentAccess
from waybill.views.business import page as business
from waybill.views.business import report as reports
from waybill.views.business.filters import chosen_of
from waybill.views.business.rows_behind import key_columns, rows_behind
from waybill.views.business.source import built
from waybill.views.parameters import check_domain, period_of
from waybill.views.responses import HEADERS, html

_NAMED_CHARACTERS = 100
"""How many characters of its filters the name of a file has."""

router = APIRouter(prefix="/business")


@router.get("/index.html")
def start_page(access: CurrentAccess, request: Request) -> Response:
    """Show the newest period of the first domain that has reports."""
    with access.reader() as connection:
        domain, period = business.start_page(connection)
        return html(pages.business(business.page(connection, domain, period, query=request.query_params), root=""))


@router.get("/{domain}/index.html")
def newest(access: CurrentAccess, domain: str, request: Request) -> Response:
    """Show the newest period of a domain."""
    check_domain(domain)
    with access.reader() as connection:
        period = business.newest_period(connection, domain)
        return html(pages.business(business.page(connection, domain, period, query=request.query_params), root="../"))


@router.get("/{domain}/{key}.html")
def page(access: CurrentAccess, domain: str, key: str, request: Request) -> Response:
    """Show a period of a domain, with the filters of the query."""
    check_domain(domain)
    period = period_of(key)
    with access.reader() as connection:
        return html(pages.business(business.page(connection, domain, period, query=request.query_params), root="../"))


@router.get("/{domain}/{key}/{name}.html")
def report(access: CurrentAccess, domain: str, key: str, name: str, request: Request) -> Response:
    """Show a report of a period with its waybill, and the rows with the values of the query's filters."""
    return html(pages.report(_provenance(access, domain, key, name, request)))


@router.get("/{domain}/{key}/{name}/rows.html")
def behind(access: CurrentAccess, domain: str, key: str, name: str, request: Request) -> Response:
    """Show the rows of datasets behind the row of a report whose key values the query has."""
    check_report(domain, name)
    contract, period = catalog.reports(domain)[name], period_of(key)
    values = {
        column: request.query_params[column] for column in key_columns(contract) if column in request.query_params
    }
    with access.reader() as connection:
        return html(pages.rows_behind(contract, period, values, rows_behind(connection, contract, period, values)))


@router.get("/{domain}/{key}/{name}.json")
def waybill(access: CurrentAccess, domain: str, key: str, name: str, request: Request) -> Response:
    """Return the waybill of a report and period as JSON, with the filters of the query."""
    body = pages.as_json(_provenance(access, domain, key, name, request))
    return Response(body, headers=HEADERS, media_type="application/json")


def _provenance(access: Access, domain: str, key: str, name: str, request: Request) -> reports.Provenance:
    check_report(domain, name)
    chosen = chosen_of(catalog.reports(domain).values(), request.query_params)
    with access.reader() as connection:
        return reports.provenance(connection, domain, name, period_of(key), chosen=chosen)


@router.get("/{domain}/{key}/{name}.csv")
def csv(access: CurrentAccess, domain: str, key: str, name: str, request: Request) -> Response:
    """Return the rows of a report and period as CSV, limited by the filters of the query.

    The name of the file has the filters, and says whether the rows are published.
    """
    check_report(domain, name)
    period = period_of(key)
    filters = chosen_of([catalog.reports(domain)[name]], request.query_params)
    with access.reader() as connection:
        body = reports.csv_of(connection, domain, name, period, built(connection, domain, filters))
        suffix = "" if reports.is_published(connection, domain, name, period) else "_not_published"
    named = f'filename="{name}_{period}{"_filtered" if filters else ""}{suffix}.csv"'
    if filters:
        values = "_".join(re.sub(r"[^\w.=-]+", "-", f"{column}={value}") for column, value in filters.items())
        full = quote(f"{name}_{period}_{values[:_NAMED_CHARACTERS]}{suffix}.csv", safe="")
        named += f"; filename*=UTF-8''{full}"
    headers = HEADERS | {"Content-Disposition": f"attachment; {named}"}
    return Response(body, headers=headers, media_type="text/csv; charset=utf-8")


def check_report(domain: str, name: str) -> None:
    """Raise HTTP 404 for an unknown domain or report."""
    check_domain(domain)
    if name not in catalog.reports(domain):
        raise HTTPException(404, f"The domain {domain!r} has no report {name!r}.")
