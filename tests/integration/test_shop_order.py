"""Days in any order and any number of times give identical tables."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from psycopg import Connection, sql

from support.landing import MemoryBucket
from support.messaging_months import RUN, database
from waybill.contracts import load_domain
from waybill.derived.refresh import derived_tables, out_of_date, refresh
from waybill.intake.ingest import ingest_file
from waybill.period import Period
from waybill.warehouse.connection import connect
from waybill_devtools.sampledata.files import SampleFile
from waybill_devtools.sampledata.shop import generate
from waybill_devtools.stack import Stack

SAMPLE = generate("2026-03-05", days=12, scale=0.1)  # two months and three weeks
DAYS = Period.parse("day", "2026-02-22").until(Period.parse("day", "2026-03-05"))
SCHEMAS = ("shop", "shop_star", "shop_report")
# A row that was equal in two snapshots names either of them, depending on the order. All else is independent of it.
UNORDERED = {"products_history": ("_file_id", "_record")}


@contextmanager
def warehouse(stack: Stack) -> Iterator[Connection]:
    with database(stack) as dsn, connect(dsn) as connection:
        yield connection


def ingest(connection: Connection, bucket: MemoryBucket, file: SampleFile) -> None:
    contracts = load_domain("shop")
    landed = bucket.put("shop", file.dataset, Period.parse("day", file.period), file.body, file.key.rsplit("/", 1)[1])
    ingest_file(connection, bucket, landed, contracts[file.dataset], contracts, RUN)


def bring_up_to_date(connection: Connection) -> dict[str, list[str]]:
    return refresh(connection, "shop", "shop_star", RUN) | refresh(connection, "shop", "shop_report", RUN)


def tables(connection: Connection) -> dict[str, str]:
    """Return a hash of the content of each table, with files by name."""
    found = {}
    for schema in SCHEMAS:
        names = connection.execute(
            "select table_name, array_agg(column_name::text order by ordinal_position) from information_schema.columns "
            "inner join information_schema.tables using (table_schema, table_name) "
            "where table_schema = %s and table_type = 'BASE TABLE' group by table_name",
            (schema,),
        ).fetchall()
        for name, columns in names:
            values = [
                sql.SQL("(select object_key from waybill.load_file as f where f.file_id = x._file_id)")
                if column == "_file_id"
                else sql.Identifier("x", column)
                for column in columns
                if column not in UNORDERED.get(name, ())
            ]
            row = connection.execute(
                sql.SQL(
                    "select count(*), md5(string_agg(line, chr(10) order by line)) "
                    "from (select row({})::text as line from {} as x) as lines"
                ).format(sql.SQL(", ").join(values), sql.Identifier(schema, name))
            ).fetchone()
            assert row
            found[f"{schema}.{name}"] = str(row)
    return found


@pytest.fixture(scope="module")
def in_order(stack: Stack) -> dict[str, str]:
    """What the tables hold when files arrive in order and everything is derived once, at the end."""
    with warehouse(stack) as connection:
        bucket = MemoryBucket()
        for file in SAMPLE.files:
            ingest(connection, bucket, file)
        outdated = {table for table, _ in out_of_date(connection, "shop", DAYS)}
        assert outdated == {table.contract.table for table in derived_tables("shop")}
        assert bring_up_to_date(connection)
        assert bring_up_to_date(connection) == {}
        assert out_of_date(connection, "shop", DAYS) == []
        return tables(connection)


def shuffled(files: Iterable[SampleFile], seed: int) -> list[SampleFile]:
    """Return every file twice, in random order."""
    twice = [*files, *files]
    random.Random(seed).shuffle(twice)
    return twice


@pytest.mark.parametrize("seed", [1, 2])
def test_files_in_any_order_and_twice_give_the_same_tables(stack: Stack, in_order: dict[str, str], seed: int) -> None:
    chance = random.Random(seed)
    with warehouse(stack) as connection:
        bucket = MemoryBucket()
        for file in shuffled(SAMPLE.files, seed):
            ingest(connection, bucket, file)
            if chance.random() < 0.05:
                bring_up_to_date(connection)
        bring_up_to_date(connection)
        assert len(in_order) > 20
        assert tables(connection) == in_order
        assert bring_up_to_date(connection) == {}
