"""One way to load rows: `python ways.py WAY ROWS FOLDER` prints its cost in seconds and peak memory as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from processor import Cost, measured

MONTH = "2026-03"
KEY = f"raw/messaging/traffic/month={MONTH}/traffic.csv"
COLUMNS = "traffic_id, send_date, account_id, customer_id, channel_id, interactions_count, revenue_eur"
CHANNELS = 5


def warehouse() -> str:
    """Return the address of the warehouse."""
    return os.environ["AIRFLOW_CONN_WAYBILL_WAREHOUSE"]


def make(rows: int, folder: Path) -> Cost:
    """Make the file with errors (in S3) and the clean file (in the folder), ordered by day like an export."""
    import boto3
    import duckdb

    customers = rows // (31 * CHANNELS) + 1
    duck = duckdb.connect()
    duck.execute(
        f"""
        create view clean as
        with numbered as (
          select i, i // ({customers} * {CHANNELS}) as day, i % {customers} as customer,
            (i // {customers}) % {CHANNELS} as channel, hash(i) as h
          from range({rows}) as r (i)
        )
        select i + 1 as traffic_id, (date '{MONTH}-01' + day::integer) as send_date, customer // 3 + 1 as account_id,
          customer + 1 as customer_id, channel + 1 as channel_id, (h % 5000)::integer as interactions_count,
          ((h % 100000) / 100)::decimal(12, 2) as revenue_eur
        from numbered
        """
    )
    duck.execute(f"copy clean to '{folder / 'clean.csv'}' (header)")
    # One row in a hundred has an error, of different kinds in turn. One row in a thousand is a duplicate.
    duck.execute(
        f"""
        copy (
          select traffic_id,
            case traffic_id % 700 when 13 then '{MONTH}-32' else send_date::varchar end as send_date, account_id,
            case traffic_id % 700 when 113 then 99999999 else customer_id end as customer_id,
            channel_id,
            case traffic_id % 700 when 213 then -1 else interactions_count end as interactions_count,
            case traffic_id % 700 when 313 then 'NaN' when 413 then '' when 513 then '1,5' when 613 then '1.005'
              else revenue_eur::varchar end as revenue_eur
          from (from clean union all from clean where traffic_id % 1000 = 7) order by traffic_id
        ) to '{folder / "dirty.csv"}' (header)
        """
    )
    boto3.client("s3").upload_file(str(folder / "dirty.csv"), "waybill-raw", KEY)
    (folder / "dirty.csv").unlink()
    return Cost(0, 0, 0)


def waybill(rows: int, _folder: Path) -> Cost:
    """Load the file with errors from S3 into a new warehouse, as a run does."""
    import boto3

    from waybill.contracts import load_domain
    from waybill.intake.ingest import ingest
    from waybill.period import Period
    from waybill.run import Run
    from waybill.warehouse.connection import connect
    from waybill.warehouse.evolution import ensure_domain
    from waybill.warehouse.migrations import upgrade

    with connect() as connection:
        connection.execute("drop schema if exists messaging cascade; drop schema if exists waybill cascade")
    upgrade(connect())
    contracts = load_domain("messaging")
    with connect() as connection:
        ensure_domain(connection, contracts)
        connection.execute(
            "insert into messaging.customers_history select i, i, 'n', 'Startup', 'Retail', 'DE', '2020-01-01', "
            "'2026-01-01', 'infinity', 0, i from generate_series(1, %s) as s (i)",
            (rows // (31 * CHANNELS) + 1,),
        )
        connection.execute(
            "insert into messaging.channels_history select i, 'n' || i, 'sms', 1, '2026-01-01', 'infinity', 0, i "
            "from generate_series(1, %s) as s (i)",
            (CHANNELS,),
        )
        period, run = Period.parse("month", MONTH), Run(None, "bench")

        def load() -> dict[str, Any]:
            return ingest(connection, boto3.client("s3"), contracts["traffic"], contracts, period, run)

        books, cost = measured(connection, load)
    print(*books.values(), file=sys.stderr)
    return cost


def copy(_rows: int, folder: Path) -> Cost:
    """Copy the clean file with COPY, then add the primary key."""
    import psycopg

    with psycopg.connect(warehouse(), autocommit=True) as connection:
        connection.execute("drop table if exists public.bare")

        def load() -> None:
            with connection.transaction():
                connection.execute(
                    "create table public.bare (traffic_id bigint not null, send_date date not null, "
                    "account_id integer not null, customer_id integer not null, channel_id integer not null, "
                    "interactions_count integer not null, revenue_eur numeric(12,2) not null)"
                )
                statement = "copy public.bare from stdin (format csv, header)"
                with (folder / "clean.csv").open("rb") as file, connection.cursor().copy(statement) as stream:
                    while chunk := file.read(2**20):
                        stream.write(chunk)
                connection.execute("set local maintenance_work_mem = '256MB'")
                connection.execute(
                    "alter table public.bare add primary key (send_date, account_id, customer_id, channel_id)"
                )

        _, cost = measured(connection, load)
        connection.execute("drop table public.bare")
    return cost


def pandas(_rows: int, folder: Path) -> Cost:
    """Load the clean file with `pandas.to_sql`."""
    import pandas as pd
    import psycopg
    from sqlalchemy import create_engine

    engine = create_engine(warehouse().replace("postgresql://", "postgresql+psycopg://", 1))

    def load() -> None:
        for number, chunk in enumerate(pd.read_csv(folder / "clean.csv", chunksize=100_000)):
            chunk.to_sql("by_pandas", engine, schema="public", if_exists="append" if number else "replace", index=False)

    with psycopg.connect(warehouse()) as connection:
        _, cost = measured(connection, load)
    with engine.begin() as engine_connection:
        engine_connection.exec_driver_sql("drop table public.by_pandas")
    return cost


def dlt(_rows: int, folder: Path) -> Cost:
    """Load the clean file with dlt's CSV reader and PostgreSQL destination."""
    import dlt as library
    import psycopg
    from dlt.sources.filesystem import filesystem, read_csv

    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    pipeline = library.pipeline(
        "traffic",
        destination=library.destinations.postgres(credentials=warehouse()),
        dataset_name="by_dlt",
        pipelines_dir=str(folder / "dlt"),
    )

    def load() -> None:
        files = filesystem(bucket_url=folder.as_uri(), file_glob="clean.csv")
        pipeline.run((files | read_csv()).with_name("traffic"), write_disposition="replace")

    with psycopg.connect(warehouse()) as connection:
        _, cost = measured(connection, load)
    return cost


def main() -> None:
    """Run the way that the arguments name."""
    ways: dict[str, Callable[[int, Path], Cost]] = {
        function.__name__: function for function in (make, waybill, copy, pandas, dlt)
    }
    cost = ways[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(asdict(cost) | {"peak_mib": peak_mib}))


if __name__ == "__main__":
    main()
