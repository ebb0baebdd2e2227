"""Values of every type are the same in PostgreSQL, in the lake and in the views of Spark."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from support.deliveries import FIRST, LANDED_AT
from support.engine_cases import canonical_row
from support.lake import Lake
from support.messaging_months import RUN, migrate
from support.spark_job import Shelf, SparkProcess
from waybill.contracts import odcs
from waybill.files.landed_file import LandedFile
from waybill.intake.ingest import ingest_file
from waybill.period import Period
from waybill.warehouse.connection import connect
from waybill.warehouse.schema import columns_sql, relation

TYPES = {
    "day": ("date", "date", [str(FIRST)]),
    "small": ("integer", "smallint", ["-32768", "32767", ""]),
    "large": ("integer", "bigint", ["-9223372036854775808", "9223372036854775807", ""]),
    "amount": ("number", "numeric(38,10)", ["-1234567890123456789012345678.0123456789", "0.5", ""]),
    "short": ("number", "real", ["3.4028235e38", "0.1", "-0.0"]),
    "double": ("number", "double precision", ["1.7976931348623157e308", "-0.1", "5e-324"]),
    "birth": ("date", "date", ["1900-01-01", "2036-03-01", ""]),
    "clock": ("time", "time", ["00:00:00", "23:59:59.999999", ""]),
    "local": ("timestamp", "timestamp", ["1900-01-01T00:00:00", "2036-02-01T12:00:00.000001", ""]),
    "moment": ("timestamp", "timestamptz", ["1900-01-01T00:00:00Z", "2026-03-29T02:30:00+01:00", ""]),
    "flag": ("boolean", "boolean", ["true", "false", ""]),
    "one": ("string", "uuid", ["00000000-0000-0000-0000-00000000000A", "ffffffff-ffff-ffff-ffff-ffffffffffff", ""]),
    "some": ("array", "text[]", ['["a", "b, c", "d"]', "[]", ""]),
    "all": ("object", "jsonb", ['{"b": [1, 2.50, 1e2], "a": {"x": null, "y": "\\u00e9\\n"}}', "[]", ""]),
    "words": ("string", "text", ["Zoë 'said' \\ \"x\" `y`", "a\nb\tc", "😀"]),
}

CONTRACT = (
    """
apiVersion: v3.1.0
kind: DataContract
id: shop.types
name: types
version: 1.0.0
status: active
domain: shop
description: {purpose: Every type.}
schema:
  - name: types
    physicalType: table
    customProperties:
      - {property: loadMode, value: merge}
      - {property: periodColumn, value: day}
    properties:
      - {name: id, logicalType: integer, physicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}
"""
    + "".join(
        f"      - {{name: {name}, logicalType: {logical}, physicalType: '{physical}'"
        + (", required: true" if name == "day" else ", items: {logicalType: string}" if logical == "array" else "")
        + "}\n"
        for name, (logical, physical, _) in TYPES.items()
    )
    + """
slaProperties:
  - {property: frequency, value: 1, unit: d}
"""
)


def test_values_of_every_type(lake: Lake, spark: SparkProcess, warehouse_dsn: str, tmp_path: Path) -> None:
    contract = odcs.recorded(CONTRACT)
    shelf = Shelf(lake, {"types": contract})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", *TYPES])
    for number in range(3):
        writer.writerow([number, *(values[number % len(values)] for _, _, values in TYPES.values())])
    file = shelf.put("a.csv", text.getvalue().encode(), LANDED_AT, period=FIRST, dataset="types")
    result = spark.load(shelf, shelf.request([("types", FIRST, [file])]))
    assert [(one.error, one.books.get("inserted")) for one in result.files] == [(None, 3)]

    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        landed = LandedFile(file.bucket, file.key, file.etag, file.size_bytes, Period.of("day", FIRST), file.landed_at)
        ingest_file(connection, lake.s3, landed, contract, {}, RUN)
        query = f"select {columns_sql(contract.names).as_string()} from {relation(contract).as_string()} order by id"
        expected = [canonical_row(contract, row) for row in connection.execute(query).fetchall()]  # type: ignore[call-overload]

    rows = lake.catalog.load_table(shelf.tables["types"][0]).scan().to_arrow().sort_by("id").to_pylist()
    assert [canonical_row(contract, [row[name] for name in contract.names]) for row in rows] == expected
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"contract": CONTRACT, "table": shelf.tables["types"][0], "as_of": None}))
    spark.tell(str(path))
    assert sorted(json.loads(path.with_suffix(".rows").read_text())) == expected
