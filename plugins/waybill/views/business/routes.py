"""The routes of the business view."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from waybill.views import catalog, pages
from waybill.views.access import CurrentAccess
from waybill.views.business import page as business
from waybill.views.business import report as reports
from waybill.views.business.rows_behind import key_columns, rows_behind
from waybill.views.parameters import check_domain, period_of
from waybill.views.responses import HEADERS, html

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
def report(access: CurrentAccess, domain: str, key: str, name: str) -> Response:
    """Show a report of a period with its waybill."""
    check_report(domain, name)
    with access.reader() as connection:
        return html(pages.report(reports.provenance(connection, domain, name, period_of(key))))


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
def waybill(access: CurrentAccess, domain: str, key: str, name: str) -> Response:
    """Return the waybill of a report and period as JSON."""
    check_report(domain, name)
    with access.reader() as connection:
        body = pages.as_json(reports.provenance(connection, domain, name, period_of(key)))
    return Response(body, headers=HEADERS, media_type="application/json")


@router.get("/{domain}/{key}/{name}.csv")
def csv(access: CurrentAccess, domain: str, key: str, name: str) -> Response:
    """Return the rows of a report and period as CSV. The name of the file says whether they are published."""
    check_report(domain, name)
    period = period_of(key)
    with access.reader() as connection:
        body = reports.csv_of(connection, domain, name, period)
        suffix = "" if reports.is_published(connection, domain, name, period) else "_not_published"
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="{name}_{period}{suffix}.csv"'}
    return Response(body, headers=headers, media_type="text/csv; charset=utf-8")


def check_report(domain: str, name: str) -> None:
    """Raise HTTP 404 for an unknown domain or report."""
    check_domain(domain)
    if name not in catalog.reports(domain):
        raise HTTPException(404, f"The domain {domain!r} has no report {name!r}.")
