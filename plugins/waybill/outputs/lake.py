"""The processed zone: one partition of an Iceberg table for each day, for engines other than the warehouse."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.spark_engine import require_warehouse
from waybill.errors import DataError
from waybill.outputs import iceberg_files, iceberg_tables
from waybill.outputs.export import copy_csv, write_parquet
from waybill.run import Run
from waybill.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.connection import advisory_lock, one_row
from waybill.warehouse.horizons import horizon_of
from waybill.warehouse.schema import columns_sql, relation

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

log = logging.getLogger(__name__)

COMMIT_DAYS = 31
"""How many days one commit replaces at most. A run that dies repeats at most the work of one commit."""
_HASH_CHARACTERS = 32


@dataclass(frozen=True)
class Day:
    """The rows of a day in the lake."""

    row_count: int
    content_sha256: str
    file_ids: list[int]
    snapshot_id: int | None
    """The snapshot that wrote them; None if it has expired, or if the lake never had rows of the day."""


_STALE_DAYS = """
select c.day, c.changes
from waybill.table_day as c
left join waybill.processed_day as p on p.dataset = c.table_name and p.day = c.day
where c.table_name = %(dataset)s and p.changes_seen is distinct from c.changes
order by c.day
"""
_NOTE_WRITTEN = """
insert into waybill.processed_day (dataset, day, row_count, changes_seen) values (%s, %s, %s, %s)
on conflict (dataset, day) do update
set row_count = excluded.row_count, changes_seen = excluded.changes_seen, written_at = now()
"""
_NOTE_COMMIT = """
insert into waybill.lake_commit (
  table_name, day, snapshot_id, row_count, content_sha256, file_ids, run_id, code_version
)
values (%s, %s, %s, %s, %s, %s, %s, %s)
on conflict (table_name, day, snapshot_id) do nothing
"""


def lock_of(contract: Contract) -> str:
    """Return the name of the lock of those who change the table of a contract in the lake."""
    return f"processed {contract.table}"


def kept_from(contract: Contract, now: datetime) -> date | None:
    """Return the first day that the lake keeps of a table; None without a retention in the contract."""
    return contract.retention.kept_from(now) if contract.retention else None


def _written_from(connection: Connection, contract: Contract) -> date | None:
    """Return the first day that is written: before its horizon, a dataset no longer has all rows of a day."""
    horizon = None if contract.load_mode == "merge" else horizon_of(connection, contract)
    return max(filter(None, (kept_from(contract, datetime.now(UTC)), horizon)), default=None)


def write_changed_days(
    connection: Connection, s3: S3Client, catalog: Catalog, contracts: Iterable[Contract], run: Run
) -> dict[str, dict[date, int]]:
    """Write the stale days of each table to the lake; returns their numbers of rows by table and day.

    A day is stale if files were delivered for it, or if its rows changed, since it was written. Days before the
    retention of the contract are not written. `connection` is in autocommit mode. If a run dies, the days stay stale
    and the next run writes them. All days of a table are stale if the catalog has lost it.
    """
    written = {}
    for contract in contracts:
        require_warehouse(contract, "there is nothing to copy", "Remove the task that writes the lake from the DAG")
        with advisory_lock(connection, lock_of(contract)):
            if iceberg_tables.needs_all_days(catalog, contract):
                connection.execute("delete from waybill.processed_day where dataset = %s", (contract.table,))
            # Count changes before reading rows: a change in between makes the day stale again.
            stale: dict[date, int] = dict(connection.execute(_STALE_DAYS, {"dataset": contract.table}).fetchall())
            kept = _written_from(connection, contract)
            former = [day for day in stale if kept and day < kept]
            if former:
                log.info(
                    "%s: %d changed days before %s are not written to the lake, by the retention of the contract",
                    *(contract.table, len(former), kept),
                )
                stale = {day: changes for day, changes in stale.items() if kept and day >= kept}
            rows: dict[date, int] = {}
            for days in _write(connection, s3, catalog, contract, stale, run):
                with connection.transaction():
                    _note(connection, contract, days, stale, run)
                rows |= {day: one.row_count for day, one in days.items()}
        written[contract.table] = rows
    return written


def _note(
    connection: Connection, contract: Contract, days: Mapping[date, Day], changes: Mapping[date, int], run: Run
) -> None:
    cursor = connection.cursor()
    cursor.executemany(_NOTE_WRITTEN, [(contract.table, day, one.row_count, changes[day]) for day, one in days.items()])
    commits = [
        (contract.table, day, one.snapshot_id, one.row_count, one.content_sha256, one.file_ids, run.run_id)
        for day, one in days.items()
        if one.snapshot_id is not None
    ]
    cursor.executemany(_NOTE_COMMIT, [(*commit, run.code_version) for commit in commits])


def write_days(
    connection: Connection, s3: S3Client, catalog: Catalog, contract: Contract, days: Iterable[date], run: Run
) -> dict[date, Day]:
    """Write the rows of some calendar days to the lake; returns what it holds of each day.

    A day of a merged dataset has the rows whose period column falls on it in the business time zone. A day of a
    snapshot dataset has the rows that were current at its end. A day of a derived table has the rows of its period. A
    day without rows has no file. Days with the same rows as in the lake are not written again. Only one run at a time
    writes a table, so a day never misses rows that were committed before.

    `connection` is in autocommit mode. Raises `DataError` for a table without days, and `SettingsError` if the key for
    restricted columns is missing.
    """
    found: dict[date, Day] = {}
    with advisory_lock(connection, lock_of(contract)):
        for some in _write(connection, s3, catalog, contract, days, run):
            found |= some
    return found


def _write(
    connection: Connection, s3: S3Client, catalog: Catalog, contract: Contract, days: Iterable[date], run: Run
) -> Iterator[dict[date, Day]]:
    """Write days in commits of at most `COMMIT_DAYS` days; yields what the lake holds after each commit."""
    table, ordered = iceberg_tables.ensure_table(catalog, contract), sorted(set(days))
    with scratch_folder() as folder:
        writer = _Writer(connection, s3, contract, run, table, folder / "day.parquet")
        for start in range(0, len(ordered), COMMIT_DAYS):
            yield writer.replace(ordered[start : start + COMMIT_DAYS])


class _Writer:
    """Writes days of one table, each by way of the same scratch file."""

    def __init__(
        self, connection: Connection, s3: S3Client, contract: Contract, run: Run, table: Table, scratch: Path
    ) -> None:
        self._connection, self._s3, self._contract, self._run = connection, s3, contract, run
        self._table, self._scratch = table, scratch
        self._schema = iceberg_files.parquet_schema(table, contract)

    def replace(self, days: Iterable[date]) -> dict[date, Day]:
        """Replace the days whose rows differ from those in the lake, in one commit."""
        found: dict[date, Day] = {}
        changed: dict[date, Day] = {}
        removed: list[DataFile] = []
        added: list[DataFile] = []
        for day, there in iceberg_files.files_of(self._table, days).items():
            with self._connection.transaction():
                one = self._read(day)
            if _is_in(there, one):
                found[day] = replace(one, snapshot_id=iceberg_files.snapshot_of(self._table, day, one.content_sha256))
                continue
            changed[day] = one
            removed += there
            if one.row_count:
                label = one.content_sha256[:_HASH_CHARACTERS]
                added.append(iceberg_files.upload(self._table, self._s3, self._contract, day, self._scratch, label))
        if changed:
            file_ids = (number for one in changed.values() for number in one.file_ids)
            hashes = {day: one.content_sha256 for day, one in changed.items()}
            summary = iceberg_files.summary_of(self._run, hashes, file_ids)
            snapshot = iceberg_files.replace_files(self._table, changed, removed, added, summary)
            log.info(
                "%s: snapshot %d replaced %d days by %d files", self._contract.table, snapshot, len(changed), len(added)
            )
            found |= {day: replace(one, snapshot_id=snapshot) for day, one in changed.items()}
        return dict(sorted(found.items()))

    def _read(self, day: date) -> Day:
        """Write the rows of a day to the scratch file.

        The hash is that of the columns and of the rows as CSV, so it does not depend on the version of the writer.
        """
        digest = hashlib.sha256("\n".join(f"{field.name} {field.type}" for field in self._schema).encode())

        def hashed() -> Iterator[bytes]:
            order = columns_sql(self._contract.row_key)
            rows = sql.SQL("{} order by {}").format(_rows_of(self._contract, day), order)
            for piece in copy_csv(self._connection, self._contract, rows):
                digest.update(piece)
                yield piece

        with self._scratch.open("wb") as file:
            rows = write_parquet(hashed(), self._schema, file, day)
        return Day(rows, digest.hexdigest(), _file_ids(self._connection, self._contract, day), None)


def _is_in(files: list[DataFile], day: Day) -> bool:
    """Return whether the files have the rows of a day: no file for no rows, else one whose name has their hash."""
    if not day.row_count or len(files) != 1:
        return not day.row_count and not files
    return f"-{day.content_sha256[:_HASH_CHARACTERS]}-" in files[0].file_path.rpartition("/")[2]


def _rows_of(contract: Contract, day: date) -> sql.Composed:
    following = day + timedelta(days=1)
    if contract.load_mode == "snapshot":
        return sql.SQL("from {} where valid_from < {following} and valid_to >= {following}").format(
            relation(contract), following=sql.Literal(following)
        )
    if contract.day_column is None:
        raise DataError(
            f"{contract.table} has load mode {contract.load_mode} and no column for days: the lake needs days"
        )
    is_instant = contract.has_instants(contract.day_column)
    bound = sql.SQL("{}::timestamp at time zone {}" if is_instant else "{}")
    zone = sql.Literal(settings().timezone)
    return sql.SQL("from {} where {column} >= {} and {column} < {}").format(
        relation(contract),
        bound.format(sql.Literal(day), zone),
        bound.format(sql.Literal(following), zone),
        column=sql.Identifier(contract.day_column),
    )


def _file_ids(connection: Connection, contract: Contract, day: date) -> list[int]:
    """Return the files that the rows of a day came from, in order."""
    if contract.is_dataset:
        query = sql.SQL("select array(select distinct _file_id {} order by 1)").format(_rows_of(contract, day))
        return list(one_row(connection, query)[0])
    found = connection.execute(
        "select file_ids from waybill.publication where report = %s and cadence = 'day' and period = %s",
        (contract.table, day),
    ).fetchone()
    return list(found[0]) if found else []
