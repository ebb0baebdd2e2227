"""The Glue Data Catalog lists each file of the processed zone, with the contract's columns, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from psycopg import Connection

from support import shop_tables
from support.shop_tables import insert
from waybill.contracts import Column, load_domain
from waybill.outputs.catalog import CatalogError, reconcile, register
from waybill.outputs.lake import write_days
from waybill.settings import settings
from waybill.warehouse.connection import connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONTRACTS = load_domain("shop")
REVIEWS = CONTRACTS["reviews"]
DAY = date(2026, 3, 1)
NAMES = {"DatabaseName": "waybill_processed", "TableName": "shop_reviews"}


@pytest.fixture
def lake(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("WAYBILL_LAKE_BUCKET", bucket)
    settings.cache_clear()
    yield bucket
    settings.cache_clear()


@pytest.fixture
def shop(warehouse_dsn: str, lake: str) -> Iterator[Connection]:
    with connect(warehouse_dsn) as connection:
        shop_tables.create(connection)
        yield connection


def table(glue: Any, name: str = "shop_reviews") -> dict[str, Any]:
    return dict(glue.get_table(DatabaseName="waybill_processed", Name=name)["Table"])


def partitions(glue: Any, name: str = "shop_reviews") -> dict[str, dict[str, Any]]:
    answer = glue.get_partitions(DatabaseName="waybill_processed", TableName=name)
    return {value: one for one in answer["Partitions"] for value in one["Values"]}


def columns(described: dict[str, Any]) -> list[tuple[str, str]]:
    return [(column["Name"], column["Type"]) for column in described["StorageDescriptor"]["Columns"]]


def days_with_files(s3: S3Client, bucket: str) -> set[str]:
    return {item["Key"].split("/")[3][3:] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def test_a_table_has_the_contracts_columns(glue: Any, lake: str) -> None:
    for name in CONTRACTS:
        register(glue, CONTRACTS[name], lake, {})
    found = table(glue, "shop_transactions")
    assert columns(found) == [
        ("transaction_id", "bigint"),
        ("customer_id", "int"),
        ("product_id", "int"),
        ("quantity", "int"),
        ("price", "decimal(10,2)"),
        ("total_amount", "decimal(14,2)"),
        ("transaction_ts", "timestamp"),
        ("status", "string"),
        ("payment_method", "string"),
    ]
    assert [(key["Name"], key["Type"]) for key in found["PartitionKeys"]] == [("dt", "string")]
    storage = found["StorageDescriptor"]
    assert storage["Location"] == f"s3://{lake}/processed/shop/transactions/"
    assert storage["SerdeInfo"]["SerializationLibrary"].endswith("parquet.serde.ParquetHiveSerDe")
    assert storage["Columns"][3]["Comment"] == "Number of pieces sold."
    assert found["Description"] == "Sales and their status. One row per transaction."
    comments = {one["Name"]: one["Comment"] for one in table(glue, "shop_customers")["StorageDescriptor"]["Columns"]}
    assert comments["email"] == "Email address for order messages. Pseudonym."
    assert ("registration_date", "date") in columns(table(glue, "shop_customers"))
    assert columns(table(glue, "shop_clickstream"))[0] == ("event_id", "string")
    assert partitions(glue) == {}


def test_a_table_names_its_contract(glue: Any, lake: str) -> None:
    register(glue, replace(REVIEWS, version="1.2.3"), lake, {})
    first = table(glue)["Parameters"]
    assert (first["waybill.contract"], first["waybill.contract_version"]) == ("shop.reviews", "1.2.3")
    register(glue, replace(REVIEWS, version="1.3.0"), lake, {})
    assert table(glue)["Parameters"]["waybill.contract_version"] == "1.3.0"


def test_a_definition_by_another_owner_is_replaced(glue: Any, lake: str) -> None:
    """Values that the application does not set stay out, such as those with which Athena ignores partitions."""
    register(glue, REVIEWS, lake, {DAY: 1})
    wanted = table(glue)
    names = ("Name", "Description", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor")
    other = {name: wanted[name] for name in names} | {"PartitionKeys": [{"Name": "dt", "Type": "string"}]}
    other["Parameters"] = {**wanted["Parameters"], "projection.enabled": "true"}
    glue.update_table(DatabaseName="waybill_processed", TableInput=other)
    register(glue, REVIEWS, lake, {})
    found = table(glue)
    assert [found[name] for name in names] == [wanted[name] for name in names]
    assert set(partitions(glue)) == {"2026-03-01"}


def test_the_application_creates_no_database(glue: Any, lake: str) -> None:
    glue.delete_database(Name="waybill_processed")
    try:
        with pytest.raises(CatalogError, match="no database waybill_processed for the table shop_reviews"):
            register(glue, REVIEWS, lake, {DAY: 1})
        assert glue.get_databases()["DatabaseList"] == []
    finally:
        glue.create_database(DatabaseInput={"Name": "waybill_processed"})


def test_each_file_is_a_partition_with_location_and_columns(
    shop: Connection, glue: Any, s3: S3Client, lake: str
) -> None:
    days = [DAY + timedelta(days=offset) for offset in range(30)]
    insert(shop, "reviews", [(100 + n, 1, 1, 1, None, day) for n, day in enumerate(days[::2])])
    register(glue, REVIEWS, lake, write_days(shop, s3, REVIEWS, days))
    found = partitions(glue)
    assert set(found) == days_with_files(s3, lake) == {day.isoformat() for day in days[::2]}
    for value, partition in found.items():
        location = partition["StorageDescriptor"]["Location"]
        assert location == f"s3://{lake}/processed/shop/reviews/dt={value}/"
        body = s3.get_object(Bucket=lake, Key=location.split("/", 3)[3] + "reviews.parquet")["Body"].read()
        assert [name for name, _ in columns(partition)] == pq.read_schema(io.BytesIO(body)).names


def test_a_day_that_was_emptied_is_no_longer_listed(shop: Connection, glue: Any, s3: S3Client, lake: str) -> None:
    register(glue, REVIEWS, lake, write_days(shop, s3, REVIEWS, [DAY]))
    assert set(partitions(glue)) == {"2026-03-01"}
    shop.execute("delete from shop.reviews")
    for _ in range(2):
        register(glue, REVIEWS, lake, write_days(shop, s3, REVIEWS, [DAY]))
        assert partitions(glue) == {}


def test_registering_again_changes_nothing(glue: Any, lake: str) -> None:
    register(glue, REVIEWS, lake, {DAY: 1})
    before = table(glue), partitions(glue)
    register(glue, REVIEWS, lake, {DAY: 1, DAY + timedelta(days=1): 0})
    after = table(glue), partitions(glue)
    assert after[0] == before[0]  # and its version
    created = [dict(found["2026-03-01"], CreationTime=None) for found in (before[1], after[1])]
    assert created[0] == created[1]


def test_values_that_the_catalog_adds_are_no_difference(glue: Any, lake: str) -> None:
    """Glue adds default values. A table that differs only in them is not updated."""
    register(glue, REVIEWS, lake, {})
    found = table(glue)
    names = ("Name", "Description", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor")
    given = {name: found[name] for name in names}
    given["Parameters"] |= {"transient_lastDdlTime": "1767225600"}
    given["StorageDescriptor"] |= {"Compressed": False, "NumberOfBuckets": 0, "SortColumns": []}
    glue.update_table(DatabaseName="waybill_processed", TableInput=given)
    register(glue, REVIEWS, lake, {})
    assert table(glue)["VersionId"] == "2"


def test_a_new_column_is_added_to_the_table_and_to_written_days(glue: Any, lake: str) -> None:
    later = DAY + timedelta(days=1)
    register(glue, REVIEWS, lake, {DAY: 1, later: 1})
    new = Column("verified", "Whether the buyer is known.", "boolean", "boolean")
    wider = replace(REVIEWS, columns=(*REVIEWS.columns, new))
    register(glue, wider, lake, {later: 1})
    assert columns(table(glue)) == [*columns(partitions(glue)["2026-03-01"]), ("verified", "boolean")]
    assert columns(partitions(glue)["2026-03-02"]) == columns(table(glue))


def test_many_days_are_registered_in_batches(glue: Any, lake: str) -> None:
    days = [date(2024, 1, 1) + timedelta(days=offset) for offset in range(250)]
    for _ in range(2):
        register(glue, REVIEWS, lake, dict.fromkeys(days, 1))
        assert set(partitions(glue)) == {day.isoformat() for day in days}
    register(glue, REVIEWS, lake, {day: day.day % 2 for day in days})
    assert set(partitions(glue)) == {day.isoformat() for day in days if day.day % 2}


class Behind:
    """A client that does not find the table, because another run creates it afterwards."""

    def __init__(self, glue: Any) -> None:
        self.glue = glue

    def __getattr__(self, name: str) -> Any:
        return getattr(self.glue, name)

    def get_table(self, **_: Any) -> None:
        raise self.glue.exceptions.EntityNotFoundException({"Error": {"Code": "EntityNotFoundException"}}, "GetTable")


def test_two_runs_may_register_at_once(glue: Any, lake: str) -> None:
    register(glue, REVIEWS, lake, {DAY: 1})
    register(Behind(glue), REVIEWS, lake, {DAY: 1, DAY + timedelta(days=1): 1})
    assert set(partitions(glue)) == {"2026-03-01", "2026-03-02"}


def test_a_partition_that_the_catalog_rejects_is_an_error(glue: Any, lake: str) -> None:
    class Throttled(Behind):
        def get_table(self, **arguments: Any) -> Any:
            return self.glue.get_table(**arguments)

        def batch_create_partition(self, **_: Any) -> dict[str, Any]:
            detail = {"ErrorCode": "InternalServiceException", "ErrorMessage": "later"}
            return {"Errors": [{"PartitionValues": ["2026-03-01"], "ErrorDetail": detail}]}

    with pytest.raises(CatalogError, match="partition 2026-03-01: InternalServiceException: later"):
        register(Throttled(glue), REVIEWS, lake, {DAY: 1})


def test_a_catalog_that_was_lost_lists_every_file_again(shop: Connection, glue: Any, s3: S3Client, lake: str) -> None:
    days = [DAY + timedelta(days=offset) for offset in range(3)]
    insert(shop, "reviews", [(100 + n, 1, 1, 1, None, day) for n, day in enumerate(days)])
    write_days(shop, s3, REVIEWS, days)
    assert reconcile(glue, s3, REVIEWS, lake) == dict.fromkeys(days, 1)
    assert set(partitions(glue)) == days_with_files(s3, lake)
    assert reconcile(glue, s3, REVIEWS, lake) == {}


def test_reconciling_repairs_the_catalog_after_an_interrupted_run(
    shop: Connection, glue: Any, s3: S3Client, lake: str
) -> None:
    """A file without a partition, a partition without a file, and one that points elsewhere."""
    days = [DAY + timedelta(days=offset) for offset in range(4)]
    insert(shop, "reviews", [(100 + n, 1, 1, 1, None, day) for n, day in enumerate(days[:3])])
    write_days(shop, s3, REVIEWS, days)
    register(glue, REVIEWS, "elsewhere", {days[1]: 1})
    register(glue, REVIEWS, lake, {days[0]: 1, days[3]: 1})
    assert reconcile(glue, s3, REVIEWS, lake) == {days[1]: 1, days[2]: 1, days[3]: 0}
    found = partitions(glue)
    assert set(found) == {day.isoformat() for day in days[:3]}
    assert found["2026-03-02"]["StorageDescriptor"]["Location"].startswith(f"s3://{lake}/")
