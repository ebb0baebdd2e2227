"""What the shop sold, from its table in the lake, by Spark: for a range of days that outgrows one machine.

    spark-submit transform.py --first 2025-01-01 --last 2025-12-31 \
        --table lake.waybill_processed.shop_transactions --output s3://<lake bucket>/spark/shop

AWS Glue hands over the same arguments with values of its own, which are passed over; Glue and EMR Serverless bring
PySpark 3.5. Two tables are written, each replaced as a whole for the range when it is run again:

sales_by_day  one row a day with a sale; the columns and definitions of the mart `daily_kpis` that are about sales
top_products  the products of the first ranks by net revenue in the whole range, ties kept; for the thirty days up to
              a day these are the numbers of the mart `top_products_30_days`

A day is that of the file, hence of the business time zone. Money stays exact decimal.
"""

from __future__ import annotations

import argparse
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MONEY = "decimal(18,2)"


def sales_by_day(transactions: DataFrame) -> DataFrame:
    """Orders, pieces and revenue of each day; returned and refunded sales count on the day of their sale."""
    from pyspark.sql import functions as f

    completed = f.col("status") == "completed"
    amount = f.col("total_amount")
    days = transactions.groupBy(f.col("lake_day").alias("day")).agg(
        f.count(f.when(completed, 1)).alias("orders_count"),
        f.count(f.when(~completed, 1)).alias("returned_orders_count"),
        f.coalesce(f.sum(f.when(completed, f.col("quantity"))), f.lit(0)).alias("net_units"),
        f.sum(amount).cast(MONEY).alias("gross_revenue"),
        f.coalesce(f.sum(f.when(~completed, amount)), f.lit(0)).cast(MONEY).alias("returned_revenue"),
        f.coalesce(f.sum(f.when(completed, amount)), f.lit(0)).cast(MONEY).alias("net_revenue"),
        f.countDistinct(f.when(completed, f.col("customer_id"))).alias("customers_count"),
    )
    average = f.round(f.col("net_revenue") / f.col("orders_count"), 2).cast("decimal(14,2)")
    return days.withColumn("average_order_value", f.when(f.col("orders_count") > 0, average)).orderBy("day")


def top_products(transactions: DataFrame, ranks: int) -> DataFrame:
    """The products of the first ranks by the revenue of completed sales; the rank counts products, not revenues."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    totals = (
        transactions.where(f.col("status") == "completed")
        .groupBy("product_id")
        .agg(f.sum("quantity").alias("net_units"), f.sum("total_amount").cast(MONEY).alias("net_revenue"))
    )
    ranked = totals.withColumn("product_rank", f.rank().over(Window.orderBy(f.col("net_revenue").desc())))
    found = ranked.where(f.col("product_rank") <= ranks).orderBy("product_rank", "product_id")
    return found.select("product_rank", "product_id", "net_units", "net_revenue")


def main(arguments: list[str] | None = None) -> None:
    """Read the range's days, and only them; write both tables."""
    parser = argparse.ArgumentParser(description="What the shop sold in a range of days, by Spark.")
    parser.add_argument("--first", type=date.fromisoformat, required=True, help="first day, like 2025-01-01")
    parser.add_argument("--last", type=date.fromisoformat, required=True, help="last day")
    parser.add_argument("--table", required=True, help="table of the shop's transactions in the lake")
    parser.add_argument("--output", required=True, help="folder of the tables that are written")
    parser.add_argument("--ranks", type=int, default=10, help="how many products")
    given, _ = parser.parse_known_args(arguments)
    if given.first > given.last:
        parser.error(f"--first {given.first} is after --last {given.last}")

    from pyspark.sql import SparkSession
    from pyspark.sql import functions as f

    spark = SparkSession.builder.appName("waybill-transform").getOrCreate()
    wanted = f.col("lake_day").between(f.lit(given.first), f.lit(given.last))
    transactions = spark.table(given.table).where(wanted)
    span = f"first={given.first}/last={given.last}"
    sales_by_day(transactions).write.mode("overwrite").parquet(f"{given.output}/sales_by_day/{span}")
    top_products(transactions, given.ranks).write.mode("overwrite").parquet(f"{given.output}/top_products/{span}")


if __name__ == "__main__":
    main()
