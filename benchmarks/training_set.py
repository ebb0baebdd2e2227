"""Time a training set: a million labels, and five feature views whose logs have ten million rows each.

The views are those of the project; the logs are filled with made-up values, of which 2 % were known late, 2 % were
corrected later and 0.2 % removed. Each way runs in its own process, which gives its peak memory:

  waybill     the values that were known at the time of each label, written as Parquet
  merge_asof  pandas, from Parquet files with the logs: the newest value by event_ts. It does not know when a value was
              known, so it leaks; it is here for its time and memory

Usage: python benchmarks/training_set.py [--labels 1000000] [--rows 10000000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection, sql

from waybill.contracts.feature_views import FeatureView, find_feature_view
from waybill.contracts.locations import read_sql
from waybill.contracts.odcs import sql_path
from waybill.derived.feature import open_version
from waybill.warehouse.connection import connect
from waybill.warehouse.feature_tables import relation_named
from waybill.warehouse.migrations import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

VIEWS = ("customer_orders:1", "customer_sessions:1", "product_sales:1", "product_neighbours:1", "customer_revenue:1")
DAYS = 100
FIRST = "2026-01-01"
_VALUES = {
    "text": "'kind ' || (i %% 12)",
    "boolean": "i %% 2 = 0",
    "integer": "(i %% 90)::integer",
    "bigint": "i %% 900",
}
_FILL = """
insert into {log} ({names})
select {values}
from (
  select i, (i::bigint * 7919 %% %(entities)s)::integer as entity, i / %(entities)s as place,
    %(first)s::timestamptz + (i / %(entities)s) * interval '1 day' as at
  from generate_series(0, %(rows)s - 1) as s (i)
) as r
"""
_CORRECT = """
insert into {log} ({names})
select {entity}, event_ts, known_ts + interval '3 days', i %% 10 = 0, {features}
from (select *, row_number() over () as i from {log} where {first} %% 50 = 7) as r
"""


def fill(connection: Connection, view: FeatureView, rows: int) -> None:
    """Create the log of a view with made-up values."""
    features = [column.name for column in view.features]
    names = [*view.entity, "event_ts", "known_ts", "is_removed", *features]
    parts = {
        "log": relation_named(view.log),
        "names": sql.SQL(", ").join(map(sql.Identifier, names)),
        "entity": sql.SQL(", ").join(map(sql.Identifier, view.entity)),
        "first": sql.Identifier(view.entity[0]),
        "features": sql.SQL(", ").join(
            sql.SQL("case when i %% 10 > 0 then {} end").format(sql.Identifier(name)) for name in features
        ),
        "values": sql.SQL(", ").join(
            [
                *(sql.SQL("entity") for _ in view.entity),
                sql.SQL("at"),
                sql.SQL("case when i %% 50 = 0 then at + interval '4 days' else at end"),
                sql.SQL("false"),
                *(
                    sql.SQL(_VALUES.get(one.physical_type, "((i * 31 + place) %% 97) / 100.0"))  # type: ignore[arg-type]
                    for one in view.features
                ),
            ]
        ),
    }
    with connection.transaction():
        open_version(connection, view.contract, read_sql(sql_path(view.contract)))
        keys = connection.execute(
            "select conname, pg_get_constraintdef(oid) from pg_constraint "
            "where conrelid = %s::regclass and contype = 'p'",
            (view.log,),
        ).fetchall()
        for name, _ in keys:
            connection.execute(
                sql.SQL("alter table {log} drop constraint {name}").format(name=sql.Identifier(name), **parts)
            )
        parameters = {"rows": rows, "entities": max(rows // DAYS, 1), "first": FIRST}
        connection.execute(sql.SQL(_FILL).format(**parts), parameters)
        connection.execute(sql.SQL(_CORRECT).format(**parts), {})
        for _, definition in keys:
            connection.execute(sql.SQL("alter table {log} add {it}").format(it=sql.SQL(definition), **parts))
    connection.execute(sql.SQL("vacuum analyze {log}").format(**parts))


def write_labels(path: Path, labels: int, rows: int) -> None:
    """Write random labels."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    rng, entities = np.random.default_rng(20260101), max(rows // DAYS, 1)
    at = np.datetime64(FIRST, "us") + rng.integers(0, DAYS * 86_400_000_000, labels).astype("timedelta64[us]")
    pa_csv.write_csv(
        pa.table(
            {
                "customer_id": rng.integers(0, entities, labels),
                "product_id": rng.integers(0, entities, labels),
                "ts": pa.array(at, pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
                "churned": rng.integers(0, 2, labels),
            }
        ),
        path,
    )


def export(connection: Connection, view: FeatureView, path: Path) -> None:
    """Write the log of a view as Parquet, with doubles for decimals, as pandas computes with them."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    kinds = {"text": pa.string(), "boolean": pa.string(), "integer": pa.int64(), "bigint": pa.int64()}
    names = [view.entity[0], "event_ts", *(one.name for one in view.features)]
    types = [
        pa.int64(),
        pa.timestamp("us", "UTC"),
        *(kinds.get(one.physical_type, pa.float64()) for one in view.features),
    ]
    query = sql.SQL("copy (select {} from {} where not is_removed) to stdout (format csv)").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), relation_named(view.log)
    )
    raw = path.with_suffix(".csv")
    with raw.open("wb") as file, connection.cursor().copy(query) as copy:
        for piece in copy:
            file.write(piece)
    with (
        pa_csv.open_csv(
            raw,
            pa_csv.ReadOptions(column_names=names),
            convert_options=pa_csv.ConvertOptions(column_types=dict(zip(names, types, strict=True))),
        ) as reader,
        pq.ParquetWriter(path, reader.schema) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
    raw.unlink()


def with_waybill(folder: Path) -> dict[str, Any]:
    """Make the training set in this process."""
    from waybill.features.training_set import prepare, write_set

    began = time.perf_counter()
    wanted = prepare(folder / "labels.csv", VIEWS)
    read = time.perf_counter() - began
    found = write_set(wanted, connect, folder / "set.parquet")
    return {
        "read": round(read, 1),
        "rows": found["rows"],
        "without": {view["name"]: view["rows_without_value"] for view in found["views"]},
        "content": found["content_sha256"][:12],
    }


def with_pandas(folder: Path) -> dict[str, Any]:
    """Join the newest values by event_ts in this process."""
    import pandas as pd

    labels = pd.read_csv(folder / "labels.csv", parse_dates=["ts"])
    labels["place"] = range(len(labels))
    labels = labels.sort_values("ts")
    missing = {}
    for name in VIEWS:
        view = find_feature_view(name)
        log: pd.DataFrame = pd.read_parquet(folder / f"{view.view}.parquet").sort_values("event_ts", kind="stable")
        joined = pd.merge_asof(
            labels,
            log,
            left_on="ts",
            right_on="event_ts",
            by=view.entity[0],
            tolerance=view.ttl,
            suffixes=("", f"__{view.view}"),
        )
        del log
        missing[name] = int(joined["event_ts"].isna().sum())
        labels = joined.drop(columns="event_ts")
    labels.sort_values("place").to_parquet(folder / "asof.parquet")
    return {"rows": len(labels), "without": missing}


WAYS = {"waybill": with_waybill, "merge_asof": with_pandas}


def backends() -> Iterator[tuple[int, float, float]]:
    """Yield for each backend of the warehouse its id, the memory in MiB that it does not share, and its CPU seconds."""
    import psutil

    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and "waybill_etl warehouse" in " ".join(process.info["cmdline"] or []):
            try:
                used = process.cpu_times()
                yield process.pid, process.memory_full_info().uss / 2**20, used.user + used.system
            except psutil.Error:  # it has ended
                continue


def measure(way: str, folder: Path, environment: dict[str, str]) -> None:
    """Run a way in a process of its own, and print its time and memory."""
    load, began = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "--way", way, "--keep", str(folder)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    peak, cpu, done = 0.0, dict[int, float](), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.3):
            seen = [*backends()]
            peak = max(peak, sum(mib for _, mib, _ in seen))
            cpu.update({pid: seconds for pid, _, seconds in seen})

    watcher = threading.Thread(target=watch)
    watcher.start()
    text, _ = process.communicate()
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    if process.returncode:
        sys.exit(f"{way} failed")
    found = json.loads(text)
    print(
        f"{way:11} {seconds:6.1f} s, client {found.pop('peak_mib'):,} MiB and {found.pop('cpu'):.1f} CPU s, "
        f"backends {peak:,.0f} MiB and {sum(cpu.values()):.1f} CPU s, load {load:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after: {found}",
        flush=True,
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        found = WAYS[options.way](options.keep)
        used = resource.getrusage(resource.RUSAGE_SELF)
        # ru_maxrss would count the process that started this one.
        peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
        found |= {"peak_mib": int(peak) // 1024, "cpu": used.ru_utime + used.ru_stime}
        print(json.dumps(found))
        return
    from waybill.settings import settings
    from waybill_devtools.stack import Stack

    with ExitStack() as cleanup:
        folder = options.keep or Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="waybill-sets-")))
        folder.mkdir(parents=True, exist_ok=True)
        stack = Stack(folder / "stack")
        cleanup.callback(stack.down)
        stack.up(with_airflow=False)
        environment = stack.env()
        os.environ |= environment
        settings.cache_clear()
        if not (folder / "labels.csv").exists():
            with connect() as connection:
                upgrade(connection)
                for name in VIEWS:
                    view = find_feature_view(name)
                    began = time.perf_counter()
                    fill(connection, view, options.rows)
                    export(connection, view, folder / f"{view.view}.parquet")
                    print(f"filled {name} in {time.perf_counter() - began:.0f} s", flush=True)
            write_labels(folder / "labels.csv", options.labels, options.rows)
        for way in ("waybill", "waybill", "merge_asof"):
            measure(way, folder, environment)


if __name__ == "__main__":
    main()
