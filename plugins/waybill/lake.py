"""The processed zone: each day of a dataset as one Parquet file, for engines other than the warehouse."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from waybill import zones
from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.export import PARQUET, copy_csv, put, remove, write_parquet
from waybill.intake.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.schema import as_of_function, columns_sql, relation

log = logging.getLogger(__name__)


def write_days(connection: Connection, s3: Any, contract: Contract, days: Iterable[date]) -> dict[date, int]:
    """Make the files of these calendar days what the warehouse holds; returns each day's number of rows.

    A merged dataset's day has the rows whose period column falls on it in the business time zone, a snapshot's
    those that were current at its end. A day without rows has no file. A file that is right is not written again;
    one run at a time writes a day, so the file never falls behind what was committed before.

    `connection` is in autocommit mode. Raises `DataError` for a dataset without days, `SettingsError` without the
    key that restricted columns need.
    """
    bucket, rows, written = settings().lake_bucket, {}, 0
    with scratch_folder() as folder:
        for day in sorted(set(days)):
            key = zones.processed_key(contract.domain, contract.name, day)
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"s3://{bucket}/{key}",))
                rows[day] = _extract(connection, contract, day, folder)
                if rows[day]:
                    with (folder / "day.parquet").open("rb") as body:
                        written += put(s3, bucket, key, body, PARQUET)
                else:
                    remove(s3, bucket, key)
    log.info("%s: %d days looked at, %d files written in s3://%s", contract.table, len(rows), written, bucket)
    return rows


def _extract(connection: Connection, contract: Contract, day: date, folder: Path) -> int:
    """Write `day.parquet`, and `day.csv` on the way; returns the number of rows."""
    with (folder / "day.csv").open("wb", buffering=2**20) as file:
        rows = copy_csv(connection, contract, _rows_of(contract, day), file)
    if rows:
        write_parquet(folder / "day.csv", contract, folder / "day.parquet")
    return rows


def _rows_of(contract: Contract, day: date) -> sql.Composed:
    following = day + timedelta(days=1)
    order = columns_sql(contract.row_key)
    if contract.load_mode == "snapshot":
        return sql.SQL("from {}({}) order by {}").format(as_of_function(contract), sql.Literal(following), order)
    if contract.load_mode not in ("merge", "changes"):
        raise DataError(f"{contract.table} is a {contract.load_mode}, not a dataset: it has no days in the lake")
    kinds = {column.name: column.physical_type for column in contract.columns}
    assert contract.period_column
    bound = sql.SQL("{}::timestamp at time zone {}" if kinds[contract.period_column] == "timestamptz" else "{}")
    zone = sql.Literal(settings().timezone)
    return sql.SQL("from {} where {column} >= {} and {column} < {} order by {}").format(
        relation(contract),
        bound.format(sql.Literal(day), zone),
        bound.format(sql.Literal(following), zone),
        order,
        column=sql.Identifier(contract.period_column),
    )
