"""The Spark job against the SQL marts, on the same sales. It needs PySpark 3.5 and Java, which are not in the lock:

.waybill/venv/bin/python -m uv pip install --python .waybill/venv/bin/python 'pyspark==3.5.*'
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from oracles.shop import ONE_DAY
from support.shop_fixtures import FIRST, LAST, SHOP_DAYS, Period, ShopWarehouse, random_shop
from waybill.settings import PROJECT_ROOT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="PySpark is not installed")

SALES = (
    *("orders_count", "returned_orders_count", "net_units", "gross_revenue", "returned_revenue", "net_revenue"),
    *("customers_count", "average_order_value"),
)
PRODUCTS = ("product_rank", "product_id", "net_units", "net_revenue")


def read(folder: Path, first: date, last: date) -> list[dict[str, Any]]:
    return parquet.read_table(folder / f"first={first}" / f"last={last}", partitioning=None).to_pylist()


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin"])
def test_spark_computes_the_rows_of_the_marts(warehouse_of_shop: ShopWarehouse, tmp_path: Path, timezone: str) -> None:
    from pyspark.sql import SparkSession

    spec = importlib.util.spec_from_file_location("transform", PROJECT_ROOT / "jobs" / "transform.py")
    assert spec is not None
    assert spec.loader is not None
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)

    shop = random_shop(7, timezone, sales=3000)
    days = defaultdict(list)
    for row in shop.transactions:
        days[shop.day_of(row["transaction_ts"])].append(row)
    money = {"price": pa.decimal128(10, 2), "total_amount": pa.decimal128(14, 2)}
    for day, rows in days.items():
        folder = tmp_path / "transactions" / f"lake_day={day}"
        folder.mkdir(parents=True)
        table = pa.Table.from_pylist(rows)
        for name, kind in money.items():
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
        parquet.write_table(table, folder / "transactions.parquet")
    spark = SparkSession.builder.getOrCreate()
    spark.read.parquet(str(tmp_path / "transactions")).createOrReplaceTempView("transactions")
    warehouse_of_shop.load(shop)
    warehouse_of_shop.build_star({*days, *SHOP_DAYS})

    output = tmp_path / "output"
    places = ["--table", "transactions", "--output", str(output), "--JOB_NAME", "waybill-dev-transform"]
    job.main(["--first", str(FIRST), "--last", str(LAST), *places])
    job.main(["--first", str(FIRST), "--last", str(LAST), *places])  # replaces what the first wrote
    found = {row["day"]: row for row in read(output / "sales_by_day", FIRST, LAST)}
    compared = 0
    for day in SHOP_DAYS:
        kpis = warehouse_of_shop.ask("daily_kpis", Period("day", day))
        if day not in found:
            assert not kpis or kpis[0]["gross_revenue"] == 0
            continue
        assert [found[day][name] for name in SALES] == [kpis[0][name] for name in SALES]
        compared += 1
    assert compared > 20

    for last in (LAST, LAST - 10 * ONE_DAY):
        first = last - timedelta(days=29)
        job.main(["--first", str(first), "--last", str(last), *places])
        mart = warehouse_of_shop.ask("top_products_30_days", Period("day", last))
        expected = [tuple(row[name] for name in PRODUCTS) for row in mart]
        assert [tuple(row[name] for name in PRODUCTS) for row in read(output / "top_products", first, last)] == expected
        assert len(expected) >= 10
