"""The processed zone: one Parquet file for each day of a table, for engines other than the warehouse."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from psycopg import Connection, sql

from waybill.contracts import Contract, locations
from waybill.errors import DataError
from waybill.outputs.catalog import reconcile, register
from waybill.outputs.export import PARQUET, copy_csv, put, remove, write_parquet
from waybill.scratch import scratch_folder
from waybill.settings import settings
from waybill.warehouse.connection import advisory_lock
from waybill.warehouse.schema import as_of_function, columns_sql, relation

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


_STALE_DAYS = """
select c.day, c.changes
from waybill.table_day as c
left join waybill.processed_day as p on p.dataset = c.table_name and p.day = c.day
where c.table_name = %(dataset)s and p.changes_seen is distinct from c.changes
order by c.day
"""


def write_changed_days(
    connection: Connection, s3: S3Client, glue: GlueClient, contracts: Iterable[Contract]
) -> dict[str, dict[date, int]]:
    """Write and register the stale days of each table; returns their numbers of rows by table and day.

    A day is stale if files were delivered for it, or if its rows changed, since it was written. `connection` is in
    autocommit mode. If a run dies, the days stay stale and the next run writes them. Missing tables of the catalog are
    created again.
    """
    written = {}
    for contract in contracts:
        with advisory_lock(connection, f"processed {contract.table}"):
            # Count changes before reading rows: a change in between makes the day stale again.
            stale: dict[date, int] = dict(connection.execute(_STALE_DAYS, {"dataset": contract.table}).fetchall())
            rows = write_days(connection, s3, contract, stale)
            register(glue, contract, settings().lake_bucket, rows)
            reconcile(glue, s3, contract, settings().lake_bucket)
            connection.cursor().executemany(
                "insert into waybill.processed_day (dataset, day, row_count, changes_seen) values (%s, %s, %s, %s) "
                "on conflict (dataset, day) do update set row_count = excluded.row_count, "
                "changes_seen = excluded.changes_seen, written_at = now()",
                [(contract.table, day, rows[day], changes) for day, changes in stale.items()],
            )
        written[contract.table] = rows
    return written


def write_days(connection: Connection, s3: S3Client, contract: Contract, days: Iterable[date]) -> dict[date, int]:
    """Write the rows of some calendar days to one file each; returns the number of rows of each day.

    A day of a merged dataset has the rows whose period column falls on it in the business time zone. A day of a
    snapshot dataset has the rows that were current at its end. A day of a derived table has the rows of its period. A
    day without rows has no file. Unchanged files are not written again. Only one run at a time writes a day, so a file
    never misses rows that were committed before.

    `connection` is in autocommit mode. Raises `DataError` for a table without days, and `SettingsError` if the key for
    restricted columns is missing.
    """
    bucket, rows, written = settings().lake_bucket, {}, 0
    with scratch_folder() as folder:
        path = folder / "day.parquet"
        for day in sorted(set(days)):
            key = locations.processed_key(contract.domain, contract.name, day)
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"s3://{bucket}/{key}",))
                with path.open("wb") as file:
                    rows[day] = write_parquet(copy_csv(connection, contract, _rows_of(contract, day)), contract, file)
                if rows[day]:
                    with path.open("rb") as body:
                        written += put(s3, bucket, key, body, PARQUET)
                else:
                    remove(s3, bucket, key)
    log.info("%s: checked %d days, wrote %d files to s3://%s", contract.table, len(rows), written, bucket)
    return rows


def _rows_of(contract: Contract, day: date) -> sql.Composed:
    following = day + timedelta(days=1)
    order = columns_sql(contract.row_key)
    if contract.load_mode == "snapshot":
        return sql.SQL("from {}({}) order by {}").format(as_of_function(contract), sql.Literal(following), order)
    if contract.day_column is None:
        raise DataError(
            f"{contract.table} has load mode {contract.load_mode} and no column for days: the lake needs days"
        )
    is_instant = contract.has_instants(contract.day_column)
    bound = sql.SQL("{}::timestamp at time zone {}" if is_instant else "{}")
    zone = sql.Literal(settings().timezone)
    return sql.SQL("from {} where {column} >= {} and {column} < {} order by {}").format(
        relation(contract),
        bound.format(sql.Literal(day), zone),
        bound.format(sql.Literal(following), zone),
        order,
        column=sql.Identifier(contract.day_column),
    )
