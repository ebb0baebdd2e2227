"""Write the request of an intake: the files that have landed and are not in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from waybill.contracts import Contract, ContractError, load_domain, loading_order
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.formatting import count
from waybill.intake.comparison import Comparison, compare
from waybill.intake.ingest import record_misplaced
from waybill.intake.landing import Listing, in_order, list_pages, with_first_landing
from waybill.intake.withdrawal import record_gone, record_returned
from waybill.lakehouse import described, tables
from waybill.lakehouse.exchange import REQUEST, IntakeRequest, Landed, Part, send
from waybill.ops.spark_support import unsupported_domain
from waybill.period import Period
from waybill.run import Run
from waybill.settings import settings
from waybill.warehouse.evolution import ensure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog

log = logging.getLogger(__name__)


def prepare_intake(
    connection: Connection,
    s3: S3Client,
    catalog: Catalog,
    domain: str,
    period: Period,
    run: Run,
    scratch: str,
    *,
    names: Collection[str] | None = None,
) -> str | None:
    """Write the request to load the pending files of the period and of all earlier periods; return its address.

    Returns None if no file is pending. `names` limits the datasets. `scratch` is the address of an empty folder for the
    request and its result. The tables of the lake are created, or changed to those of the contracts. All files of a
    dataset are pending if its tables have lost the recorded rows. Objects whose folders name no period are recorded as
    rejected files, and the run fails with them after its files are loaded. Raises `ContractError` if the domain has
    what Spark cannot do.
    """
    _check_support(domain)
    contracts, parts, rejected = load_domain(domain), list[Part](), list[str]()
    datasets = described.datasets(connection, domain)
    for name in loading_order(domain):
        contract = contracts[name]
        with connection.transaction():
            ensure(connection, contract)
        tables.ensure_tables(catalog, contract)
        recorded = datasets[name].snapshot
        datasets[name] = described.found(catalog, datasets[name])
        is_lost = recorded is not None and datasets[name].snapshot is None
        if names is not None and name not in names:
            continue
        todo, problems = _pending(connection, s3, contract, period, run, is_lost=is_lost)
        rejected += problems
        parts += sorted(_parts(connection, contract, todo), key=lambda part: part.period)
    if not parts:
        if rejected:
            raise DataError("\n".join(rejected))
        return None
    request = IntakeRequest(
        domain=domain,
        lake=described.lake(s3),
        timezone=settings().timezone,
        max_unpack_ratio=settings().max_unpack_ratio,
        duckdb_memory_limit=settings().duckdb_memory_limit,
        scratch=scratch,
        run_id=run.run_id or "",
        code_version=run.code_version,
        datasets=datasets,
        parts=tuple(parts),
        rejected=tuple(rejected),
    )
    send(s3, f"{scratch}/{REQUEST}", request)
    return f"{scratch}/{REQUEST}"


def _check_support(domain: str) -> None:
    """Raise `ContractError` if the domain has what Spark cannot do."""
    if problems := unsupported_domain(domain):
        raise ContractError("\n".join(problems))


def list_pending(
    connection: Connection, s3: S3Client, domain: str, period: Period, *, names: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the files that a run of the period would load, by object key, and the objects that it would reject.

    `names` limits the datasets. Nothing is written. The files are not read: that takes Spark. Raises `ContractError`
    as `prepare_intake` does.
    """
    _check_support(domain)
    found: dict[str, dict[str, Any]] = {}
    for name, contract in load_domain(domain).items():
        if names is not None and name not in names:
            continue
        compared, again = _compare(connection, s3, contract, period)
        found |= {one.file.key: {"file_rejected": one.message} for one in compared.misplaced}
        for file in (*compared.todo, *again):
            found[file.key] = {"dataset": contract.table, "period": file.period.key, "size_bytes": file.size_bytes}
    log.info("%s %s: a run would load or reject %s", domain, period, count(len(found), "object"))
    return found


def _pending(
    connection: Connection, s3: S3Client, contract: Contract, period: Period, run: Run, *, is_lost: bool
) -> tuple[list[LandedFile], list[str]]:
    """Return the files to load in their order, and the messages about rejected objects."""
    compared, again = _compare(connection, s3, contract, period, is_lost=is_lost)
    record_gone(connection, contract, compared.seen, None, period)
    record_returned(connection, contract, compared.seen)
    log.info(
        "%s %s: %d of %d landed files are new or changed; %d loaded files are loaded again",
        contract.table,
        period,
        len(compared.todo),
        compared.landed.total(),
        len(again),
    )
    rejected = record_misplaced(connection, contract, compared.misplaced, run, period)
    todo = in_order(contract, [*compared.todo, *again])
    return with_first_landing(s3, contract, todo, compared.landed), rejected


def _compare(
    connection: Connection, s3: S3Client, contract: Contract, period: Period, *, is_lost: bool = False
) -> tuple[Comparison, list[LandedFile]]:
    """Return the landed files of the periods up to one, compared with the ledger, and the loaded ones to load again.

    A file is loaded again if rows of it are in quarantine and the contract has another version since, which on Spark
    takes the place of a replay, or if its rows were lost.
    """
    rows = connection.execute(
        """
        select f.object_key
        from waybill.load_file as f
        where f.dataset = %s and f.bucket = %s and f.status = 'loaded'
          and (%s or f.contract_version <> %s and exists (
            select from waybill.quarantine as q where q.file_id = f.file_id and q.resolved_as is null
          ))
        """,
        (contract.table, settings().raw_bucket, is_lost, contract.version),
    ).fetchall()
    repeated, again = {key for (key,) in rows}, list[LandedFile]()
    if is_lost:
        log.warning(
            "%s: the lake has lost the recorded rows, so all %d files are loaded again", contract.table, len(rows)
        )

    def pages() -> Iterator[Listing]:
        last = None if is_lost else period  # the lost rows of later periods, too
        for page in list_pages(s3, settings().raw_bucket, contract, None, last):
            again.extend(file for file in page.landed if file.key in repeated)
            yield page

    compared = compare(connection, contract, pages())
    changed = {file.key for file in compared.todo}
    return compared, [file for file in again if file.key not in changed]


def _parts(connection: Connection, contract: Contract, todo: list[LandedFile]) -> Iterator[Part]:
    """Yield the files by period, each with the loaded version of its object."""
    rows = connection.execute(
        """
        select object_key, etag
        from waybill.load_file
        where dataset = %s and bucket = %s and status = 'loaded' and object_key = any(%s)
        """,
        (contract.table, settings().raw_bucket, [file.key for file in todo]),
    ).fetchall()
    loaded: dict[str, str] = dict(rows)
    for period, files in groupby(todo, key=lambda file: file.period):
        landed = [
            Landed(
                bucket=file.bucket,
                key=file.key,
                etag=file.etag,
                size_bytes=file.size_bytes,
                landed_at=file.landed_at,
                replaces_etag=loaded.get(file.key),
            )
            for file in files
        ]
        yield Part(dataset=contract.name, period=period.start, files=tuple(landed))
