"""Published reports match the warehouse, and a waybill gives their provenance."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from support.messaging_months import RUN, build_month, database, ingest_month, month, put, report_rows, sample
from waybill.checks.approval import approve, held_by, question, reject
from waybill.checks.quality import check_datasets
from waybill.cli.tables import Console, print_tables, waybill_tables
from waybill.contracts import load_domain
from waybill.derived.build import build_from_sql, known_files, report_contracts
from waybill.errors import DataError
from waybill.ops.books import Gap, gaps
from waybill.ops.provenance import trace
from waybill.outputs.formulas import restored
from waybill.outputs.publish import publish
from waybill.run import Run
from waybill.settings import SettingsError, settings
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LAST = "2026-03"
PREFIX = "analytics/2026/03/31/"
CONTRACTS = report_contracts("messaging")
# Three months have no answer to two of the questions: here are some, with texts that need quotes in CSV.
MADE_UP = {
    "loyal_top_customers": """
        select %(period_start)s::date as month, *
        from (values
          (1, 7, E'Åse "the" Öl, Ltd.\\nBerlin', 1234567890.10, 12),
          (2, 8, '', 0.01, 12),
          (3, 9, null, 100.00, 12)
        ) as v (customer_rank, customer_id, customer_name, revenue_12_months_eur, months_with_revenue)""",
    "segment_changes": """
        select %(period_start)s::date as month, 7 as customer_id, E'=1+1\\t;' as customer_name,
          'Startup' as segment_12_months_ago, 'Enterprise' as segment_now, true as changed_net, true as changed_ever""",
}


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    settings.cache_clear()


@pytest.fixture(scope="module")
def client(stack: Stack, module_patch: pytest.MonkeyPatch) -> S3Client:
    """A client. The settings name new buckets; the bucket of reports is versioned."""
    client = stack.s3()
    for name in ("publish-raw", "publish-reports"):
        client.create_bucket(Bucket=name)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    module_patch.setenv("WAYBILL_RAW_BUCKET", "publish-raw")
    module_patch.setenv("WAYBILL_REPORTS_BUCKET", "publish-reports")
    settings.cache_clear()
    return client


@pytest.fixture(scope="module")
def built(stack: Stack, client: S3Client) -> Iterator[Connection]:
    """A warehouse with three months loaded, of which two are built."""
    put(client, "publish-raw", sample(LAST, 3, scale=0.3))
    with database(stack) as dsn, connect(dsn) as connection:
        ingest_month(connection, client, LAST)
        check_datasets(connection, load_domain("messaging").values(), [month(LAST)], RUN)
        for key in ("2026-02", LAST):
            build_month(connection, key)
        for name, text in MADE_UP.items():
            contract = replace(CONTRACTS[name], checks=())
            inputs = partial(known_files, connection, "messaging", month(LAST))
            build_from_sql(connection, contract, inputs, text, month(LAST), RUN)
        yield connection


@pytest.fixture(scope="module")
def keys(built: Connection, client: S3Client) -> list[str]:
    """The keys that publishing the last month returned."""
    return publish(built, client, "messaging", CONTRACTS.values(), month(LAST), RUN)


def read(client: S3Client, key: str) -> bytes:
    return client.get_object(Bucket="publish-reports", Key=key)["Body"].read()


def versions(client: S3Client) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in client.list_object_versions(Bucket="publish-reports", Prefix=PREFIX).get("Versions", []):
        found[item["Key"]] = found.get(item["Key"], 0) + 1
    return found


def test_every_report_is_there_twice_and_the_manifest_last(keys: list[str], client: S3Client) -> None:
    expected = {f"{PREFIX}{name}.{suffix}" for name in CONTRACTS for suffix in ("csv", "parquet")}
    assert len(expected) == 16
    assert set(keys[:-1]) == expected
    assert keys[-1] == f"{PREFIX}manifest_messaging.json"
    listed = client.list_objects_v2(Bucket="publish-reports")["Contents"]
    assert {item["Key"] for item in listed} == set(keys)
    assert client.head_object(Bucket="publish-reports", Key=f"{PREFIX}segment_share.csv")["ContentType"].startswith(
        "text/csv"
    )


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_parquet_holds_the_rows_of_the_warehouse(
    name: str, built: Connection, client: S3Client, keys: list[str]
) -> None:
    contract, rows = CONTRACTS[name], report_rows(built, name, LAST)
    assert rows
    table = pq.read_table(io.BytesIO(read(client, f"{PREFIX}{name}.parquet")))
    exact = {column.name for column in contract.columns if column.physical_type != "numeric"}
    for column in contract.columns:
        values = [row[column.name] for row in rows]
        if column.name not in exact:  # a statistic: a numeric without bounds is a double
            values = [None if value is None else float(value) for value in values]
        assert table[column.name].to_pylist() == values, column.name
        field = table.schema.field(column.name)
        assert field.nullable is not column.required
        if column.physical_type.startswith("numeric("):
            assert pa.types.is_decimal(field.type)
            assert str(field.type) == f"decimal128({column.physical_type[8:-1].replace(',', ', ')})"
    assert table.schema.field("month").type == pa.date32()
    assert table.schema.names == contract.names
    frame = pd.read_parquet(io.BytesIO(read(client, f"{PREFIX}{name}.parquet")))
    assert (len(frame), list(frame.columns)) == (len(rows), contract.names)


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_csv_holds_the_rows_of_the_warehouse(name: str, built: Connection, client: S3Client, keys: list[str]) -> None:
    contract, rows = CONTRACTS[name], report_rows(built, name, LAST)
    text = read(client, f"{PREFIX}{name}.csv").decode("utf-8")
    header, *records = csv.reader(io.StringIO(text))
    assert header == contract.names

    def written(value: object) -> str:
        if isinstance(value, bool):
            return "t" if value else "f"
        return "" if value is None else str(value)

    def cell(text: str, value: object) -> bool:
        return Decimal(text) == value if isinstance(value, Decimal) else restored(text) == written(value)

    assert len(records) == len(rows)
    for record, row in zip(records, rows, strict=True):
        for text_of_cell, name_of_cell in zip(record, contract.names, strict=True):
            assert cell(text_of_cell, row[name_of_cell]), (name_of_cell, text_of_cell, row[name_of_cell])
    assert len(pd.read_csv(io.StringIO(text))) == len(rows)


def test_money_keeps_its_cents_in_csv(client: S3Client, keys: list[str]) -> None:
    rows = csv.DictReader(io.StringIO(read(client, f"{PREFIX}top_customers.csv").decode()))
    cents = [row["revenue_eur"].rpartition(".")[2] for row in rows]
    assert {len(text) for text in cents} == {2}


def test_the_manifest_matches_the_objects_and_the_warehouse(
    built: Connection, client: S3Client, keys: list[str]
) -> None:
    manifest = json.loads(read(client, keys[-1]))
    assert (manifest["last_day"], manifest["run_id"], manifest["code_version"]) == ("2026-03-31", "test", "abc123")
    assert {item["key"] for item in manifest["objects"]} == set(keys[:-1])
    for item in manifest["objects"]:
        body = read(client, item["key"])
        assert (item["size_bytes"], item["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert {report["table"] for report in manifest["reports"].values()} == {one.table for one in CONTRACTS.values()}
    assert {report["period"] for report in manifest["reports"].values()} == {LAST}
    for name, report in manifest["reports"].items():
        assert report["row_count"] == len(report_rows(built, name, LAST))
        assert len(report["content_sha256"]) == 64
        has_sql = name not in ("descriptive_statistics", "industry_exposure_extended")
        assert (report["sql_sha256"] is not None) == has_sql
    data = {file.key: hashlib.sha256(file.body).hexdigest() for file in sample(LAST, 3, scale=0.3).files}
    assert {file["key"]: file["sha256"] for file in manifest["files"]} == data
    for file in manifest["files"]:  # each version can be fetched for as long as the bucket keeps it
        version = client.get_object(Bucket="publish-raw", Key=file["key"], VersionId=file["version_id"])
        assert hashlib.sha256(version["Body"].read()).hexdigest() == file["sha256"]


def test_publishing_again_writes_nothing_but_a_new_runs_manifest(
    built: Connection, client: S3Client, keys: list[str]
) -> None:
    before = versions(client)
    assert publish(built, client, "messaging", CONTRACTS.values(), month(LAST), RUN) == keys
    assert versions(client) == before
    assert publish(built, client, "messaging", CONTRACTS.values(), month(LAST), Run("another", "abc123")) == keys
    assert versions(client) == {**before, keys[-1]: before[keys[-1]] + 1}
    assert json.loads(read(client, keys[-1]))["run_id"] == "another"
    publish(built, client, "messaging", CONTRACTS.values(), month(LAST), RUN)


def test_content_with_too_many_warnings_waits_until_exactly_it_is_approved(built: Connection, client: S3Client) -> None:
    name, key = "loyal_top_customers", month("2025-12")
    warning = replace(CONTRACTS[name].checks[-1], query="select 2")
    assert warning.severity == "warning"
    contract = replace(CONTRACTS[name], checks=(warning,), max_warnings=0)

    def build(rank: int, by: Run) -> None:
        text = f"select %(period_start)s::date as month, {rank} as customer_rank, 7 as customer_id, 'x'::text as "
        text += "customer_name, 1.0 as revenue_12_months_eur, 12 as months_with_revenue"
        inputs = partial(known_files, built, "messaging", key)
        build_from_sql(built, contract, inputs, text, key, by)

    def published() -> list[str]:
        return publish(built, client, "messaging", [contract], key, RUN)

    one, other = Run("one", "abc123"), Run("other", "abc123")
    build(1, one)
    (asked,) = held_by(built, [contract], one)
    assert (published(), held_by(built, [contract], other)) == ([], [])
    assert asked.warnings == ("loyal_top_customers_unnamed is 2, must be = 0",)
    assert f"  * loyal_top_customers_unnamed is 2, must be = 0: {warning.description}" in question([asked])
    build(2, other)
    approve(built, [asked], "somebody")
    assert published() == [], "the approved content has changed"
    (asked,) = held_by(built, [contract], other)
    approve(built, [asked], "somebody")
    assert len(published()) == 3
    build(2, one)
    assert (len(published()), held_by(built, [contract], one)) == (3, []), "it was published already"
    build(3, one)
    (asked,) = held_by(built, [contract], one)
    assert "somebody refused to publish messaging_report.loyal_top_customers 2025-12" in reject(
        built, [asked], one, "somebody"
    )
    assert published() == []
    gap = Gap(key, contract.table, "waits for approval, or was not approved")
    assert gap in gaps(built, [contract], [key])
    assert built.execute(
        "select dataset, run_id, message from waybill.rejected_file where dataset = %s", (contract.table,)
    ).fetchall() == [
        (contract.table, "one", "somebody refused to publish it: loyal_top_customers_unnamed is 2, must be = 0")
    ]


def test_an_unbuilt_report_is_an_error_and_nothing_is_written(built: Connection, client: S3Client) -> None:
    with pytest.raises(DataError, match=r"not built: .*messaging_report\.segment_share for 2026-01.*Run the tasks"):
        publish(built, client, "messaging", CONTRACTS.values(), month("2026-01"), RUN)
    assert "Contents" not in client.list_objects_v2(Bucket="publish-reports", Prefix="analytics/2026/01/")


def test_a_month_without_rows_is_published_with_its_columns(built: Connection, client: S3Client) -> None:
    """No customer changed segment: the file has a header and no rows."""
    name = "loyal_top_customers"
    assert report_rows(built, name, "2026-02") == []
    [_, _, manifest] = publish(built, client, "messaging", [CONTRACTS[name]], month("2026-02"), RUN)
    assert json.loads(read(client, manifest))["reports"][name]["row_count"] == 0
    prefix = "analytics/2026/02/28/"
    assert read(client, f"{prefix}{name}.csv").decode().strip() == ",".join(CONTRACTS[name].names)
    table = pq.read_table(io.BytesIO(read(client, f"{prefix}{name}.parquet")))
    assert (table.num_rows, table.schema.names) == (0, CONTRACTS[name].names)


def test_restricted_columns_are_published_as_pseudonyms(
    built: Connection, client: S3Client, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CONTRACTS["segment_changes"]
    columns = [
        replace(column, classification="restricted") if column.name in ("customer_id", "customer_name") else column
        for column in plain.columns
    ]
    restricted = replace(plain, columns=tuple(columns))
    settings.cache_clear()
    with pytest.raises(SettingsError, match=r"WAYBILL_MASK_KEY is not set\. messaging_report\.segment_changes"):
        publish(built, client, "messaging", [restricted], month(LAST), RUN)
    monkeypatch.setenv("WAYBILL_MASK_KEY", "the key of this test, long enough")
    settings.cache_clear()
    publish(built, client, "messaging", [restricted], month(LAST), RUN)
    [row] = csv.DictReader(io.StringIO(read(client, f"{PREFIX}segment_changes.csv").decode()))
    assert pq.read_table(io.BytesIO(read(client, f"{PREFIX}segment_changes.parquet"))).to_pylist() == [
        {**row, "month": date(2026, 3, 1), "changed_net": True, "changed_ever": True}
    ]
    stored = report_rows(built, "segment_changes", LAST)[0]
    for name in ("customer_id", "customer_name"):
        code = hmac.new(b"the key of this test, long enough", str(stored[name]).encode(), "sha256")
        assert row[name] == code.hexdigest()[:32]
    monkeypatch.undo()
    settings.cache_clear()
    publish(built, client, "messaging", CONTRACTS.values(), month(LAST), RUN)


@pytest.mark.parametrize("name", ["top_customers", "messaging_report.top_customers"])
def test_a_trace_names_files_checks_and_code(name: str, built: Connection) -> None:
    found = trace(built, name, month(LAST))
    assert (found.report, found.run_id, found.code_version) == ("messaging_report.top_customers", "test", "abc123")
    assert found.row_count == len(report_rows(built, "top_customers", LAST))
    files = {file["object_key"]: file for file in found.files}
    read = [file for file in sample(LAST, 3, scale=0.3).files if file.dataset in ("customers", "traffic")]
    assert set(files) == {file.key for file in read}
    for file in read:
        entry: dict[str, Any] = files[file.key]
        assert entry["sha256"] == hashlib.sha256(file.body).hexdigest()
        assert entry["period"] == date.fromisoformat(f"{file.period}-01")
    assert {check["check_name"]: check["passed"] for check in found.checks} == {
        "top_customers_beyond_20": True,
        "top_customers_unnamed": True,
        "top_customers_wrong": True,
    }


def test_a_trace_counts_the_ignored_lines_of_its_files(built: Connection) -> None:
    out = io.StringIO()
    with built.transaction(force_rollback=True):
        built.execute(
            "update waybill.load_file set ignored_lines = %s where dataset like '%%traffic'", (Jsonb({"^#": 2}),)
        )
        found = trace(built, "top_customers", month(LAST))
        print_tables(*waybill_tables(found), console=Console(file=out, width=200))
    told = [line.split()[-2:] for line in out.getvalue().splitlines() if "^#" in line]
    assert told == [["^#", "2"]] * sum(file["dataset"].endswith("traffic") for file in found.files)
    assert "Ignored lines of these files" in out.getvalue()


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("top_customer", LAST, r"reports that were built: .*messaging_report\.top_customers"),
        ("top_customers", "2026-01", f"it was built for {LAST}, 2026-02$"),
    ],
)
def test_a_trace_of_an_unbuilt_period_lists_the_built_ones(
    name: str, key: str, expected: str, built: Connection
) -> None:
    with pytest.raises(DataError, match=f"^{name} was not built for {key}; {expected}"):
        trace(built, name, month(key))
