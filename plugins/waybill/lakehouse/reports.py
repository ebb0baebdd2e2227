"""Reports that Spark computes: the request for them, and their rows as tables of PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from waybill.contracts import Contract, load_domain
from waybill.contracts.domains import load_manifest
from waybill.contracts.locations import bucket_and_key, domain_of, read_sql, report_files
from waybill.derived.build import BuildInputs, build_from_values, known_files, report_contracts, sha256
from waybill.derived.refresh import Derived, changed_inputs, derived_tables, report_builds, stale_days, stale_periods
from waybill.errors import DataError
from waybill.lakehouse import described
from waybill.lakehouse.checks import checks_due, queries_of, record_checks
from waybill.lakehouse.exchange import (
    REQUEST,
    Inputs,
    Query,
    ReportsRequest,
    ReportsResult,
    beside,
    receive_request,
    receive_result,
    send,
)
from waybill.period import Period
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.connection import one_row
from waybill.warehouse.evolution import ensure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


def prepare_reports(
    connection: Connection, s3: S3Client, domain: str, run: Run, scratch: str, period: Period | None = None
) -> str | None:
    """Write the request for what a run computes by Spark; returns its address, or None if there is nothing to compute.

    With the semantics `current` these are the stale periods of every report, else the reports as of the end of
    `period`. The checks of the datasets cover `period`, unless all have passed since the last load; without a period,
    they cover the days whose reports are stale. The inputs are captured now: what is loaded meanwhile makes a period
    stale again. `scratch` is the address of a folder.
    """
    contracts = load_domain(domain)
    (requested_at,) = one_row(connection, "select clock_timestamp()")
    with connection.transaction():
        for contract in report_contracts(domain).values():
            ensure(connection, contract)
    checked = [period] if period else stale_days(connection, domain)
    if period and not checks_due(connection, contracts.values(), period):
        checked = []
    queries = [*_stale(connection, domain)] if load_manifest(domain).semantics == "current" else []
    if period and load_manifest(domain).semantics == "as of":
        queries = [*_as_of(connection, domain, period)]
    request = ReportsRequest(
        domain=domain,
        requested_at=requested_at,
        lake=described.lake(s3),
        timezone=settings().timezone,
        scratch=scratch,
        datasets=described.datasets(connection, domain),
        checks=tuple(queries_of(contracts.values(), checked)),
        queries=tuple(queries),
    )
    if not request.checks and not request.queries:
        return None
    address = f"{scratch}/{REQUEST}"
    send(s3, address, request)
    log.info("%d checks and %d periods of reports for Spark, for %s", len(request.checks), len(queries), run.run_id)
    return address


def _stale(connection: Connection, domain: str) -> Iterator[Query]:
    """Yield the stale periods of the reports of a domain."""
    for table in derived_tables(domain):
        for period in stale_periods(connection, domain, table):
            if inputs := changed_inputs(connection, table, period):
                yield _query(table.contract, table.text, period, inputs)


def _as_of(connection: Connection, domain: str, period: Period) -> Iterator[Query]:
    """Yield the reports of a domain as of the end of a period."""
    texts = {path.stem: read_sql(path) for path in report_files(domain)}
    for name, contract in report_contracts(domain).items():
        if name in texts and period.cadence in contract.cadences:
            yield _query(contract, texts[name], period, known_files(connection, domain, period, texts[name]))


def _query(contract: Contract, text: str, period: Period, inputs: BuildInputs) -> Query:
    return Query(
        report=contract.name,
        cadence=period.cadence,
        period=period.start,
        text=text,
        columns=_columns(contract),
        inputs=Inputs(file_ids=tuple(inputs.file_ids), tables=inputs.tables, changes=inputs.changes),
    )


def _columns(contract: Contract) -> dict[str, str]:
    return {column.name: column.physical_type for column in contract.columns}


def record_reports(
    connection: Connection, s3: S3Client, address_of_result: str, domain: str, run: Run
) -> dict[str, list[str]]:
    """Record what Spark has computed: first the checks of datasets, then each period of a report in one transaction.

    Returns the periods whose content changed, by table. A failed check of severity error stops before the reports.
    Periods that fail do not keep the others from being built: they stay stale, and `DataError` names them at the end.
    Recording the same result again changes nothing.
    """
    request = receive_request(s3, beside(address_of_result, REQUEST))
    result = receive_result(s3, address_of_result)
    assert isinstance(request, ReportsRequest)
    assert isinstance(result, ReportsResult)
    record_checks(connection, load_domain(domain).values(), result.checks, run, request.requested_at)
    asked = {(query.report, query.cadence, query.period): query for query in request.queries}
    contracts = report_contracts(domain)
    is_current = load_manifest(domain).semantics == "current"
    tables = {one.contract.name: one for one in derived_tables(domain)} if is_current else {}
    rebuilt: dict[str, list[str]] = {}
    failures = []
    for computed in result.reports:
        query = asked[computed.report, computed.cadence, computed.period]
        contract = contracts.get(query.report)
        if contract is None or _columns(contract) != query.columns:
            log.warning("%s: the contract has changed since the request; the next run builds it", query.report)
            continue
        period = Period.of(query.cadence, query.period)
        if computed.error:
            said = computed.error.rstrip(".")
            failures.append(f"the SQL of {contract.table} {period}: {said}. Correct the SQL.")
            continue
        if is_current:
            find_inputs = partial(_unbuilt_changes, connection, tables[query.report], query, period)
        else:
            find_inputs = partial(_unbuilt_files, connection, contract, query, period)
        rows = _rows(s3, computed.address, contract.names)
        try:
            built = build_from_values(connection, contract, find_inputs, rows, period, run, sha256(query.text))
        except DataError as error:
            failures.append(str(error))
            continue
        if built.is_changed:
            rebuilt.setdefault(contract.table, []).append(period.key)
    report_builds(rebuilt, failures)
    return rebuilt


def _unbuilt_changes(connection: Connection, table: Derived, query: Query, period: Period) -> BuildInputs | None:
    """Return the inputs that the request has, or None if another run has built the period from the same or later ones.

    The number of changes only grows.
    """
    if changed_inputs(connection, table, period) is None:
        return None
    later = connection.execute(
        """
        select
        from waybill.publication
        where report = %s and cadence = %s and period = %s and changes_seen > %s
        """,
        (table.contract.table, period.cadence, period.start, query.inputs.changes),
    ).fetchone()
    return _inputs(query) if later is None else None


def _unbuilt_files(connection: Connection, contract: Contract, query: Query, period: Period) -> BuildInputs | None:
    """Return the inputs that the request has, or None if other files count by now and another run has built from them.

    For a report as of the end of the period. Raises `DataError` if no other run has built it.
    """
    known = known_files(connection, domain_of(contract.domain), period, query.text)
    if known == _inputs(query):
        return known
    built = connection.execute(
        """
        select
        from waybill.publication
        where report = %s and cadence = %s and period = %s and (file_ids, changes_seen) = (%s::integer[], %s)
        """,
        (contract.table, period.cadence, period.start, known.file_ids, known.changes),
    ).fetchone()
    if built is None:
        raise DataError(
            f"{contract.table} {period}: files were loaded or replaced after the request to compute it. Nothing was "
            "built. Clear the run from prepare_reports on."
        )
    log.info("%s %s: another run has built it from later files", contract.table, period)
    return None


def _inputs(query: Query) -> BuildInputs:
    return BuildInputs([*query.inputs.file_ids], query.inputs.tables, query.inputs.changes)


def _rows(s3: S3Client, address: str | None, names: Sequence[str]) -> Iterator[list[Any]]:
    """Yield the rows of a Parquet file, with the values in the order of the names; none without an address."""
    import pyarrow.parquet as pq

    if address is None:
        return
    bucket, key = bucket_and_key(address)
    with scratch_folder() as folder:
        path = folder / "rows.parquet"
        s3.download_file(bucket, key, str(path))
        for batch in pq.ParquetFile(path).iter_batches(columns=[*names]):
            columns = [batch.column(name).to_pylist() for name in names]
            yield from map(list, zip(*columns, strict=True))
