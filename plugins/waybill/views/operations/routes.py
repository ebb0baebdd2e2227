"""The routes of data operations, except replays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from waybill.contracts.domains import is_on_spark, load_manifest
from waybill.errors import CommandFailed
from waybill.ops.incidents import State as IncidentState
from waybill.ops.lineage import current_lineage
from waybill.ops.reveals import newest as newest_reveals
from waybill.period import EXAMPLE
from waybill.views import catalog, pages, quality_report
from waybill.views.access import Access, CurrentAccess
from waybill.views.operations.anomalies import anomaly_charts
from waybill.views.operations.changes import rebuilds
from waybill.views.operations.difference import files_of, published_difference, with_replays
from waybill.views.operations.features import feature_states, gone_of
from waybill.views.operations.incident_pages import incident_details, incident_list
from waybill.views.operations.lineage import lineage_page, pages_about
from waybill.views.operations.loads import State, loaded_files, rejected_files
from waybill.views.operations.overview import overview as overview_of
from waybill.views.operations.plans import plan_between
from waybill.views.operations.rejected_rows import SHARD, most_rejected, quarantined, reasons
from waybill.views.operations.run_report import run_report
from waybill.views.operations.scope import LAST_PAGE, LISTED_ROWS, PAGE_ROWS, Scope, Total, scope_of
from waybill.views.parameters import check_domain, period_of
from waybill.views.responses import HEADERS, html
from waybill.warehouse import LARGEST_INTEGER

router = APIRouter(prefix="/operations")

_SELF_CONTAINED = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'"
"""The policy for a stored page, which has its style within itself and nothing else."""

PageNumber = Annotated[int, Query(ge=1, le=LAST_PAGE)]
_ReportName = Annotated[str, Path(pattern=r"^([0-9]{2}|index)$")]
"""The hour of a quality report, or the page of its day."""


@router.get("/index.html")
def overview(
    access: CurrentAccess,
    request: Request,
    domain: str | None = None,
    dag_id: str | None = None,
    run_id: str | None = None,
) -> Response:
    """Show the state of all domains, of one domain, of a DAG, or of one of its runs."""
    scope = _scope(domain, dag_id, run_id)
    runs = [*access.runs(scope.dags, None)]
    if scope.run_id and dag_id:
        if scope.run_id not in {run.run_id for run in runs}:
            runs += access.runs(scope.dags, scope.run_id)
        with access.reader() as connection:
            return html(pages.run(scope, dag_id, run_report(connection, scope, runs)))
    letters = access.dead_letters(scope.domains)
    with access.reader() as connection:
        found = overview_of(connection, scope, datetime.now(UTC), runs, letters)
    dags = {*scope.dags, *(problem.dag for problem in found.problems if problem.dag)}
    return html(pages.operations(scope, dag_id, found, _allowed(access, request, dags)))


@router.get("/incidents.html")
def incidents(
    access: CurrentAccess, domain: str | None = None, dag_id: str | None = None, state: IncidentState | None = None
) -> Response:
    """List open incidents, and the newest closed ones."""
    scope = _scope(domain, dag_id, None)
    with access.reader() as connection:
        found = incident_list(connection, scope, state)
    return html(pages.incidents(scope, dag_id, state, found))


@router.get("/incident.html")
def incident(
    access: CurrentAccess,
    request: Request,
    number: Annotated[int, Query(ge=1, le=LARGEST_INTEGER)],
    domain: str | None = None,
    dag_id: str | None = None,
) -> Response:
    """Show an incident with its history and runs."""
    scope = _scope(domain, dag_id, None)
    try:
        with access.reader() as connection:
            found = incident_details(connection, number)
    except CommandFailed as error:
        raise HTTPException(404, str(error)) from error
    return html(pages.incident(scope, dag_id, found, _allowed(access, request, [found.dag] if found.dag else [])))


@router.get("/loads.html")
def loads(
    access: CurrentAccess,
    domain: str | None = None,
    dag_id: str | None = None,
    run_id: str | None = None,
    dataset: str | None = None,
    state: State | None = None,
    page: PageNumber = 1,
) -> Response:
    """List loaded and rejected files."""
    scope = _scope(domain, dag_id, run_id)
    _check_dataset(scope, dataset)
    filters = {"dataset": dataset or "", "state": state or ""}
    with access.reader() as connection:
        if state == "rejected":
            rejected, total = rejected_files(connection, scope, dataset, page)
            return html(pages.loads(scope, dag_id, [], rejected, filters, page, total))
        files, total = loaded_files(connection, scope, dataset, page, state)
        is_first = state is None and page == 1
        rejected = rejected_files(connection, scope, dataset, 1, only_open=True)[0] if is_first else []
    return html(pages.loads(scope, dag_id, files, rejected, filters, page, total))


@router.get("/changes.html")
def changes(access: CurrentAccess, domain: str | None = None, dag_id: str | None = None) -> Response:
    """List reports whose content changed."""
    scope = _scope(domain, dag_id, None)
    with access.reader() as connection:
        builds, has_more = rebuilds(connection, scope)
    return html(pages.changes(scope, dag_id, builds, has_more=has_more))


@router.get("/anomalies.html")
def anomalies(
    access: CurrentAccess, domain: str | None = None, dag_id: str | None = None, dataset: str | None = None
) -> Response:
    """Show open anomalies with the values that they were compared with."""
    scope = _scope(domain, dag_id, None)
    if dataset is not None and dataset not in scope.subjects:
        raise HTTPException(404, f"The table {dataset!r} does not exist in {' or '.join(scope.domains)}.")
    with access.reader() as connection:
        found = anomaly_charts(connection, scope, dataset)
    return html(pages.anomalies(scope, dag_id, dataset, found))


@router.get("/quality/newest/{name}.html")
def newest_quality(access: CurrentAccess, name: _ReportName) -> Response:
    """Show a quality report of the newest day, or that of this moment if none was written yet."""
    if day := quality_report.newest_day(access.s3()):
        return _stored_quality(access, day, name)
    with access.reader() as connection:
        found = quality_report.quality_report(connection, datetime.now(UTC))
    return _self_contained(pages.quality(found, []))


@router.get("/quality/{year}/{month}/{day}/{name}.html")
def quality_of_day(
    access: CurrentAccess,
    year: Annotated[str, Path(pattern=r"^[0-9]{4}$")],
    month: Annotated[str, Path(pattern=r"^[0-9]{2}$")],
    day: Annotated[str, Path(pattern=r"^[0-9]{2}$")],
    name: _ReportName,
) -> Response:
    """Show a quality report as it was written."""
    return _stored_quality(access, f"{quality_report.PREFIX}{year}/{month}/{day}/", name)


def _stored_quality(access: Access, folder: str, name: str) -> Response:
    page = quality_report.stored(access.s3(), f"{folder}{name}.html")
    if page is None:
        raise HTTPException(404, f"There is no quality report {folder}{name}.html.")
    return _self_contained(page)


def _self_contained(page: str | bytes) -> Response:
    return HTMLResponse(page, headers=HEADERS | {"Content-Security-Policy": _SELF_CONTAINED})


@router.get("/plan.html")
def plan(
    access: CurrentAccess,
    request: Request,
    domain: str | None = None,
    dag_id: str | None = None,
    first: str | None = None,
    last: str | None = None,
) -> Response:
    """Show what runs of a range of periods would do, or the form for the range."""
    scope, found = _scope(domain, dag_id, None), None
    if first or last:
        if not (first and (domain or dag_id)):
            raise HTTPException(422, "Choose a domain and the first period.")
        [chosen] = scope.domains
        with access.reader() as connection:
            found = plan_between(connection, access.s3(), chosen, first, last or first)
    may_run = bool(found and found.runs and access.may_run(request, found.runs.dag_id))
    return html(pages.plan(scope, dag_id, first, last, found, may_run=may_run))


@router.get("/lineage.html")
def lineage(
    access: CurrentAccess,
    domain: str | None = None,
    dag_id: str | None = None,
    table: str | None = None,
    column: str | None = None,
    effects: Literal["all", "values"] = "all",
) -> Response:
    """Show where a column or table comes from and what uses it, or the map of the domains."""
    scope, graph, with_rows = _scope(domain, dag_id, None), current_lineage(), effects == "all"
    links = []
    if table is not None and table in graph.tables:
        with access.reader() as connection:
            links = pages_about(connection, graph.tables[table])
    try:
        found = lineage_page(graph, scope, table, column, with_rows=with_rows, links=links)
    except KeyError:
        name = f"{table}.{column}" if column else table
        where = " or ".join(scope.domains)
        raise HTTPException(404, f"The column or table {name!r} does not exist in {where}.") from None
    return html(pages.lineage(scope, dag_id, found, with_rows=with_rows))


@router.get("/features.html")
def features(access: CurrentAccess, domain: str | None = None, dag_id: str | None = None) -> Response:
    """Show the versions of feature views, with the state of each feature."""
    scope = _scope(domain, dag_id, None)
    with access.reader() as connection:
        found = feature_states(connection, scope, datetime.now(UTC))
        gone = gone_of(connection, scope)
    return html(pages.features(scope, dag_id, found, gone))


@router.get("/difference.html")
def difference(access: CurrentAccess, report: str, period: str, dag_id: str | None = None) -> Response:
    """Compare the last two published versions of a report's period."""
    contract = catalog.contracts().get(report)
    domain = catalog.domain_of_report(report)
    if contract is None or domain is None:
        raise HTTPException(404, f"The report {report!r} does not exist.")
    chosen = period_of(period)
    if chosen.cadence not in contract.cadences:
        example = EXAMPLE[contract.cadence]
        raise HTTPException(404, f"{report} is not built by {chosen.cadence}. Write its periods like {example}.")
    with access.reader() as connection:
        files = files_of(connection, contract, chosen)
    found = published_difference(access.s3(), domain, contract, chosen, files)
    if found is not None:
        with access.reader() as connection:
            found = with_replays(connection, contract, chosen, found)
    return html(pages.difference(_scope(domain, dag_id, None), dag_id, contract, chosen.key, found))


@router.get("/quarantine.html")
def quarantine(
    access: CurrentAccess,
    request: Request,
    domain: str | None = None,
    dag_id: str | None = None,
    dataset: str | None = None,
    reason: str | None = None,
    file_id: Annotated[int | None, Query(ge=0, le=LARGEST_INTEGER)] = None,
    shard: Annotated[str | None, Query(pattern=SHARD)] = None,
    state: Literal["open", "resolved"] = "open",
    page: PageNumber = 1,
) -> Response:
    """List rejected rows of a dataset: of the one with most rejected rows unless another is chosen."""
    scope = _scope(domain, dag_id, None)
    _check_dataset(scope, dataset)
    is_open = state == "open"
    with access.reader() as connection:
        contract = catalog.contracts()[dataset or most_rejected(connection, scope)]
        rows, total = quarantined(
            connection, contract, reason=reason, file_id=file_id, shard=shard, is_open=is_open, page=page
        )
        counts = reasons(connection, contract, is_open=is_open)
    dag = load_manifest(contract.domain).dag
    may_run = access.may_run(request, dag)
    return html(
        pages.quarantine(
            scope,
            dag_id,
            contract=contract,
            rows=rows,
            reasons=counts,
            filters={"reason": reason or "", "file_id": file_id, "shard": shard or "", "state": state},
            page=page,
            total=total,
            replay_dag=dag if may_run and not is_on_spark(contract.domain) else None,
            reveal_dag=dag if may_run and access.may_reveal(request) else None,
        )
    )


@router.get("/reveals.html")
def reveals(
    access: CurrentAccess, domain: str | None = None, dag_id: str | None = None, page: PageNumber = 1
) -> Response:
    """List who saw restricted values of rejected records."""
    scope = _scope(domain, dag_id, None)
    with access.reader() as connection:
        found, counted = newest_reveals(connection, scope.datasets, PAGE_ROWS, (page - 1) * PAGE_ROWS, LISTED_ROWS + 1)
    return html(pages.reveals(scope, dag_id, found, page, Total.of(counted)))


def _allowed(access: Access, request: Request, dags: Iterable[str]) -> set[tuple[str, str]]:
    """Return the kinds of actions that the user of a request may take, by DAG."""
    rights = {"request": access.may_run, "answer": access.may_answer}
    return {(kind, dag) for dag in dags for kind, may in rights.items() if may(request, dag)}


def _scope(domain: str | None, dag_id: str | None, run_id: str | None) -> Scope:
    """Return what a request is about. Raises HTTP 404 for an unknown domain, or a DAG that loads no dataset."""
    scope = scope_of(domain, dag_id, run_id)
    if scope is not None:
        return scope
    if domain and not dag_id:
        check_domain(domain)
    raise HTTPException(404, f"The DAG {dag_id} does not load any dataset of Waybill.")


def _check_dataset(scope: Scope, dataset: str | None) -> None:
    """Raise HTTP 404 for a dataset outside the scope."""
    if dataset is not None and dataset not in scope.datasets:
        raise HTTPException(404, f"The dataset {dataset!r} does not exist in {' or '.join(scope.domains)}.")
