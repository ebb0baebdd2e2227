"""Spark reads the tables that the warehouse's pipelines write to the lake."""

from __future__ import annotations

import json
import subprocess
from datetime import date

from support import shop_tables
from support.lake import Lake
from support.messaging_months import migrate
from support.shop_tables import insert
from support.spark_job import SPARK, lake_address, spark_environment
from waybill.contracts import load_domain
from waybill.outputs.iceberg_tables import identifier
from waybill.warehouse.connection import connect

CONTRACT = load_domain("shop")["reviews"]
DAY, OTHER = date(2026, 3, 1), date(2026, 3, 5)


def test_spark_reads_a_day_and_no_file_of_other_days(lake: Lake, warehouse_dsn: str) -> None:
    migrate(warehouse_dsn)
    with connect(warehouse_dsn) as connection:
        shop_tables.create(connection)
        insert(connection, "reviews", [(900, 1, 1, 1, 'Über 5 €,\n"so so"', OTHER)])
        lake.write(connection, CONTRACT, [DAY, OTHER])
        query = "select * from shop.reviews where review_date = %s order by review_id"
        cursor = connection.execute(query, (OTHER,))
        names = [column.name for column in cursor.description or () if column.name in CONTRACT.names]
        expected = [dict(zip(names, row, strict=False)) for row in cursor.fetchall()]
    done = subprocess.run(
        [
            *(str(SPARK / "bin/python"), "-m", "support.spark_reader", lake_address().model_dump_json()),
            *(".".join(identifier(CONTRACT)), f"lake_day = '{OTHER}'"),
        ],
        env=spark_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    (row,) = found["rows"]
    assert [{name: str(value) for name, value in one.items()} for one in expected] == [
        {name: str(row[name]) for name in expected[0]}
    ]
    assert row["lake_day"] == str(OTHER)
    assert found["files"] == {"result": 1, "skipped": 1}, found["plan"]
    assert f"lake_day = {(OTHER - date(1970, 1, 1)).days}" in found["plan"], found["plan"]
