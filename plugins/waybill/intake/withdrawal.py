"""Loaded files whose objects are gone from the bucket: find them, withdraw their rows, or accept that they stay."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection, sql
from psycopg.rows import class_row

from waybill.contracts import Contract
from waybill.contracts.spark_engine import require_warehouse
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.formatting import count
from waybill.intake import ledger, profile
from waybill.intake.comparison import SeenFiles
from waybill.intake.deliveries import merge_deliveries
from waybill.intake.load import is_overruled, lock_table
from waybill.intake.merge import withdraw_rows
from waybill.period import Period
from waybill.settings import settings
from waybill.warehouse import change_log
from waybill.warehouse.evolution import ensure
from waybill.warehouse.history import apply_snapshot
from waybill.warehouse.horizons import require_after_horizon
from waybill.warehouse.schema import columns_sql, definitions, relation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_LOGGED: Final = 100
"""How many missing files the log names."""

_LOADED = """
select f.file_id, f.dataset, f.period, f.bucket, f.object_key, f.rows_in, f.gone, f.loaded_at
from waybill.load_file as f
where f.status = 'loaded'
"""


@dataclass(frozen=True)
class LoadedFile:
    """A loaded file of the ledger."""

    file_id: int
    dataset: str
    """`schema.name` of its table."""
    period: date
    bucket: str
    object_key: str
    rows_in: int
    gone: str | None
    """`noticed`, `accepted` or `expired` if a run has found that its object is gone from the bucket."""
    loaded_at: datetime

    @property
    def uri(self) -> str:
        """Return the address with which messages name the file."""
        return f"s3://{self.bucket}/{self.object_key}"

    @property
    def advice(self) -> str:
        """Return the message about a file whose object is gone, with the next step."""
        return (
            f"was loaded and is gone from the bucket: {self.uri} (file {self.file_id}, {self.rows_in} rows). "
            f"To remove its rows, run `waybill withdraw {self.file_id}`; to keep them, add `--accept`"
        )


def _loaded(connection: Connection, condition: sql.Composable, parameters: Mapping[str, Any]) -> list[LoadedFile]:
    query = sql.SQL("{} and {} order by f.dataset, f.period, f.object_key").format(sql.SQL(_LOADED), condition)
    return connection.cursor(row_factory=class_row(LoadedFile)).execute(query, parameters).fetchall()


_WITHIN = sql.SQL(
    """
    f.dataset = %(dataset)s and f.bucket = %(bucket)s
    and f.period between coalesce(%(first)s::date, f.period) and coalesce(%(last)s::date, f.period)
    """
)


_UNSEEN = sql.SQL("f.file_id <= %(newest)s and get_bit(%(seen)s, f.file_id) = 0")
_SEEN = sql.SQL("f.file_id <= %(newest)s and get_bit(%(seen)s, f.file_id) = 1")


def gone_files(
    connection: Connection, contract: Contract, seen: SeenFiles, first: Period | None, last: Period | None
) -> list[LoadedFile]:
    """Return the loaded files of the periods (None: any) whose objects a listing of these periods does not have."""
    condition = sql.SQL("(f.gone is null or f.gone = 'noticed') and not ({})").format(_has_expired(contract))
    return _unseen(connection, contract, seen, first, last, condition)


def _has_expired(contract: Contract) -> sql.Composable:
    """Return the condition that the bucket may have removed the object of a file by the retention of raw files."""
    if contract.raw_retention is None:
        return sql.SQL("false")
    kept_from = contract.raw_retention.kept_from(datetime.now(UTC))
    return sql.SQL("{} < {}").format(change_log.local_day_sql(sql.Identifier("f", "landed_at")), sql.Literal(kept_from))


def _unseen(
    connection: Connection,
    contract: Contract,
    seen: SeenFiles,
    first: Period | None,
    last: Period | None,
    condition: sql.Composable,
) -> list[LoadedFile]:
    found = _loaded(
        connection, sql.SQL(" and ").join([_WITHIN, _UNSEEN, condition]), _bounds(contract, seen, first, last)
    )
    return [file for file in found if file.object_key not in seen.pending]


def _bounds(contract: Contract, seen: SeenFiles, first: Period | None, last: Period | None) -> dict[str, Any]:
    return {
        "dataset": contract.table,
        "bucket": settings().raw_bucket,
        "first": first.start if first else None,
        "last": last.start if last else None,
        "newest": seen.newest,
        "seen": bytes(seen.bits),
    }


def record_gone(
    connection: Connection, contract: Contract, seen: SeenFiles, first: Period | None, last: Period | None
) -> None:
    """Record in the ledger which loaded files are gone from the bucket, and log newly missing ones.

    `seen` are the files that a whole listing of the periods `first` to `last` (None: any) has. Files that the retention
    of raw files has removed are expired, which is no news.
    """
    expired = _unseen(
        connection, contract, seen, first, last, sql.SQL("f.gone is null and {}").format(_has_expired(contract))
    )
    _mark(connection, expired, "expired")
    missing = _unseen(connection, contract, seen, first, last, sql.SQL("f.gone is null"))
    if not missing:
        return
    for file in missing[:_LOGGED]:
        log.warning("%s: %s", contract.table, file.advice)
    if len(missing) > _LOGGED:
        log.warning("%s: %s are gone; the first %d are named", contract.table, count(len(missing), "file"), _LOGGED)
    _mark(connection, missing, "noticed")


def _mark(connection: Connection, files: Sequence[LoadedFile], gone: str) -> None:
    if files:
        connection.execute(
            "update waybill.load_file set gone = %s where file_id = any(%s) and status = 'loaded'",
            (gone, [file.file_id for file in files]),
        )


def record_returned(connection: Connection, contract: Contract, seen: SeenFiles) -> None:
    """Record in the ledger which files that were gone from the bucket a listing has."""
    connection.execute(
        sql.SQL(
            "update waybill.load_file as f set gone = null "
            "where f.gone is not null and f.status = 'loaded' and {} and {}"
        ).format(_WITHIN, _SEEN),
        _bounds(contract, seen, None, None),
    )


def noticed(connection: Connection, domain: str) -> list[LoadedFile]:
    """Return the loaded files of a domain that are recorded as gone from the bucket and not accepted."""
    condition = sql.SQL("f.gone = 'noticed' and split_part(f.dataset, '.', 1) = %(domain)s")
    return _loaded(connection, condition, {"domain": domain})


def find_loaded(connection: Connection, name: str, domain: str | None = None) -> LoadedFile:
    """Return the loaded file with an id, a key, an address or a last part of a key.

    The id comes first, since any file may be named like a number. Raises `DataError` unless there is exactly one.
    """
    condition = sql.SQL(
        """
        (%(domain)s::text is null or split_part(f.dataset, '.', 1) = %(domain)s)
        and %(name)s in (
          f.file_id::text, f.object_key, 's3://' || f.bucket || '/' || f.object_key,
          regexp_replace(f.object_key, '^.*/', '')
        )
        """
    )
    found = _loaded(connection, condition, {"domain": domain, "name": name})
    found = [file for file in found if str(file.file_id) == name] or found
    if not found:
        raise DataError(
            f"no loaded file has the id, key or name {name!r}"
            + (f" in {domain}" if domain else "")
            + ". `waybill books` lists the files that are gone"
        )
    if len(found) > 1:
        listed = ", ".join(f"{file.file_id} ({file.dataset}, {file.object_key})" for file in found[:10])
        raise DataError(f"{len(found)} loaded files are named {name!r}: {listed}. Use the id of one of them")
    return found[0]


def is_there(s3: S3Client, bucket: str, key: str) -> bool:
    """Return whether the bucket has the object."""
    from botocore.exceptions import ClientError

    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return False
        raise
    return True


def require_gone(s3: S3Client, file: LoadedFile) -> None:
    """Raise `DataError` if the file's object is in the bucket."""
    if is_there(s3, file.bucket, file.object_key):
        raise DataError(
            f"{file.uri} is still in the bucket, so the next run would load it again. Delete the object first, or "
            f"replace it with the right content under the same name, which replaces the rows."
        )


def accept(connection: Connection, file: LoadedFile) -> None:
    """Accept that the rows of a file stay although its object is gone. It is then no longer listed."""
    connection.execute("update waybill.load_file set gone = 'accepted' where file_id = %s", (file.file_id,))


@dataclass(frozen=True)
class Withdrawn:
    """The result of a withdrawal."""

    days: list[date]
    """The business days whose content changed, in order. For a snapshot, the first day of its period."""
    again: str | None = None
    """The key of another snapshot of the same period, which counts now and is loaded again by the next run."""


def withdraw(connection: Connection, s3: S3Client, contract: Contract, file: LoadedFile) -> Withdrawn:
    """Remove the rows of a loaded file, as if it had never been loaded, in one transaction.

    Older rows of its keys become current again. The ledger keeps the file and its books as withdrawn, and its
    quarantined rows are no longer open. Raises `DataError` if the object is in the bucket, the
    file is no longer loaded, or the object of a snapshot that would count instead is gone, too.
    """
    require_gone(s3, file)
    require_warehouse(
        contract,
        "they cannot be withdrawn",
        "Upload an object with the header alone under the same name, which replaces them. To keep them, add `--accept`",
    )
    period = Period.of(contract.cadence, file.period)
    with connection.transaction():
        lock_table(connection, contract)
        require_after_horizon(
            connection,
            contract,
            period.start,
            f"{file.uri} cannot be withdrawn",
            f"To keep its rows, run `waybill withdraw {file.file_id} --accept`",
        )
        ensure(connection, contract)
        row = connection.execute(
            """
            update waybill.load_file
            set status = 'withdrawn', gone = null
            where file_id = %s and status = 'loaded'
            returning landed_at
            """,
            (file.file_id,),
        ).fetchone()
        if row is None:
            raise DataError(f"file {file.file_id}, {file.uri}, is no longer loaded: it was replaced or withdrawn")
        profile.forget(connection, file.file_id)
        connection.execute(
            sql.SQL("create temp table incoming ({}, _record integer not null) on commit drop").format(
                definitions(contract)
            )
        )
        again = None
        if contract.lands_any_time:
            days = merge_deliveries(connection, contract, file_id=file.file_id, period=period, replaces=file.file_id)
            connection.execute("drop table outcome")
        elif contract.is_merged:
            days = withdraw_rows(connection, contract, file.file_id)
        else:
            landed = LandedFile(file.bucket, file.object_key, "", 0, period, row[0])
            days, again = _withdraw_snapshot(connection, contract, landed, file.file_id)
            if again is not None and not is_there(s3, file.bucket, again):
                raise DataError(
                    f"{file.uri} cannot be withdrawn yet: s3://{file.bucket}/{again} of the same period would count "
                    f"instead, but it is gone from the bucket, too. Withdraw that file first."
                )
        change_log.record(connection, contract.table, days, file.file_id)
        connection.execute("drop table incoming")
    log.info("%s: withdrawn, %d days changed", file.uri, len(days))
    return Withdrawn(sorted(days), again)


def _withdraw_snapshot(
    connection: Connection, contract: Contract, landed: LandedFile, file_id: int
) -> tuple[set[date], str | None]:
    """Extend the state before a snapshot to the next one. Return the changed days and the key to load again, if any."""
    if is_overruled(connection, contract, landed):  # its rows are not in the history
        return set(), None
    again = ledger.release(connection, contract, landed.period, but=file_id)
    connection.execute(
        sql.SQL(
            """
            insert into incoming ({columns}, _record)
            select {columns}, row_number() over ()
            from {table}
            where valid_from < {start} and valid_to >= {start}
            """
        ).format(columns=columns_sql(contract.names), table=relation(contract), start=sql.Literal(landed.period.start))
    )
    differs = apply_snapshot(connection, contract, file_id=file_id, period=landed.period, is_whole=True)
    connection.execute("drop table outcome")
    return ({landed.period.start} if differs else set()), again
