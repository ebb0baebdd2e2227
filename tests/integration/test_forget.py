"""A forgotten customer is in no table, no file of the lake and no published report, and no load brings them back."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection, sql
from typer.testing import CliRunner

from support.lake import Lake
from support.landing import CUSTOMERS as CUSTOMERS_HEADER
from support.landing import TRAFFIC as TRAFFIC_HEADER
from support.landing import Amend, Landing, MemoryBucket, csv_body, customer_rows, traffic_rows
from support.messaging_months import RUN, database
from support.stream import click, counter
from support.waiting import eventually
from waybill.cli import app
from waybill.contracts import load_domain, locations
from waybill.derived.build import report_contracts
from waybill.derived.refresh import refresh
from waybill.derived.refresh_features import refresh_features
from waybill.erasure.forget import Certificate, forget
from waybill.erasure.texts import FREE_TEXTS, RECORDS
from waybill.errors import DataError
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.intake.replay import replay
from waybill.ops.books import balances
from waybill.ops.provenance import trace
from waybill.outputs.iceberg_tables import open_catalog
from waybill.outputs.lake import write_changed_days
from waybill.outputs.publish import csv_key, publish_changed
from waybill.period import Period
from waybill.settings import SettingsError, settings
from waybill.warehouse.connection import connect
from waybill.warehouse.forgotten import ForgottenMeanwhile
from waybill_devtools.sampledata.shop import generate
from waybill_devtools.stack import Stack

SAMPLE = generate("2026-03-03", days=2, scale=0.03)
DAY = Period.parse("day", "2026-03-03")
ID = "4711"
NAME, EMAIL, OLD_EMAIL, REVIEW = (
    "Zita Quux",
    "zita.quux@example.net",
    "zita@former.example",
    "Zita here: it broke at once",
)
VALUES = (NAME, EMAIL, OLD_EMAIL, REVIEW)
CUSTOMERS = csv_body(
    "customer_id,name,email,registration_date,country,updated_at",
    [
        f"{ID},{NAME},{OLD_EMAIL},2020-01-31,DE,2026-03-01T10:00:00Z",
        f"{ID},{NAME},{EMAIL},2020-01-31,AT,2026-03-02T10:00:00Z",
        f"0{ID},{NAME},{EMAIL},2020-01-31,Austria,2026-03-02T11:00:00Z",
        "4712,Other Person,other@example.net,2020-01-31,DE,2026-03-02T11:00:00Z",
        f"9x9,{NAME},{EMAIL},2020-01-31,DE,2026-03-02T12:00:00Z",
        f"{ID},{NAME},{EMAIL},2020-01-31,DE",
    ],
)
TRANSACTIONS = csv_body(
    "transaction_id,customer_id,product_id,quantity,price,total_amount,transaction_ts,status,payment_method",
    [f"900000{n},{ID},{n},2,10.00,20.00,2026-03-0{n}T12:00:00Z,completed,card" for n in (1, 2, 3)]
    + [f"9000004,{ID},1,2,10.00,21.00,2026-03-03T12:00:00Z,completed,card"],
)
REVIEWS = csv_body(
    "review_id,product_id,customer_id,rating,review_text,review_date",
    [f"900001,1,{ID},1,{REVIEW},2026-03-02", "900002,1,4712,5,Great,2026-03-02"],
)
CLICKS = csv_body(
    "event_id,session_id,customer_id,event_type,page,product_id,ts,device",
    [
        f"00000000-0000-4000-8000-00000000000{n},00000000-0000-4000-8000-0000000000aa,{ID},page_view,/,,"
        f"2026-03-02T0{n}:00:00Z,mobile"
        for n in (1, 2)
    ],
)
OWN = {"customers": CUSTOMERS, "transactions": TRANSACTIONS, "clickstream": CLICKS, "reviews": REVIEWS}
CHANGED_REVIEW = REVIEWS.replace(b",1,4711,1,", b",1,4711,2,")


@dataclass
class Shop:
    """A warehouse with the sample and a customer, its lake and its published reports."""

    connection: Connection
    lake: Lake
    bucket: MemoryBucket
    dsn: str

    def load(self, dataset: str, body: bytes, name: str, day: Period = DAY) -> Books | None:
        contracts = load_domain("shop")
        landed = self.bucket.put("shop", dataset, day, body, name)
        contract = replace(contracts[dataset], reject_threshold_pct=100)
        return ingest_file(self.connection, self.bucket, landed, contract, contracts, RUN)  # type: ignore[arg-type]

    def run(self) -> dict[str, list[str]]:
        """Do what a run of the DAG does after the intake; return the rebuilt periods."""
        s3, contracts = boto3.client("s3"), load_domain("shop")
        catalog = open_catalog(boto3.Session(), s3)
        rebuilt = {}
        for schema in ("shop_star", "shop_report"):
            rebuilt |= refresh(self.connection, "shop", schema, RUN)
        refresh_features(self.connection, "shop", RUN)
        in_lake = [contracts["customers"], contracts["reviews"], load_domain("shop_star")["fact_sales"]]
        write_changed_days(self.connection, s3, catalog, in_lake, RUN)
        publish_changed(self.connection, s3, "shop", RUN)
        return rebuilt

    def forget(self, *ids: str, dry: bool = False) -> list[Certificate]:
        return forget(self.connection, "shop", [("customer", one) for one in ids or (ID,)], RUN, "test", is_dry=dry)

    def tables_with(self, *values: str, names_id: str | None = ID) -> dict[str, int]:
        """Return the rows of every table that have a value, or the id in a column for ids, by PostgreSQL's catalog."""
        found = {}
        for schema, table in self.all(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p', 'm') and not c.relispartition and n.nspname !~ '^(pg_|information_schema)'"
        ):
            rows = [
                row
                for (row,) in self.all(sql.SQL("select to_jsonb(t) from {} as t").format(sql.Identifier(schema, table)))
            ]
            number = sum(self._has(row, values, names_id) for row in rows)
            if number:
                found[f"{schema}.{table}"] = number
        return found

    @staticmethod
    def _has(row: dict[str, Any], values: tuple[str, ...], names_id: str | None) -> bool:
        text = json.dumps(row, ensure_ascii=False).lower()
        named = names_id and (
            str(row.get("customer_id")) == names_id
            or re.search(rf"customer_id\W{{1,8}}0*{names_id}\b", text) is not None
        )
        return bool(named) or any(value.lower() in text for value in values)

    def objects_with(self, *values: str) -> list[str]:
        """Return the published objects, and files of the lake's current snapshots, that show the customer."""
        s3, found = self.lake.s3, []
        for item in s3.list_objects_v2(Bucket=self.lake.bucket, Prefix="analytics/").get("Contents", []):
            body = s3.get_object(Bucket=self.lake.bucket, Key=item["Key"])["Body"].read()
            if item["Key"].endswith(".parquet"):
                rows = pq.read_table(io.BytesIO(body)).to_pylist()
            elif item["Key"].endswith(".csv"):
                header, *lines = body.decode("utf-8-sig").splitlines()
                rows = [dict(zip(header.split(","), line.split(","), strict=False)) for line in lines]
            else:
                rows = [{"text": body.decode()}]
            if any(self._has({k: str(v) for k, v in row.items()}, values, ID) for row in rows):
                found.append(item["Key"])
        for contract in [*load_domain("shop").values(), *load_domain("shop_star").values()]:
            for key in self.lake.files(contract):
                body = s3.get_object(Bucket=self.lake.bucket, Key=key)["Body"].read()
                rows = pq.read_table(io.BytesIO(body)).to_pylist()
                if any(self._has({k: str(v) for k, v in row.items()}, values, ID) for row in rows):
                    found.append(key)
        return found

    def hashes(self) -> dict[tuple[str, str, str], str]:
        return {
            (report, cadence, str(period)): content
            for report, cadence, period, content in self.all(
                "select report, cadence, period, content_sha256 from waybill.publication"
            )
        }

    def all(self, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()


@pytest.fixture(scope="module")
def loaded_dsn(stack: Stack) -> Iterator[str]:
    """A warehouse with the files of the sample and those with the customer."""
    with database(stack) as dsn:
        with connect(dsn) as connection:
            found = Shop(connection, None, MemoryBucket(), dsn)  # type: ignore[arg-type]
            for file in SAMPLE.files:
                found.load(file.dataset, file.body, file.key.rsplit("/", 1)[1], Period.parse("day", file.period))
            for dataset, body in OWN.items():
                found.load(dataset, body, "own.csv")
            found.load("reviews", CHANGED_REVIEW, "own-2.csv")
            connection.execute(
                "insert into waybill.file_warning (file_id, kind, message) "
                "select min(file_id), 'conflict', %s from waybill.load_file where dataset = 'shop.customers'",
                (f"1 row differs (first: customer_id {ID}, updated_at 2026-03-02); asked by {EMAIL.upper()}",),
            )
        yield dsn


@pytest.fixture
def shop(stack: Stack, loaded_dsn: str, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", lake.bucket)
    with database(stack, loaded_dsn) as dsn:
        monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        with connect(dsn) as connection:
            yield Shop(connection, lake, MemoryBucket(), dsn)
    settings.cache_clear()


def pseudonyms() -> list[str]:
    import hmac

    key = settings().mask_key
    assert key
    secret = key.get_secret_value().encode()
    return [hmac.digest(secret, value.encode(), "sha256").hex()[:32] for value in VALUES]


RUNNER = CliRunner()
COMMAND = ["forget", "--domain", "shop", "--customer", ID]
AGGREGATES = ("daily_kpis", "revenue_trend", "conversion_funnel", "return_rate", "cohort_retention", "co_purchases")
OTHERS = (
    "best_sellers_by_category",
    "top_products_30_days",
    "top_products_by_category",
    "average_order_value_by_country",
)
SHOWN = ("top_buyers", "customer_lifetime_value", "rfm_segments")


def test_a_forgotten_customer_is_nowhere_and_stays_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = counter(shop.connection, "shard-0")
    noon = datetime(2026, 3, 3, 12, tzinfo=UTC)
    event = click(7, noon, customer_id=int(ID))
    one.count([event, click(8, noon), click(9, noon, customer_id=int(ID), device=""), b'{"customer_id": 4711, "x"'])
    shop.run()
    before, books = shop.hashes(), balances(shop.connection, "shop", [DAY])
    windows = shop.all("select minute, kind, dimension, value, events from waybill.stream_count order by 1, 2, 3, 4")
    distinct = shop.all("select count(distinct customer_id), count(*), sum(total_amount) from shop.transactions")
    assert {"shop.customers_changes", "shop.reviews_superseded", "waybill.quarantine", "waybill.stream_event"} <= set(
        shop.tables_with(*VALUES)
    )
    assert shop.objects_with(*VALUES, *pseudonyms())

    listed = RUNNER.invoke(app, COMMAND)
    assert listed.exit_code == 0, listed.output
    assert "shop.customers_changes: 2 rows" in listed.output
    assert "Nothing was changed" in listed.output
    seen = RUNNER.invoke(app, [*COMMAND, "--verify", "--value", EMAIL])
    assert seen.exit_code == 1
    for place in ("shop.customers_changes", "lake: shop.customers", "shop_report.top_buyers", "waybill.quarantine"):
        assert place in seen.output
        [first, *_] = [line for line in seen.output.splitlines() if line.startswith(place)]
        is_later = "(rewritten by the next run of shop_daily after the erasure)" in first
        assert is_later == (place in ("lake: shop.customers", "shop_report.top_buyers")), first
    (dry,) = shop.forget(dry=True)
    assert shop.hashes() == before
    assert shop.all("select * from waybill.erasure") == []
    assert "shop.customers_changes" in shop.tables_with(*VALUES)
    answer = RUNNER.invoke(app, [*COMMAND, "--confirm", "--json", "--asked-by", "request 1"])
    assert answer.exit_code == 0, answer.output
    assert all(value not in answer.output for value in (*VALUES, f'"{ID}"'))
    done = Certificate(**json.loads(answer.output)[0])
    assert (done.erasure, done.asked_by) == (1, "request 1")
    assert (done.erased, done.waiting, done.days) == (dry.erased, dry.waiting, dry.days)
    assert done.erased["shop.customers_changes"] == 2
    assert done.erased["shop.transactions"] == 3
    assert done.erased["shop.clickstream"] == 2
    assert done.erased["shop.reviews"] == 1
    assert done.erased["shop.reviews_superseded"] == 1
    assert done.erased["waybill.quarantine"] == 4
    assert done.erased["waybill.stream_event"] == 1
    assert done.erased["waybill.stream_rejected"] == 2
    assert done.erased["waybill.file_warning"] >= 1
    assert done.erased["waybill.file_profile"] >= 1
    held = {left["place"] for left in done.left if "holds the person" in left["what"]}
    prefixes = {
        f"s3://memory/{locations.raw_prefix('shop', name, DAY)}own.csv" for name in ("customers", "transactions")
    }
    assert prefixes <= held
    assert "clicks.clickstream" in {left["place"] for left in done.left}
    places = {waiting["place"] for waiting in done.waiting}
    assert {f"shop_report.{name}.customer_id" for name in SHOWN} <= places
    assert "shop_star.fact_sales.customer_id" in places
    remaining = {table for table in shop.tables_with(*VALUES) if not table.startswith(("shop_star.", "shop_report."))}
    assert remaining == set()

    rebuilt = shop.run()
    assert shop.tables_with(*VALUES, *pseudonyms()) == {}
    assert shop.objects_with(*VALUES, *pseudonyms()) == []
    assert shop.run() == {}
    absent = csv_key(report_contracts("shop")["daily_kpis"], DAY)
    shop.lake.s3.delete_object(Bucket=shop.lake.bucket, Key=absent)
    with caplog.at_level("WARNING"):
        clean = RUNNER.invoke(app, [*COMMAND, "--verify", "--value", EMAIL, "--value", NAME])
    assert clean.exit_code == 0, clean.output
    assert f"{absent} is absent" in caplog.text
    assert {f"shop_report.{name}" for name in SHOWN} <= rebuilt.keys()
    after = shop.hashes()
    assert (
        "replace the id of 1 person" in trace(shop.connection, "top_buyers", Period.parse("month", "2026-03")).forgotten
    )
    assert trace(shop.connection, "daily_kpis", DAY).forgotten == ""
    of_aggregates = {key for key in before if key[0].partition(".")[2] in (*AGGREGATES, *OTHERS)}
    assert len(of_aggregates) > 10
    assert {key for key in of_aggregates if before[key] != after[key]} == set()
    assert all(after[key] != before[key] for key in before if key[0] == "shop_report.top_buyers")
    assert balances(shop.connection, "shop", [DAY]) == books
    assert (
        shop.all("select count(distinct customer_id), count(*), sum(total_amount) from shop.transactions") == distinct
    )
    assert (
        shop.all("select minute, kind, dimension, value, events from waybill.stream_count order by 1, 2, 3, 4")
        == windows
    )
    rows = shop.all(
        sql.SQL(
            "select name, email, country from shop.customers_changes where customer_id = {} order by updated_at"
        ).format(int(done.tombstone))
    )
    assert rows == [("forgotten-1", "forgotten-1@forgotten.invalid", country) for country in ("DE", "AT")]

    (again,) = shop.forget()
    assert again.is_empty
    assert shop.all("select count(*) from waybill.erasure") == [(1,)]
    assert ID not in str(shop.all("select * from waybill.erasure"))

    with monkeypatch.context() as patch:
        patch.setattr("support.stream.forgotten_people", lambda *_: None)
        with pytest.raises(ForgottenMeanwhile):
            one.count([event])
    counts = one.count([event, click(10, noon, customer_id=int(ID))])
    assert (counts.repeated, counts.counted) == (1, 1), "a repeated event is recognised"
    loaded = shop.load("customers", CUSTOMERS, "again.csv")
    assert loaded
    assert loaded.inserted == 0
    assert loaded.rejected == 3
    assert shop.load("transactions", TRANSACTIONS, "again.csv")
    assert shop.load("reviews", REVIEWS, "own-2.csv"), "an older version returns"
    replay(shop.connection, load_domain("shop")["customers"], load_domain("shop"), RUN)
    found = shop.tables_with(*VALUES)
    assert found == {"waybill.quarantine": 1}, "only a row with another id, which shows the customer by values"
    shop.run()
    assert shop.objects_with(*VALUES, *pseudonyms()) == []
    (more,) = shop.forget()
    assert more.is_empty, "the values are not stored"
    assert any("own-2.csv" in one["place"] and "holds the person" in one["what"] for one in more.left)
    (more,) = forget(shop.connection, "shop", [("customer", ID)], RUN, "test", is_dry=False, values=[EMAIL, NAME])
    assert more.erased == {"waybill.quarantine": 1}
    assert shop.tables_with(*VALUES) == {}


KEYS = {
    "alembic_version": "version_num",
    "alert": "dag_id run_id kind channels",
    "alert_delivery": "dag_id run_id kind channel",
    "anomaly": "dataset cadence measure column_name past run_id accepted_as accepted_by",
    "change": "table_name cadence",
    "check_result": "subject check_name severity operator run_id cadence",
    "checkpoint": "dataset",
    "contract": "dataset version sha256 document file_order",
    "drift": "dataset kind column_name bucket first_key last_key examples run_id accepted_by rejected_keys",
    "erasure": "domain kind declared person tombstone key_check asked_by code_version certificate",
    "feature_drift": "feature_table column_name",
    "feature_version": "feature_table view sql_sha256 contract_sha256 retired_by",
    "file_profile": "column_name",
    "file_warning": "kind",
    "horizon": "dataset run_id",
    "incident": "key kind domain severity acknowledged_by muted_by closed_by",
    "incident_event": "event by_whom",
    "incident_run": "dag_id run_id task_id scope",
    "lake_commit": "table_name content_sha256 run_id code_version",
    "lake_maintenance": "table_name action details run_id",
    "lake_request": "domain dag_id run_id",
    "lake_state": "table_name",
    "load_file": "dataset bucket object_key version_id etag sha256 status contract_sha256 contract_version "
    "code_version run_id kept_values name_key brought_columns gone archive_members ignored_lines",
    "personal_column": "column_name kind found_in",
    "processed_day": "dataset",
    "publication": "report content_sha256 sql_sha256 code_version run_id cadence inputs contract_sha256 "
    "exported_sha256",
    "published": "report cadence content_sha256 sql_sha256 code_version run_id inputs object_sha256 published_by",
    "published_snapshot": "report cadence content_sha256 table_name",
    "quarantine": "reasons contract_version resolved_as resolved_by",
    "rejected_file": "dataset object_key etag run_id contract_version brought_columns",
    "report_profile": "report cadence column_name",
    "retention": "dataset element place run_id",
    "reveal": "dataset shard revealed_by shown_in",
    "stream": "dataset name",
    "stream_archive": "dataset object_key sha256",
    "stream_consumer": "consumer dataset",
    "stream_count": "dataset kind dimension",
    "stream_event": "dataset event_id shard session kind",
    "stream_measurement": "dataset",
    "stream_rejected": "dataset shard reasons contract_version resolved_as resolved_by",
    "stream_session": "dataset session",
    "stream_shard": "dataset shard parents position owner",
    "table_day": "table_name",
    "training_set": "name views location earlier_locations labels_sha256 content_sha256 manifest code_version "
    "created_by lake_table deleted_by left_locations gone_locations",
    "watch_look": "what",
    "watched": "dataset contract_sha256",
    "whole_listing": "dataset location contract_sha256 kept_values",
}
"""The texts of the schema waybill that hold no values of rows. Decide about each new column: here, or `FREE_TEXTS`."""


def test_every_text_of_the_operations_is_a_key_or_searched(shop: Shop) -> None:
    found = shop.all(
        "select c.relname, a.attname from pg_class as c inner join pg_attribute as a on a.attrelid = c.oid "
        "where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition "
        "and a.attnum > 0 and not a.attisdropped and a.atttypid::regtype::text ~ '^(text|json|character)'"
    )
    searched = [(table, name) for texts in (FREE_TEXTS, RECORDS) for table, names in texts.items() for name in names]
    keys = [(table, name) for table, names in KEYS.items() for name in names.split()]
    assert sorted([*searched, *keys]) == sorted(found)


def test_training_sets_are_listed_and_searched(shop: Shop, tmp_path: Path) -> None:
    def register(name: str, columns: str, location: Path, view: str = "customer_orders_v1") -> None:
        shop.connection.execute(
            """
            insert into waybill.training_set (
              name, views, is_as_of_now, location, row_count, labels_sha256, content_sha256, manifest, code_version,
              created_by
            )
            values (%s, %s, false, %s, 2, '', '', %s, '', 'ann')
            """,
            (name, [f"shop_feature.{view}"], str(location), json.dumps({"columns": {columns: "int64"}})),
        )

    for name, ids in {"with": [int(ID), 4], "without": [4, 5]}.items():
        register(name, "customer_id", tmp_path / f"{name}.parquet")
        pq.write_table(pa.table({"customer_id": ids}), tmp_path / f"{name}.parquet")
    register("of-products", "product_id", tmp_path / "products.parquet", "product_sales_v1")
    register("renamed", "buyer", tmp_path / "renamed.parquet")
    shop.connection.execute(
        "update waybill.training_set set earlier_locations = '{/earlier/with.parquet}' where name = 'with'"
    )
    register("elsewhere", "customer_id", tmp_path / "elsewhere.parquet")
    register("deleted", "customer_id", tmp_path / "deleted.parquet")
    pq.write_table(pa.table({"customer_id": [int(ID)] * 2}), tmp_path / "left.parquet")
    register("not-reached", "customer_id", tmp_path / "gone.parquet")
    for name, left in {"deleted": [], "not-reached": [str(tmp_path / "left.parquet")]}.items():
        shop.connection.execute(
            "update waybill.training_set set deleted_at = now(), deleted_by = 'ann', left_locations = %s "
            "where name = %s",
            (left, name),
        )
    listed = RUNNER.invoke(app, [*COMMAND, "--json"]).output
    ends = {one["place"]: one["until"] for one in json.loads(listed)[0]["left"]}
    places = ends.keys()
    command = "`waybill features delete-set {}`"
    assert ends[str(tmp_path / "with.parquet")] == (
        f"an operator runs {command.format('with')} on the machine with the file, or deletes the file"
    )
    assert ends[str(tmp_path / "left.parquet")].startswith(
        f"{command.format('not-reached')} runs where the file is, or is told by --gone"
    )
    assert ends[f"s3://{settings().lake_bucket}/training/"].startswith("the lifecycle of the bucket removes versions;")
    assert not places & {str(tmp_path / "deleted.parquet"), str(tmp_path / "gone.parquet")}
    assert {str(tmp_path / f"{name}.parquet") for name in ("with", "without", "elsewhere", "renamed")} <= places
    assert "/earlier/with.parquet" in places
    assert str(tmp_path / "products.parquet") not in places
    seen = RUNNER.invoke(app, [*COMMAND, "--verify"])
    assert f"{tmp_path}/with.parquet: 1\n" in seen.output
    assert f"{tmp_path}/left.parquet: 2\n" in seen.output
    assert f"{tmp_path}/without.parquet" not in seen.output


def test_only_texts_that_nobody_else_has_are_replaced(shop: Shop) -> None:
    header, remark = "review_id,product_id,customer_id,rating,review_text,review_date", "Exactly as described - thanks"
    rows = [f"91000{n},1,{4712 + n},5,{remark},2026-03-02" for n in range(1, 5)]
    shop.load("reviews", csv_body(header, [*rows, f"9{ID},1,{ID},5,{remark},2026-03-02"]), "same.csv")
    customers = CUSTOMERS.splitlines()[0].decode()
    row = f"{ID},Transactions,4711@example.net,2020-01-31,DE,2026-03-02T13:00:00Z"
    shop.load("customers", csv_body(customers, [row]), "named.csv")
    shop.load("reviews", csv_body(header, [f"920001,1,9999,x,{remark},2026-03-02"]), "others.csv")
    connection, contract = shop.connection, load_domain("shop")["customers"]
    reasons = json.dumps([{"reason": "x", "rows": 1, "first": [{"text": f'{EMAIL}"\\'}, {"customer_id": int(ID)}]}])
    connection.execute(
        "insert into waybill.rejected_file (dataset, object_key, etag, run_id, message, reasons, contract_version) "
        "values (%s, 'a', 'a', 'r', %s, %s, '1')",
        (contract.table, f'text "{REVIEW}" and {EMAIL} in line 3', reasons),
    )
    for value, events in (("/", 4), (f"/of/{EMAIL}", 3), (f"/of/{OLD_EMAIL}", 2)):
        connection.execute(
            "insert into waybill.stream_count (dataset, minute, kind, dimension, value, events) "
            "values ('shop.clickstream', '2026-03-03 12:00+00', 'page_view', 'source', %s, %s)",
            (value, events),
        )
    connection.execute(
        "insert into waybill.alert (dag_id, run_id, kind, message) values ('messaging_monthly', 'r', 'k', %s), "
        "('shop_daily', 'r', 'k', %s), ('messaging_monthly', 's', 'k', %s)",
        (f"about {EMAIL}", f"about {EMAIL}", f"shop.customers: about {EMAIL}"),
    )
    (one,) = counter(connection, "shard-0")
    noon = datetime(2026, 3, 3, 12, tzinfo=UTC)
    escaped = json.dumps(click(9, noon, customer_id=ID)).replace(f'"{ID}"', r'"\u0034711"').encode()
    counts = one.count([click(7, noon, page=f"/of/{EMAIL}"), click(8, noon), escaped])
    assert counts.counted == 3
    kept = [
        "select dataset, object_key, status from waybill.load_file order by 1, 2",
        "select raw from waybill.quarantine where raw ~ '9999' order by 1",
        "select * from waybill.checkpoint order by dataset",
        "select digest from waybill.stream_event where event_id !~ '9$' order by event_id",
    ]
    before = [shop.all(query) for query in kept]
    (done,) = shop.forget()
    assert [shop.all(query) for query in kept] == before
    assert remark in str(before[1])
    assert done.shared_values >= 2, "the remark and the word"
    assert shop.all("select value, events from waybill.stream_count where dimension = 'source' order by 1") == [
        ("/", 4),
        ("/of/forgotten-1", 5),
    ]
    assert shop.all("select message, reasons from waybill.rejected_file where object_key = 'a'") == [
        (
            'text "forgotten-1" and forgotten-1 in line 3',
            [
                {
                    "reason": "x",
                    "rows": 1,
                    "first": [{"text": 'forgotten-1"\\'}, {"customer_id": int(done.tombstone)}],
                }
            ],
        )
    ]
    assert shop.all("select message from waybill.alert order by dag_id, run_id") == [
        (f"about {EMAIL}",),
        ("shop.customers: about forgotten-1",),
        ("about forgotten-1",),
    ]
    assert re.search(rf"{EMAIL}|u0034711", str(shop.all("select raw from waybill.stream_event"))) is None
    assert one.count([escaped]).repeated == 1
    assert one.count([click(7, noon, page=f"/of/{EMAIL}")]).repeated == 1
    assert shop.forget()[0].is_empty


def test_a_column_that_is_classified_later_is_erased_in_rows_of_forgotten_people(shop: Shop, include_dir: Path) -> None:
    manifest = include_dir / "domains" / "shop.yaml"
    manifest.write_text(manifest.read_text().replace("[page, device, product_id]", "[device]"))
    (one,) = counter(shop.connection, "shard-0")
    one.count([click(7, datetime(2026, 3, 3, 12, tzinfo=UTC), customer_id=int(ID), page="/mine")])
    (first,) = shop.forget()
    for path, name in (("customers", "country"), ("clickstream", "page")):
        contract = include_dir / "contracts" / "shop" / f"{path}.yaml"
        text = contract.read_text()
        contract.write_text(text.replace(f"- name: {name}\n", f"- name: {name}\n        classification: restricted\n"))
    assert shop.forget(dry=True)[0].erased["shop.customers_changes"] == 2
    (second,) = shop.forget()
    assert second.tombstone == first.tombstone
    query = "select distinct country from shop.customers_changes where customer_id = %s"
    assert shop.all(query, (first.tombstone,)) == [("XX",)]
    assert "/mine" not in str(shop.all("select raw from waybill.stream_event"))
    assert second.erased["waybill.quarantine"] >= 1
    assert shop.forget()[0].is_empty


def test_the_command_refuses_what_it_cannot_do(shop: Shop) -> None:
    (done,) = shop.forget()
    unknown = RUNNER.invoke(app, ["forget", "--domain", "shop", "--customer", "777"])
    assert "No row of shop names this customer. Check the id" in unknown.output
    printed = RUNNER.invoke(app, ["forget", "--domain", "shop", "--certificate", str(done.erasure)])
    assert json.loads(printed.output) == asdict(done)
    for wrong, message in (
        (["shop", "--customer", "x"], "not of the type integer"),
        (["shop", "--visitor", "1"], "declares no people of the kind 'visitor'"),
        (["shop"], "Name a person"),
        (["shop", "--certificate", "9"], "there is no erasure 9"),
        (["shop", "--customer"], "Name each person"),
        (["shop", f"--customer={done.tombstone}"], "is the tombstone of"),
        (["shop", "--customer", "1", "--customer", "2", "--value", EMAIL], "one person at a time"),
        (["shop", "--customer", "1", "--value", "a@b.c"], "at least 6 characters"),
        (["shop", "--customer", "1", "--verify", "--confirm"], "exclude each other"),
        (["orders", "--customer", "1"], "declares no people"),
    ):
        refused = RUNNER.invoke(app, ["forget", "--domain", *wrong])
        assert refused.exit_code == 1
        assert message in refused.output


def test_loads_stop_if_they_could_not_recognise_a_forgotten_person(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shop.forget(ID, "4712")
    assert first.tombstone != second.tombstone
    body = CUSTOMERS.replace(b"other@", b"others@")
    monkeypatch.setenv("WAYBILL_MASK_KEY", "another key, which is as long as it must be")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="has changed since people of shop were forgotten"):
        shop.load("customers", body, "new.csv")
    with pytest.raises(DataError, match="another one"):
        shop.forget("4712")
    monkeypatch.delenv("WAYBILL_MASK_KEY")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="is not set"):
        shop.load("customers", body, "new.csv")


def test_a_killed_command_leaves_all_or_nothing(shop: Shop) -> None:
    before = shop.tables_with(*VALUES)
    command = [sys.executable, "-m", "waybill", "forget", "--domain", "shop", "--customer", ID, "--confirm"]
    environment = os.environ | {"AIRFLOW_CONN_WAYBILL_WAREHOUSE": shop.dsn}
    with connect(shop.dsn) as other, other.transaction(force_rollback=True):
        other.execute("lock waybill.file_profile in access exclusive mode")  # near the end of the command
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(
            lambda: (
                other.execute(
                    "select count(*) from pg_locks where not granted and relation = 'waybill.file_profile'::regclass"
                ).fetchone()
                == (1,)
            )
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert shop.tables_with(*VALUES) == before
    shop.forget()
    assert shop.tables_with(*VALUES) == {}


def test_ids_may_be_uuids_and_texts(include_dir: Path, shop: Shop) -> None:
    manifest = include_dir / "domains" / "shop.yaml"
    people = "people: {visitor: clickstream.session_id, payer: transactions.payment_method}"
    manifest.write_text(re.sub(r"(?s)people: .*?(?=dashboard:)", f"{people}\n", manifest.read_text()))
    session = "00000000-0000-4000-8000-0000000000aa"
    ids = [("visitor", f"{{{session.upper()}}}"), ("payer", " card ")]
    visitor, payer = forget(shop.connection, "shop", ids, RUN, "test", is_dry=False)
    assert uuid.UUID(visitor.tombstone).version == 4
    assert (visitor.erased["shop.clickstream"], payer.tombstone) == (2, "forgotten-2")
    assert "shop_star.fact_sessions.session_id" in visitor.columns
    count = "select count(*) from shop.clickstream where session_id = %s"
    assert shop.all(count, (visitor.tombstone,)) == [(2,)]
    shop.load("clickstream", CLICKS.replace(b"mobile", b"tablet"), "again.csv")
    shop.load("transactions", TRANSACTIONS, "again.csv")
    assert shop.all(count, (visitor.tombstone,)) == [(2,)]
    assert shop.all(count, (session,)) == [(0,)]
    assert shop.all("select count(*) from shop.transactions where payment_method = 'card'") == [(0,)]


def test_histories_partitions_and_checked_references_follow(
    landing: Landing, amend: Amend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert amend
    monkeypatch.setenv("WAYBILL_MASK_KEY", "the key of this test, long enough")
    settings.cache_clear()
    manifest = settings().include_dir / "domains" / "messaging.yaml"
    text = manifest.read_text().replace("semantics: as of", "semantics: current")
    manifest.write_text(text + "people: {customer: customers.customer_id}\n")
    landing.contracts = load_domain("messaging")
    rows = customer_rows()
    landing.load("traffic", csv_body(TRAFFIC_HEADER, traffic_rows(60)))
    changed = [row.replace("Customer 2", "Zeta Company") for row in rows]
    landing.load("customers", csv_body(CUSTOMERS_HEADER, changed), key_month="2026-02")
    joined = (
        "select count(*), count(distinct t.customer_id), sum(revenue_eur) from messaging.traffic as t "
        "inner join messaging.customers_history as c on c.customer_id = t.customer_id and c.valid_to = 'infinity'"
    )
    before = landing.all(joined)
    (done,) = forget(landing.connection, "messaging", [("customer", "2")], RUN, "test", is_dry=False)
    assert done.erased["messaging.customers_history"] == 2
    assert done.erased["messaging.traffic"] == 28
    assert {"2025-01-01", "2026-02-01"} <= set(done.days["messaging.customers"])
    assert landing.all(joined) == before
    gone = "select count(*) from messaging.customers_history where customer_id = 2 or customer_name ~ 'Customer 2|Zeta'"
    assert landing.column(gone) == [0]
    held = {one["place"].rsplit("/", 2)[1] for one in done.left if "holds" in one["what"]}
    assert held >= {"month=2025-01", "month=2026-02", "month=2026-03"}

    landing.put("traffic", "2026-03", csv_body(TRAFFIC_HEADER, traffic_rows(60, revenue="13.50")))
    (books,) = landing.ingest("traffic", "2026-03").values()
    assert (books.rows_in, books.rejected) == (60, 0), "the tombstone is a customer"
    assert landing.column("select count(*) from messaging.traffic where customer_id = 2") == [0]
    changed = [row.replace("Customer 2", "Another Name").replace("Startup", "Grown") for row in rows]
    landing.load("customers", csv_body(CUSTOMERS_HEADER, changed), key_month="2026-03")
    names = landing.column("select customer_name from messaging.customers where segment = 'Grown' order by 1")
    assert len(names) == 9
    assert "forgotten-1" in names
    assert "Another Name" not in names
