"""The messaging domain in a test: databases, files in S3, ingested months and built reports."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import Connection, sql

from messaging import reports
from waybill.contracts import load_domain
from waybill.contracts.locations import report_files
from waybill.derived.build import build_from_rows, build_from_sql, known_files, report_contracts
from waybill.intake.ingest import ingest
from waybill.intake.ledger import Books
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse.connection import connect
from waybill.warehouse.migrations import upgrade
from waybill_devtools.sampledata.messaging import SampleData, generate
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RUN = Run("test", "abc123")
PYTHON_REPORTS = {
    "descriptive_statistics": reports.descriptive_statistics,
    "industry_exposure_extended": reports.industry_exposure_extended,
}

sample = cache(generate)
"""The generator is quick, but many tests ask for the same files."""


def month(key: str) -> Period:
    return Period.parse("month", key)


@cache
def _migrated(stack: Stack) -> str:
    """Return the name of a database with the operations schema. A copy of it is faster than all migrations."""
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute("create database migrated template warehouse owner waybill_etl")
    migrate(stack.database_url("waybill_etl", "migrated"))
    return "migrated"


@contextmanager
def database(stack: Stack, template: str | None = None) -> Iterator[str]:
    """Yield the address of a fresh database with the operations schema, or of a copy of `template`."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    template = (template or _migrated(stack)).rsplit("/", 1)[-1]
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {} owner waybill_etl").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        admin.execute(sql.SQL("grant connect on database {} to waybill_reader").format(sql.Identifier(name)))
        try:
            yield stack.database_url("waybill_etl", name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def migrate(dsn: str) -> None:
    with connect(dsn) as connection:
        upgrade(connection)


def migrate_again(connection: Connection, *migrations: str) -> None:
    """Do what some migrations do, such as `0013_published_by`, after a test has undone it."""
    for name in migrations:
        connection.execute(import_module(f"waybill.warehouse.migrations.versions.{name}")._DDL)


def put(s3: S3Client, bucket: str, data: SampleData, months: Iterable[str] | None = None) -> None:
    """Upload the files, of some months only if given."""
    wanted = None if months is None else set(months)
    for file in data.files:
        if wanted is None or file.period in wanted:
            s3.put_object(Bucket=bucket, Key=file.key, Body=file.body)


def ingest_month(connection: Connection, s3: Any, key: str, *, lookback: int = 12) -> dict[str, Books]:
    """Load every dataset for a month, as the DAG does; books by object key."""
    contracts = load_domain("messaging")
    books: dict[str, Books] = {}
    for name in ("customers", "channels", "traffic"):
        books |= ingest(connection, s3, contracts[name], contracts, month(key), RUN, lookback_periods=lookback)
    return books


def build_month(connection: Connection, key: str, run: Run = RUN) -> None:
    """Build every report of a month, as the DAG does."""
    contracts, period = report_contracts("messaging"), month(key)
    for path in report_files("messaging"):
        text = path.read_text()
        inputs = partial(known_files, connection, "messaging", period, text)
        build_from_sql(connection, contracts[path.stem], inputs, text, period, run)
    inputs = partial(known_files, connection, "messaging", period)
    for name, function in PYTHON_REPORTS.items():
        rows = function(connection, period)
        build_from_rows(connection, contracts[name], inputs, rows, period, run)


def report_rows(connection: Connection, report: str, key: str) -> list[dict[str, Any]]:
    """Return the stored rows of a report and month, in the order of its key."""
    contract = report_contracts("messaging")[report]
    query = sql.SQL("select * from {} where month = %s order by {}").format(
        sql.Identifier("messaging_report", report), sql.SQL(", ").join(map(sql.Identifier, contract.key))
    )
    cursor = connection.execute(query, (month(key).start,))
    assert cursor.description
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def content(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return by table all rows that loads write; a file is identified by name and content, not by its id."""
    file = "(select f.object_key || ' ' || left(f.sha256, 8) from waybill.load_file as f where f.file_id = x._file_id)"
    found = {}
    tables = [
        name
        for (name,) in connection.execute(
            "select c.relname from pg_class as c where relnamespace = to_regnamespace('messaging') "
            "and relkind in ('r', 'p') and not relispartition"
        ).fetchall()
    ]
    for name in tables:
        columns = [
            column
            for (column,) in connection.execute(
                "select column_name from information_schema.columns where table_schema = 'messaging' "
                "and table_name = %s and column_name <> '_file_id'",
                (name,),
            ).fetchall()
        ]
        query = sql.SQL("select {}, {} from {} as x order by 1, 2, 3, 4, 5, 6, 7, 8").format(
            sql.SQL(file),
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns),
            sql.Identifier("messaging", name),
        )
        found[name] = connection.execute(query).fetchall()
    found["ledger"] = connection.execute(
        "select dataset, period, object_key, sha256, status, rows_in, inserted, updated, unchanged, rejected, "
        "duplicate, stale from waybill.load_file order by object_key, sha256, status"
    ).fetchall()
    found["quarantine"] = connection.execute(
        "select object_key, sha256, record, reasons, raw from waybill.quarantine "
        "inner join waybill.load_file using (file_id) order by 1, 2, 3"
    ).fetchall()
    found["rejected_files"] = connection.execute("select object_key, message from waybill.rejected_file").fetchall()
    return found


def partitions(connection: Connection) -> set[str]:
    """Return the months with a partition, attached or not."""
    rows = connection.execute("select relname from pg_class where relname like 'traffic\\_2%' and relkind = 'r'")
    return {match[0] for (name,) in rows if (match := re.search(r"\d{4}_\d{2}", name))}
