"""Every type in a derived table: planned, built, checked, published, and shown to people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection

from support.messaging_months import RUN, migrate
from waybill.contracts import Contract, load, load_all
from waybill.derived.build import BuildInputs, build_from_rows, build_from_sql
from waybill.errors import DataError
from waybill.ops.sql_lint import lint_sql
from waybill.outputs.publish import publish
from waybill.period import Period
from waybill.settings import settings
from waybill.views.business import charts, report
from waybill.views.business.source import published
from waybill.warehouse.connection import connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DAY = Period.parse("day", "2026-03-02")
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders_report.typed
version: 1.0.0
status: active
domain: orders_report
description: {purpose: Every type.}
schema:
  - name: typed
    customProperties:
      - {property: loadMode, value: report}
    properties:
      - {name: day, logicalType: date, physicalType: date, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: size, logicalType: integer, physicalType: smallint, primaryKey: true, primaryKeyPosition: 2}
      - {name: level, logicalType: number, physicalType: double precision}
      - {name: ratio, logicalType: number, physicalType: real}
      - {name: opens, logicalType: time, physicalType: time, logicalTypeOptions: {minimum: '06:00'}}
      - {name: at, logicalType: timestamp, physicalType: timestamp}
      - {name: payload, logicalType: object, physicalType: jsonb}
      - {name: tags, logicalType: array, physicalType: 'text[]', logicalTypeOptions: {maxItems: 2}}
slaProperties:
  - {property: frequency, value: 1, unit: d}
"""
SQL = """\
select
    %(period_start)s::date as day,
    v.size::smallint as size,
    v.level::double precision as level,
    v.ratio::real as ratio,
    v.opens::time as opens,
    v.at::timestamp as at,
    v.payload::jsonb as payload,
    v.tags::text[] as tags
from (
    values
    (1, '0.1', '0.1', '08:30', '2026-03-02 12:00', '{"a": [1.10, 12345678901234567890]}', '{red,"dark, blue"}'),
    (2, '1e-7', '3e38', '23:59:59.999999', '2026-03-02 12:00:00.5', '[]', '{}'),
    (3, null, null, null, null, null, null)
) as v (size, level, ratio, opens, at, payload, tags)
"""
AT = datetime(2026, 3, 2, 12)  # noqa: DTZ001
ROW = {"day": DAY.start, "size": 1, "level": 0.1, "ratio": 0.5, "opens": time(8, 30), "at": AT, "payload": {"a": 1}}
ROW |= {"tags": ["red"]}


@pytest.fixture
def typed(include_dir: Path) -> Contract:
    (include_dir / "contracts/orders_report/typed.yaml").write_text(CONTRACT)
    (include_dir / "sql/orders/typed.sql").write_text(SQL)
    return load(include_dir / "contracts/orders_report/typed.yaml")


@pytest.fixture
def warehouse(warehouse_dsn: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setenv("WAYBILL_REPORTS_BUCKET", bucket)
    settings.cache_clear()
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        yield connection
    settings.cache_clear()


def build(connection: Connection, contract: Contract) -> None:
    build_from_sql(connection, contract, lambda: BuildInputs([]), SQL, DAY, RUN)


def test_the_sql_of_a_report_returns_each_type(
    typed: Contract, include_dir: Path, empty_connection: Connection
) -> None:
    contracts = [one for one in load_all().values() if one.domain in ("orders", "orders_star") or one == typed]
    of_typed = [problem for problem in lint_sql(empty_connection, contracts) if "typed" in problem]
    assert of_typed == []
    (include_dir / "sql/orders/typed.sql").write_text(SQL.replace("v.tags::text[] as", "v.tags as"))
    [problem] = [problem for problem in lint_sql(empty_connection, contracts) if "typed" in problem]
    assert "the column 'tags' is text, but text[] in the contract: write `(…)::text[] as tags`" in problem


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"level": float("nan")}, "type:level"),
        ({"ratio": float("-inf")}, "type:ratio"),
        ({"opens": time(5, 59)}, "range:opens"),
        ({"tags": ["a", "b", "c"]}, "length:tags"),
    ],
)
def test_rows_of_a_report_keep_the_rules_of_their_types(
    changes: dict[str, Any], reason: str, typed: Contract, empty_connection: Connection
) -> None:
    def build_rows(row: dict[str, Any]) -> int:
        return build_from_rows(empty_connection, typed, lambda: BuildInputs([]), [row], DAY, RUN).rows

    assert build_rows(ROW) == 1
    with pytest.raises(DataError, match=rf"its rows do not meet the contract: {reason} in 1 row\."):
        build_rows({**ROW, **changes})
    found = empty_connection.execute("select * from orders_report.typed").fetchall()
    assert found == [tuple(ROW[name] for name in typed.names)]


def test_a_report_is_published_with_each_type_and_shown(
    typed: Contract, warehouse: Connection, s3: S3Client, bucket: str
) -> None:
    build(warehouse, typed)
    keys = publish(warehouse, s3, "orders", [typed], DAY, RUN)
    csv_name, parquet_name = (next(key for key in keys if key.endswith(end)) for end in (".csv", ".parquet"))
    body = s3.get_object(Bucket=bucket, Key=parquet_name)["Body"].read()
    table = pq.read_table(io.BytesIO(body))
    types = [pa.date32(), pa.int16(), pa.float64(), pa.float32(), pa.string(), pa.timestamp("us"), pa.string()]
    assert table.schema.types == [*types, pa.list_(pa.string())]
    assert table["tags"].to_pylist() == [["red", "dark, blue"], [], None]
    text = s3.get_object(Bucket=bucket, Key=csv_name)["Body"].read().decode()
    first, *_ = csv.DictReader(io.StringIO(text))
    assert (first["tags"], first["payload"]) == ('["red","dark, blue"]', '{"a": [1.10, 12345678901234567890]}')
    now = report.rows_of(warehouse, "orders", typed, DAY, 9, report.built(warehouse, "orders"))
    shown = charts.table(typed, now)
    assert sorted(row.cells for row in shown.rows) == [
        [
            "1",
            "0.1000",
            "0.1000",
            "08:30:00",
            "2026-03-02 12:00:00",
            '{"a": [1.1, 12345678901234567890]}',
            "red, dark, blue",
        ],
        ["2", "1e-07", "3e+38", "23:59:59.999999", "2026-03-02 12:00:00.500000", "[]", ""],
        ["3", "", "", "", "", "", ""],
    ]
    assert [heading.is_numeric for heading in shown.headings] == [True, True, True, False, False, False, False]
    warehouse.execute("update waybill.publication set content_sha256 = 'newer'")
    earlier = published(warehouse, s3, "orders", {"day": 5})
    assert report.rows_of(warehouse, "orders", typed, DAY, 9, earlier) == now, "the rows of the published object"
