"""The ledger: one row for each loaded version of a file, with its books, which must balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Final

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.csv_files import UnfitError
from waybill.files.landed_file import LandedFile
from waybill.files.received_file import ReceivedFile
from waybill.files.spellings import knows_more
from waybill.intake import profile
from waybill.intake.rejected_files import RejectedFileError
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse.connection import one_row
from waybill.warehouse.file_order import order_sql


@dataclass
class Books:
    """The books of a file: its number of rows by outcome. `rows_in` is the sum of the others."""

    rows_in: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    duplicate: int = 0
    stale: int = 0
    filtered: int = 0

    def add_outcomes(self, connection: Connection) -> None:
        """Add the numbers of rows in the temporary table `outcome`."""
        for outcome, rows in connection.execute("select outcome, count(*) from outcome group by outcome").fetchall():
            setattr(self, outcome, getattr(self, outcome) + rows)

    def __str__(self) -> str:
        parts = (f"{getattr(self, name)} {name}" for name in COUNTS[1:])
        return f"{self.rows_in} rows in = " + " + ".join(parts)


COUNTS = tuple(item.name for item in fields(Books))
"""`rows_in`, then the counts of which it is the sum."""


def sums_sql(alias: str) -> sql.Composed:
    """Return the sum of each count, for rows of `waybill.load_file` under an alias."""
    one = sql.SQL("sum({})::bigint as {}")
    return sql.SQL(", ").join(one.format(sql.Identifier(alias, name), sql.Identifier(name)) for name in COUNTS)


def imbalance(counts: Mapping[str, int]) -> int:
    """Return the difference between `rows_in` and the sum of the other counts, which should be 0."""
    return counts["rows_in"] - sum(counts[name] for name in COUNTS[1:])


def predecessor(connection: Connection, contract: Contract, landed: LandedFile) -> tuple[int, str, bool] | None:
    """Return (file_id, sha256, whether the contract reads it alike) of the loaded version of this object, if any.

    The contract does not read it alike if it now filters other rows or knows columns of the file that were unknown.
    """
    row = connection.execute(
        """
        select file_id, sha256, kept_values is not distinct from %s::text[], ignored_columns, brought_columns
        from waybill.load_file
        where dataset = %s and bucket = %s and object_key = %s and status = 'loaded'
        """,
        (contract.kept_values, contract.table, landed.bucket, landed.key),
    ).fetchone()
    if row is None:
        return None
    file_id, sha256, is_filtered_alike, ignored, brought = row
    return file_id, sha256, is_filtered_alike and not knows_more(contract, ignored, brought)


def note_same_content(connection: Connection, file_id: int, received: ReceivedFile) -> None:
    """Record the new version of an object whose content did not change."""
    connection.execute(
        "update waybill.load_file set etag = %s, version_id = %s where file_id = %s",
        (received.content.etag, received.content.version_id, file_id),
    )


def open_file(
    connection: Connection, contract: Contract, received: ReceivedFile, run: Run, replaces: int | None
) -> int:
    """Add a file with empty books, supersede the version that it replaces, and return the file_id."""
    if replaces is not None:
        supersede(connection, replaces)
    landed = received.landed
    (file_id,) = one_row(
        connection,
        """
        insert into waybill.load_file (
          dataset, period, bucket, object_key, version_id, etag, sha256, size_bytes, replaces_file_id,
          contract_sha256, contract_version, code_version, run_id, ignored_columns, brought_columns, kept_values,
          landed_at, name_key, archive_members, ignored_lines
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        returning file_id
        """,
        (
            contract.table,
            landed.period.start,
            landed.bucket,
            landed.key,
            received.content.version_id,
            received.content.etag,
            received.content.sha256,
            received.content.size_bytes,
            replaces,
            contract.sha256,
            contract.version,
            run.code_version,
            run.run_id,
            received.ignored,
            received.brought,
            contract.kept_values,
            landed.landed_at,
            landed.name_key,
            Jsonb([one._asdict() for one in received.archive_members]) if received.archive_members else None,
            Jsonb(dict(received.ignored_lines)) if received.ignored_lines else None,
        ),
    )
    return int(file_id)


def release(connection: Connection, contract: Contract, period: Period, *, but: int) -> str | None:
    """Mark the last loaded file of a period, except one, as superseded, so that the next run loads it again.

    Returns its object key, or None. For snapshots: the history has only the rows of the snapshot that counts.
    """
    row = connection.execute(
        sql.SQL(
            """
            with newest as (
              select f.file_id
              from waybill.load_file as f
              where f.dataset = {dataset} and f.period = {period} and f.status = 'loaded' and f.file_id <> {but}
              order by {newest_first}
              limit 1
            )
            update waybill.load_file as f set status = 'superseded'
            from newest as n where f.file_id = n.file_id
            returning f.file_id, f.object_key
            """
        ).format(
            dataset=sql.Literal(contract.table),
            period=sql.Literal(period.start),
            but=sql.Literal(but),
            newest_first=order_sql(contract, "f", descending=True),
        )
    ).fetchone()
    if row is None:
        return None
    profile.forget(connection, row[0])
    return str(row[1])


def first_released(connection: Connection, contract: Contract, before: date) -> tuple[date, str] | None:
    """Return (start of its period, address) of the first file of periods before a day that `release` has marked.

    Such a file is superseded although no later version of its object is known. Returns None if there is none.
    """
    return connection.execute(
        """
        select f.period, 's3://' || f.bucket || '/' || f.object_key
        from waybill.load_file as f
        where f.dataset = %(dataset)s and f.status = 'superseded' and f.period < %(before)s
          and not exists (
            select from waybill.load_file as n
            where (n.dataset, n.bucket, n.object_key) = (f.dataset, f.bucket, f.object_key) and n.file_id > f.file_id
          )
        order by f.period, f.file_id
        limit 1
        """,
        {"dataset": contract.table, "before": before},
    ).fetchone()


def supersede(connection: Connection, file_id: int) -> None:
    """Mark a version of a file as superseded."""
    profile.forget(connection, file_id)
    connection.execute("update waybill.load_file set status = 'superseded' where file_id = %s", (file_id,))


def close_file(connection: Connection, file_id: int, books: Books) -> None:
    """Write the books of a file and the time of its load. A check constraint fails the load if they do not balance."""
    connection.execute(
        """
        update waybill.load_file
        set rows_in = %(rows_in)s, inserted = %(inserted)s, updated = %(updated)s, unchanged = %(unchanged)s,
          rejected = %(rejected)s, duplicate = %(duplicate)s, stale = %(stale)s, filtered = %(filtered)s,
          seconds = extract(epoch from clock_timestamp() - now())
        where file_id = %(file_id)s
        """,
        {**vars(books), "file_id": file_id},
    )


def move_rejected(connection: Connection, file_id: int, books: Books) -> None:
    """Move the rows that a replay accepted from the file's `rejected` to their outcomes in the replay's books."""
    connection.execute(
        """
        update waybill.load_file
        set rejected = rejected - (%(rows_in)s - %(rejected)s), inserted = inserted + %(inserted)s,
          updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
          duplicate = duplicate + %(duplicate)s, stale = stale + %(stale)s, filtered = filtered + %(filtered)s
        where file_id = %(file_id)s
        """,
        {**vars(books), "file_id": file_id},
    )


def rejected_by_others(
    connection: Connection,
    contract: Contract,
    run: Run,
    files: Sequence[LandedFile],
    *,
    by_this_version: bool = False,
) -> set[tuple[str, str]]:
    """Return the (object key, ETag) pairs of those files of the dataset that other runs rejected.

    With `by_this_version`, without files that only other versions of the contract rejected.
    """
    if not files:
        return set()
    rows = connection.execute(
        """
        select distinct f.object_key, f.etag
        from unnest(%(keys)s::text[], %(etags)s::text[]) as f (object_key, etag)
        inner join waybill.rejected_file as r using (object_key, etag)
        where r.dataset = %(dataset)s and r.run_id is distinct from %(run_id)s
          and (not %(by_this_version)s or r.contract_version is null or r.contract_version = %(version)s)
        """,
        {
            "keys": [file.key for file in files],
            "etags": [file.etag for file in files],
            "dataset": contract.table,
            "run_id": run.run_id,
            "by_this_version": by_this_version,
            "version": contract.version,
        },
    ).fetchall()
    return {(key, etag) for key, etag in rows}


IS_SETTLED: Final = """
(
  r.deleted_at is not null
  or exists (
    select
    from waybill.load_file as f
    where (f.dataset, f.bucket, f.object_key, f.status) = (r.dataset, %(bucket)s, r.object_key, 'loaded')
      and f.loaded_at > r.rejected_at
  )
  or exists (
    select
    from waybill.load_file as f
    where (f.dataset, f.period, f.bucket, f.etag, f.status) = (r.dataset, r.period, %(bucket)s, r.etag, 'loaded')
      and f.loaded_at > r.rejected_at
  )
)
"""
"""Whether a rejected file `r` was deleted, or it, or its content under another key of its period, was loaded later."""


def record_rejected_file(
    connection: Connection,
    contract: Contract,
    landed: LandedFile,
    run: Run,
    error: DataError,
    received: ReceivedFile | None = None,
) -> None:
    """Record a file that was not loaded, in its own transaction.

    The same message for the same version of an object is recorded once, with the newest version of the contract.
    `received` is the file if it could be received.
    """
    broken = error.broken if isinstance(error, RejectedFileError) else []
    brought, ignored = (isinstance(error, UnfitError) and error.columns) or (None, None)
    if received:
        brought, ignored = received.brought, received.ignored
    with connection.transaction():
        connection.execute(
            """
            with known as (
              update waybill.rejected_file
              set contract_version = %(version)s, deleted_at = null
              where object_key = %(key)s and etag = %(etag)s and dataset = %(dataset)s and message = %(message)s
              returning rejected_file_id
            )
            insert into waybill.rejected_file (
              dataset, period, object_key, etag, run_id, message, reasons, contract_version, size_bytes, rows_in,
              brought_columns, ignored_columns
            )
            select
              %(dataset)s, %(period)s, %(key)s, %(etag)s, %(run_id)s, %(message)s, %(reasons)s, %(version)s,
              %(size_bytes)s, %(rows_in)s, %(brought)s, %(ignored)s
            where not exists (select from known)
            """,
            {
                "dataset": contract.table,
                "period": landed.period.start,
                "key": landed.key,
                "etag": landed.etag,
                "run_id": run.run_id,
                "message": str(error),
                "reasons": Jsonb([rule.as_json() for rule in broken]),
                "version": contract.version,
                "size_bytes": landed.size_bytes,
                "rows_in": received.rows_in if received else None,
                "brought": brought,
                "ignored": ignored,
            },
        )


def has_loaded(connection: Connection, dataset: str, run: Run) -> bool:
    """Return whether a run has loaded a file of a dataset, in any of its tries, among the newest 10,000 files."""
    found = connection.execute(
        """
        select
        from waybill.load_file
        where (dataset, run_id) = (%s, %s) and file_id > (select max(file_id) - 10000 from waybill.load_file)
        limit 1
        """,
        (dataset, run.run_id),
    ).fetchone()
    return found is not None
