"""Compare the validated load of a file with errors from S3 with other ways to load rows into PostgreSQL.

All ways run in the same run, on one machine, against the same servers, so their ratios are reliable. Each way runs in
its own process, which gives its peak memory. Where other work shares the processor, compare its seconds (CPU): those of
the way's process and of all processes of PostgreSQL, without the S3 server. The ways:

  waybill         reads the file with errors from S3, validates, deduplicates, quarantines, loads, indexes, reconciles
  bare COPY       copies a local file of the valid rows, then adds the primary key
  pandas.to_sql   reads that clean file with pandas and inserts it; no validation, no key
  dlt             reads that clean file and loads it with dlt; no validation, no key

Usage: make bench
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from processor import Cost

HERE = Path(__file__).parent
WAYS = HERE / "ways.py"
MONTH = "2026-03"
KEY = f"raw/messaging/traffic/month={MONTH}/traffic.csv"


@dataclass
class Measured:
    """The measurements of one way with one number of rows."""

    way: str
    rows: int
    cost: Cost
    peak_mib: int


def measure(way: str, rows: int, environment: dict[str, str], folder: Path, python: Path) -> Measured:
    """Run one way in its own process."""
    command = [str(python), str(WAYS), way, str(rows), str(folder)]
    answer = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    result = json.loads(answer.stdout.splitlines()[-1])
    return Measured(way, rows, Cost(result["seconds"], result["client"], result["server"]), result["peak_mib"])


def main() -> None:
    """Measure all ways and print a table."""
    from rich.console import Console
    from rich.table import Table

    from waybill_devtools.stack import Stack

    parser = argparse.ArgumentParser(description="Compare ways to load rows.")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--peers-up-to", type=int, default=1_000_000, help="rows up to which pandas and dlt take part")
    parser.add_argument("--repeat", type=int, default=3, help="measure waybill and COPY so often; the median counts")
    parser.add_argument("--dlt", type=Path, help="interpreter of an environment with dlt; by default dlt is left out")
    options = parser.parse_args()
    console = Console(stderr=True)
    found: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        folder = Path(scratch)
        stack = Stack(folder / "stack")
        try:
            with console.status("starting PostgreSQL and S3") as status:
                stack.up(with_airflow=False)
                environment = {**os.environ, **stack.env(), "WAYBILL_SCRATCH_DIR": str(folder)}
                for rows in options.rows:
                    status.update(f"making {rows:,} rows, 1 % of them invalid")
                    measure("make", rows, environment, folder, Path(sys.executable))
                    tries: dict[str, list[Measured]] = {"waybill": [], "copy": []}
                    for number in range(options.repeat):  # alternate: slow phases affect all ways
                        for way, measured in tries.items():
                            status.update(f"{way}, {rows:,} rows, {number + 1} of {options.repeat}")
                            measured.append(measure(way, rows, environment, folder, Path(sys.executable)))
                    found += [sorted(ones, key=lambda one: one.cost.seconds)[len(ones) // 2] for ones in tries.values()]
                    if rows > options.peers_up_to:
                        continue
                    for way, python in {"pandas": Path(sys.executable), "dlt": options.dlt}.items():
                        if python is None:
                            continue
                        status.update(f"{way}, {rows:,} rows")
                        found.append(measure(way, rows, environment, folder, python))
        finally:
            stack.down()
    columns = ("way", "rows", "seconds", "CPU of the way", "CPU of PostgreSQL", "CPU to COPY's", "speed to COPY's")
    table = Table(*columns, "peak MiB", title="Loading traffic rows")
    for one in found:
        copy = next(other.cost for other in found if other.way == "copy" and other.rows == one.rows)
        table.add_row(
            one.way,
            f"{one.rows:,}",
            *(f"{value:.1f}" for value in (one.cost.seconds, one.cost.client, one.cost.server)),
            f"{(one.cost.client + one.cost.server) / (copy.client + copy.server):.2f}",
            f"{copy.seconds / one.cost.seconds:.2f}",
            str(one.peak_mib),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
