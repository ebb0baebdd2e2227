"""A published CSV holds no formula of a sender that a spreadsheet would run; other outputs are exact."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from support.landing import CUSTOMERS, csv_body
from support.messaging_months import RUN, migrate, month
from waybill.contracts import load_domain
from waybill.contracts.locations import raw_prefix, report_files, report_prefix
from waybill.derived.build import build_from_sql, known_files, report_contracts
from waybill.intake.ingest import ingest
from waybill.outputs.export import copy_csv, csv_for_people
from waybill.outputs.formulas import restored
from waybill.outputs.publish import publish
from waybill.settings import settings as waybill_settings
from waybill.views.business.report import csv_of
from waybill.warehouse.connection import connect
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import relation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FORMULAS = ["=1+1", '=HYPERLINK("http://x","y")', "+49 30 1234", "-5", "@SUM(A1)", "'=1", "''@x", "\uff1d1"]
HARMLESS = ["'s-Hertogenbosch", "a=b", "1-2", "'quoted'"]
MARCH = month("2026-03")
CONTRACT = report_contracts("messaging")["segment_share"]


def texts(body: bytes) -> list[str]:
    return [row["segment"] for row in csv.DictReader(io.StringIO(body.decode(), newline=""))]


def is_run(text: str) -> bool:
    """Return whether a spreadsheet takes the text of a cell for a formula."""
    return text[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@pytest.fixture
def connection(warehouse_dsn: str, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A warehouse with a month whose segments are such texts, and its report is published."""
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    waybill_settings.cache_clear()
    migrate(warehouse_dsn)
    quoted = ['"' + name.replace('"', '""') + '"' for name in (*FORMULAS, *HARMLESS)]
    rows = [f"{n},1,Customer {n},{segment},Retail,DE,2020-01-31" for n, segment in enumerate(quoted, 1)]
    key = f"{raw_prefix('messaging', 'customers', MARCH)}customers.csv"
    s3.put_object(Bucket=bucket, Key=key, Body=csv_body(CUSTOMERS, rows))
    contracts = load_domain("messaging")
    [path] = [path for path in report_files("messaging") if path.stem == "segment_share"]
    text = path.read_text()
    with connect(warehouse_dsn) as connection:
        ingest(connection, s3, contracts["customers"], contracts, MARCH, RUN)
        inputs = partial(known_files, connection, "messaging", MARCH, text)
        build_from_sql(connection, CONTRACT, inputs, text, MARCH, RUN)
        publish(connection, s3, "messaging", [CONTRACT], MARCH, RUN)
        yield connection


def test_a_published_csv_holds_no_formula_and_parquet_is_exact(
    connection: Connection, s3: S3Client, bucket: str
) -> None:
    body, parquet = (
        s3.get_object(Bucket=bucket, Key=f"{report_prefix(MARCH)}segment_share.{ending}")["Body"].read()
        for ending in ("csv", "parquet")
    )
    found = texts(body)
    assert not [text for text in found if is_run(text)]
    assert sorted(map(restored, found)) == sorted([*FORMULAS, *HARMLESS])
    assert set(HARMLESS) <= set(found)
    exact = [row["segment"] for row in pq.read_table(io.BytesIO(parquet)).to_pylist()]
    assert exact == list(map(restored, found)), "in the same order"
    assert csv_of(connection, "messaging", "segment_share", MARCH) == body


def test_a_setting_leaves_texts_as_they_are(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_NEUTRALISE_FORMULAS", "false")
    waybill_settings.cache_clear()
    found = texts(csv_of(connection, "messaging", "segment_share", MARCH))
    assert sorted(found) == sorted([*FORMULAS, *HARMLESS])


CHARACTERS = st.sampled_from("'=+-@\t\r\n \"a,;\uff1d") | st.characters(codec="utf-8", exclude_characters="\0")
SEGMENTS = st.lists(st.text(CHARACTERS, min_size=1), unique=True, min_size=1, max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEGMENTS)
@example(["=", "'=", "''=", "'"])
def test_a_csv_without_its_apostrophes_is_the_data(empty_connection: Connection, segments: list[str]) -> None:
    with empty_connection.transaction(force_rollback=True):
        ensure(empty_connection, CONTRACT)
        names = [column for column in CONTRACT.columns if column.name != "segment"]
        for number, segment in enumerate(segments):
            values = [MARCH.start if column.physical_type == "date" else -number for column in names]
            empty_connection.execute(
                sql.SQL("insert into {} ({}, segment) values ({}, %s)").format(
                    relation(CONTRACT),
                    sql.SQL(", ").join(sql.Identifier(column.name) for column in names),
                    sql.SQL(", ").join(sql.Placeholder() for _ in names),
                ),
                [*values, segment],
            )
        rows = sql.SQL("from {} as r order by r.segment").format(relation(CONTRACT))
        exact = b"".join(copy_csv(empty_connection, CONTRACT, rows))
        shown = b"".join(csv_for_people(empty_connection, CONTRACT, rows))
    assert not [text for text in texts(shown) if is_run(text)]
    assert list(map(restored, texts(shown))) == texts(exact)
    for one, other in zip(
        *(csv.DictReader(io.StringIO(body.decode(), newline="")) for body in (shown, exact)), strict=True
    ):
        assert {name: one[name] for name in one if name != "segment"} == {
            name: other[name] for name in other if name != "segment"
        }, "negative numbers stay"
