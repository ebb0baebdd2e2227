"""The tables of the lake follow their contracts, keep what was committed, and survive other writers and dead runs."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_avro
import duckdb_extension_httpfs
import duckdb_extension_iceberg
import pyarrow as pa
import pytest
from psycopg import Connection
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import ValidationException

from support import shop_tables
from support.lake import RUN, Lake
from support.shop_tables import CUSTOMERS, REVIEWS, TRANSACTIONS, insert
from support.waiting import PATIENCE
from waybill.contracts import Column, Contract, load_domain
from waybill.errors import DataError
from waybill.outputs import iceberg_files, iceberg_tables
from waybill.outputs.iceberg_tables import CatalogError
from waybill.outputs.lake import COMMIT_DAYS, write_days
from waybill.outputs.s3_file_io import CLIENT, S3FileIO
from waybill.settings import SettingsError, settings
from waybill.warehouse.connection import connect

CONTRACTS = load_domain("shop")
CONTRACT = CONTRACTS["reviews"]
DAY = date(2026, 3, 1)


@pytest.fixture
def shop(warehouse_dsn: str, lake: Lake) -> Iterator[Connection]:
    """A warehouse with the shop's base tables."""
    with connect(warehouse_dsn) as connection:
        shop_tables.create(connection)
        yield connection


def types(lake: Lake, contract: Contract = CONTRACT) -> dict[str, str]:
    return {field.name: str(field.field_type) for field in lake.table(contract).schema().fields}


def rows(lake: Lake, contract: Contract = CONTRACT, **scan: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.table(contract).scan(**scan).to_arrow().to_pylist()
    return sorted(found, key=lambda row: tuple(row[name] for name in contract.row_key))


def with_column(contract: Contract, column: Column) -> Contract:
    return replace(contract, columns=(*contract.columns, column), version="9.0.0")


def test_a_table_has_the_columns_and_the_version_of_its_contract(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    table = lake.table(CONTRACT)
    assert types(lake) == {
        "review_id": "int", "product_id": "int", "customer_id": "int", "rating": "int", "review_text": "string",
        "review_date": "date", "lake_day": "date",
    }  # fmt: skip
    assert [field.required for field in table.schema().fields] == [True] * 4 + [False, True, False]
    assert table.schema().find_field("rating").doc == CONTRACT.columns[3].description
    assert [field.name for field in table.spec().fields] == ["dt"]
    assert table.format_version == 2
    assert (table.properties["waybill.contract"], table.properties["waybill.contract-version"]) == (
        "shop.reviews",
        CONTRACT.version,
    )
    lake.write(shop, CONTRACTS["customers"], [DAY])
    described = {field.name: field.doc for field in lake.table(CONTRACTS["customers"]).schema().fields}
    assert described["email"].endswith("Pseudonym.")


def test_a_snapshot_names_its_run_its_files_and_the_hash_of_its_rows(shop: Connection, lake: Lake) -> None:
    shop.execute("update shop.reviews set _file_id = review_id % 4 + 5")
    found = write_days(shop, lake.s3, lake.catalog, CONTRACT, [DAY, DAY + timedelta(days=1)], RUN)
    snapshot = lake.table(CONTRACT).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    summary = snapshot.summary.additional_properties
    assert (summary["waybill.run-id"], summary["waybill.code-version"]) == (RUN.run_id, RUN.code_version)
    assert json.loads(summary["waybill.days"]) == {str(DAY): found[DAY].content_sha256}
    assert found[DAY].snapshot_id == snapshot.snapshot_id
    ids = sorted({number % 4 + 5 for number, *_ in REVIEWS})
    assert found[DAY].file_ids == ids
    assert iceberg_files.ids_in(summary["waybill.file-ids"]) == ids


def test_a_new_column_is_added_and_is_null_in_days_that_were_not_written_again(shop: Connection, lake: Lake) -> None:
    later = DAY + timedelta(days=1)
    insert(shop, "reviews", [(900, 1, 1, 1, None, later)])
    lake.write(shop, CONTRACT, [DAY, later])
    shop.execute("alter table shop.reviews add column verified boolean not null default true")
    wider = with_column(
        CONTRACT, Column("verified", "Whether the buyer is known.", "boolean", "boolean", required=True)
    )
    lake.write(shop, wider, [later])
    assert types(lake)["verified"] == "boolean"
    assert {(row["lake_day"], row["verified"]) for row in rows(lake)} == {(DAY, None), (later, True)}
    assert lake.table(wider).properties["waybill.contract-version"] == "9.0.0"


@pytest.mark.parametrize(
    ("kind", "stored", "fits"),
    [("bigint", "long", True), ("text", "string", False)],
)
def test_a_column_of_another_type_keeps_its_values_if_they_fit(
    kind: str, stored: str, fits: bool, shop: Connection, lake: Lake
) -> None:
    lake.write(shop, CONTRACT, [DAY])
    columns = tuple(
        replace(column, physical_type=kind) if column.name == "rating" else column for column in CONTRACT.columns
    )
    changed = replace(CONTRACT, columns=columns)
    shop.execute(f"alter table shop.reviews alter column rating type {kind}")  # type: ignore[arg-type]
    assert iceberg_tables.needs_all_days(lake.catalog, changed) is not fits
    before = [row["rating"] for row in rows(lake)]
    iceberg_tables.ensure_table(lake.catalog, changed)
    assert types(lake)["rating"] == stored
    assert [row["rating"] for row in rows(lake)] == (before if fits else [None] * len(before))
    lake.write(shop, changed, [DAY])
    assert [row["rating"] for row in rows(lake)] == [one if fits else str(one) for one in before]


def test_a_column_that_left_the_contract_is_in_earlier_snapshots_only(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    (first,) = lake.snapshots(CONTRACT)
    fewer = replace(CONTRACT, columns=tuple(one for one in CONTRACT.columns if one.name != "review_text"))
    lake.write(shop, fewer, [DAY])
    assert "review_text" not in types(lake)
    assert {row["review_text"] for row in rows(lake, snapshot_id=first)} == {row[4] for row in REVIEWS}


def test_another_layout_moves_only_new_files(shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(shop, "reviews", [(900, 1, 1, 1, None, DAY + timedelta(days=1))])
    lake.write(shop, CONTRACT, [DAY])
    other = iceberg_tables.Layout.parse("elsewhere/reviews/year=YYYY/day=MM-DD/")
    monkeypatch.setattr(iceberg_tables.locations, "processed_layout", lambda *_: other)
    lake.write(shop, CONTRACT, [DAY, DAY + timedelta(days=1)])
    assert lake.folders(CONTRACT) == ["elsewhere/reviews/year=2026/day=03-02", "processed/shop/reviews/dt=2026-03-01"]
    assert len(rows(lake)) == len(REVIEWS) + 1


def test_no_column_may_have_the_name_of_the_day(lake: Lake) -> None:
    wrong = with_column(CONTRACT, Column("lake_day", "Its name is taken.", "string", "text"))
    with pytest.raises(DataError, match=r"shop\.reviews: no column may have the name lake_day"):
        iceberg_tables.ensure_table(lake.catalog, wrong)


def test_the_application_creates_no_database(shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_LAKE_DATABASE", "nowhere")
    settings.cache_clear()
    with pytest.raises(CatalogError, match="no database nowhere for the table shop_reviews"):
        lake.write(shop, CONTRACT, [DAY])
    assert ("nowhere",) not in lake.catalog.list_namespaces()


def test_a_catalog_needs_credentials(lake: Lake) -> None:
    class Nobody:
        region_name = "eu-central-1"

        def get_credentials(self) -> None:
            return None

    with pytest.raises(SettingsError, match="needs a region and credentials"):
        iceberg_tables.open_catalog(Nobody(), lake.s3)  # type: ignore[arg-type]


def test_many_days_are_replaced_by_few_commits(shop: Connection, lake: Lake) -> None:
    days = [date(2024, 1, 1) + timedelta(days=offset) for offset in range(2 * COMMIT_DAYS + 1)]
    insert(shop, "reviews", [(1000 + n, 1, 1, 1, None, day) for n, day in enumerate(days)])
    assert lake.write(shop, CONTRACT, days) == dict.fromkeys(days, 1)
    assert len(lake.snapshots(CONTRACT)) == 3
    assert [row["lake_day"] for row in rows(lake)] == days


def test_another_writer_of_the_table_loses_nothing_in_other_days(shop: Connection, lake: Lake) -> None:
    """Rows that another engine appends to a day are replaced with the day; those of other days stay."""
    lake.write(shop, CONTRACT, [DAY])
    table, (one, *_) = lake.table(CONTRACT), rows(lake)
    schema = table.schema().as_arrow()
    table.append(pa.Table.from_pylist([one | {"review_id": 777, "lake_day": DAY}], schema=schema))
    other = DAY + timedelta(days=300)
    table.append(pa.Table.from_pylist([one | {"review_id": 778, "lake_day": other}], schema=schema))
    assert len(rows(lake)) == len(REVIEWS) + 2
    lake.write(shop, CONTRACT, [DAY])
    assert {row["review_id"] for row in rows(lake)} == {row[0] for row in REVIEWS} | {778}


class Overtaken:
    """A client of S3 during whose upload another writer adds a row to the table."""

    def __init__(self, lake: Lake, row: dict[str, Any]) -> None:
        self._lake, self._row = lake, row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lake.s3, name)

    def upload_file(self, *arguments: Any) -> None:
        table = self._lake.table(CONTRACT)
        table.append(pa.Table.from_pylist([self._row], schema=table.schema().as_arrow()))
        self._lake.s3.upload_file(*arguments)


def test_a_commit_that_was_overtaken_is_tried_again(shop: Connection, lake: Lake) -> None:
    """Between reading the table and committing, another writer commits to another day."""
    lake.write(shop, CONTRACT, [DAY])
    shop.execute("update shop.reviews set rating = 1")
    one = rows(lake)[0]

    new = one | {"review_id": 779, "lake_day": DAY + timedelta(days=300)}
    lake.write(shop, CONTRACT, [DAY], Overtaken(lake, new))
    found = {row["review_id"]: row["rating"] for row in rows(lake)}
    assert found.pop(779) == one["rating"]
    assert found == {row[0]: 1 for row in REVIEWS}


def test_two_runs_at_once_write_each_day_once(shop: Connection, lake: Lake, warehouse_dsn: str) -> None:
    days = [DAY + timedelta(days=offset) for offset in range(8)]
    insert(shop, "reviews", [(1000 + n, 1, 1, 1, None, day) for n, day in enumerate(days)])

    def write() -> None:
        with connect(warehouse_dsn) as connection:
            lake.write(connection, CONTRACT, days)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(lake.snapshots(CONTRACT)) == 1
    assert len(rows(lake)) == len(REVIEWS) + len(days)
    assert lake.objects() == lake.files(CONTRACT)


class Dies(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["before the file", "after the file", "after the commit"])
def test_a_run_that_dies_is_repaired_by_the_next(
    step: str, shop: Connection, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(shop, CONTRACT, [DAY])
    shop.execute("update shop.reviews set rating = 1")
    commit = iceberg_files.replace_files

    def dies(*arguments: Any) -> Any:
        if step == "after the commit":
            commit(*arguments)
        raise Dies

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(lake.s3, name)

        def upload_file(self, *_: Any) -> None:
            raise Dies

    with monkeypatch.context() as patched:
        if step != "before the file":
            patched.setattr(iceberg_files, "replace_files", dies)
        with pytest.raises(Dies):
            lake.write(shop, CONTRACT, [DAY], Broken() if step == "before the file" else None)
    expected = 1 if step == "after the commit" else None
    if expected is None:
        assert [row["rating"] for row in rows(lake)] != [1] * len(REVIEWS)
    found = write_days(shop, lake.s3, lake.catalog, CONTRACT, [DAY], RUN)
    assert [row["rating"] for row in rows(lake)] == [1] * len(REVIEWS)
    assert len(lake.snapshots(CONTRACT)) == 2
    assert found[DAY].snapshot_id == lake.snapshots(CONTRACT)[-1]
    assert len(lake.files(CONTRACT)) == 1


def test_earlier_rows_can_be_read_again_exactly(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    (first,) = lake.snapshots(CONTRACT)
    before = rows(lake)
    shop.execute("delete from shop.reviews where rating < 5")
    shop.execute("update shop.reviews set review_text = 'changed'")
    lake.write(shop, CONTRACT, [DAY])
    assert rows(lake) != before
    assert rows(lake, snapshot_id=first) == before
    with duckdb_engine() as engine:
        query = f"select * from lake.{settings().lake_database}.shop_reviews at (version => {first}) order by review_id"
        found = engine.execute(query).to_arrow_table().to_pylist()
        assert found == before


def duckdb_engine() -> duckdb.DuckDBPyConnection:
    """Return DuckDB with the extensions of its wheels and the catalog of the lake."""
    engine = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    for module in (duckdb_extension_httpfs, duckdb_extension_avro, duckdb_extension_iceberg):
        (path,) = Path(module.__path__[0]).glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension")
        engine.execute(f"load '{path}'")
    region = os.environ["AWS_DEFAULT_REGION"]
    engine.execute(
        f"create secret s3 (type s3, key_id '{os.environ['AWS_ACCESS_KEY_ID']}', url_style 'path', use_ssl false, "
        f"secret '{os.environ['AWS_SECRET_ACCESS_KEY']}', region '{region}', "
        f"endpoint '{os.environ['AWS_ENDPOINT_URL_S3'].removeprefix('http://')}')"
    )
    engine.execute(
        f"attach '{settings().lake_warehouse}' as lake (type iceberg, endpoint '{settings().lake_catalog}', "
        f"secret s3, authorization_type 'sigv4', sigv4_service 'glue', sigv4_region '{region}', "
        "access_delegation_mode 'none')"
    )
    engine.execute("set timezone = 'UTC'")
    return engine


def test_duckdb_reads_the_catalog_and_only_the_files_of_the_day(shop: Connection, lake: Lake) -> None:
    days = sorted({row[6].date() for row in TRANSACTIONS})
    contract = CONTRACTS["transactions"]
    lake.write(shop, contract, days)
    with duckdb_engine() as engine:
        table = f"lake.{settings().lake_database}.shop_transactions"
        query = f"select * exclude lake_day from {table} order by transaction_id"
        assert engine.execute(query).fetchall() == sorted(TRANSACTIONS)
        plan = engine.execute(
            f"explain analyze select sum(price) from {table} where lake_day = '2026-03-02'"
        ).fetchall()
        assert "Total Files Read: 1" in plan[0][1]


def test_pyiceberg_plans_only_the_files_of_the_day(shop: Connection, lake: Lake) -> None:
    contract = CONTRACTS["transactions"]
    lake.write(shop, contract, sorted({row[6].date() for row in TRANSACTIONS}))
    scan = lake.table(contract).scan(row_filter="lake_day = '2026-03-02'", selected_fields=("transaction_id",))
    assert len(list(scan.plan_files())) == 1
    assert scan.to_arrow().to_pylist() == [{"transaction_id": 3}]
    assert list(lake.table(contract).scan(row_filter="transaction_id = 1").plan_files()) == [], "by the bounds"


def test_oauth_opens_the_embedded_catalog_as_well(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    address = str(settings().lake_catalog)
    other = RestCatalog(
        "other",
        uri=address,
        warehouse=settings().lake_warehouse,
        credential=f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}",
        **{"oauth2-server-uri": f"{address}/v1/oauth/tokens"},
    )
    assert other.table_exists(iceberg_tables.identifier(CONTRACT))


def test_a_day_that_another_writer_changed_meanwhile_is_not_committed(shop: Connection, lake: Lake) -> None:
    lake.write(shop, CONTRACT, [DAY])
    shop.execute("update shop.reviews set rating = 1")
    one = rows(lake)[0]

    with pytest.raises(ValidationException):
        lake.write(shop, CONTRACT, [DAY], Overtaken(lake, one | {"review_id": 779}))
    assert len(rows(lake)) == len(REVIEWS) + 1
    lake.write(shop, CONTRACT, [DAY])
    assert [row["rating"] for row in rows(lake)] == [1] * len(REVIEWS)


def test_a_file_that_is_gone_is_named(lake: Lake) -> None:
    """An engine that still reads an expired snapshot, or somebody deleted a file."""
    file = S3FileIO({CLIENT: lake.s3}).new_input(f"s3://{lake.bucket}/gone.avro")
    assert not file.exists()
    with pytest.raises(FileNotFoundError, match=r"gone\.avro does not exist: an expired snapshot may have had it"):
        file.open()


def test_a_file_of_metadata_is_written_when_it_is_complete(lake: Lake) -> None:
    files = S3FileIO({CLIENT: lake.s3})
    address = f"s3://{lake.bucket}/a.avro"

    def breaks() -> None:
        with files.new_output(address).create() as stream:
            stream.write(b"half")
            raise Dies

    with pytest.raises(Dies):
        breaks()
    assert lake.objects() == []
    with files.new_output(address).create() as stream:
        stream.write(b"whole")
    file = files.new_input(address)
    assert (file.exists(), len(file), file.open().read()) == (True, 5, b"whole")
    files.delete(address)
    assert lake.objects() == []


def test_metadata_has_no_restricted_value(shop: Connection, lake: Lake) -> None:
    """The bounds of columns in the metadata are those of the pseudonyms."""
    contract = CONTRACTS["customers"]
    lake.write(shop, contract, [DAY, date(2026, 3, 2), date(2026, 3, 3)])
    found = str(lake.table(contract).inspect.files().to_pylist())
    for row in CUSTOMERS:
        for value in row[1:3]:
            assert value[:16] not in found
    assert "'lower_bound': 'DE'" in found, "other columns have bounds"


OVERWRITES = 12


def test_no_reader_sees_half_a_day(shop: Connection, lake: Lake) -> None:
    """Four readers read while the day is replaced again and again, each time by another number of rows."""
    shop.execute("truncate shop.reviews")
    written = threading.Event()
    table = f"lake.{settings().lake_database}.shop_reviews"

    def replace_day(version: int) -> None:
        shop.execute("update shop.reviews set product_id = %s", (version,))
        some = [(version * 1000 + number, version, 1, 1, None, DAY) for number in range(50)]
        insert(shop, "reviews", some)
        lake.write(shop, CONTRACT, [DAY])

    def by_duckdb() -> Callable[[], list[int]]:
        engine = duckdb_engine()
        query = f"select product_id from {table} where lake_day = '{DAY}'"
        return lambda: [value for (value,) in engine.execute(query).fetchall()]

    def by_pyiceberg() -> Callable[[], list[int]]:
        def read() -> list[int]:
            found = lake.table(CONTRACT).scan(row_filter=f"lake_day = '{DAY}'", selected_fields=("product_id",))
            return list(found.to_arrow()["product_id"].to_pylist())

        return read

    def read_all_the_time(read: Callable[[], list[int]]) -> list[list[int]]:
        """Return what each read found, with one after the last change."""
        seen = []
        while not written.is_set():
            seen.append(read())
        return [*seen, read()]

    replace_day(1)
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_all_the_time, one()) for one in (by_duckdb, by_duckdb, by_pyiceberg, by_pyiceberg)]
        try:
            for version in range(2, OVERWRITES + 1):
                replace_day(version)
        finally:
            written.set()
        seen = [reader.result(120) for reader in readers]
    assert all(found == [found[0]] * (50 * found[0]) for one in seen for found in one), "a mixture of two versions"
    assert all([found[0] for found in one] == sorted(found[0] for found in one) for one in seen), "an older version"
    assert [one[-1][0] for one in seen] == [OVERWRITES] * 4
