"""Compare the validated load of a file with errors from S3 with other ways to load rows into PostgreSQL.

All ways run in the same run, on one machine, against the same servers, so their ratios are reliable. Each way runs in
its own process, which gives its peak memory. The ways:

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

HERE = Path(__file__).parent
WAYS = HERE / "ways.py"
MONTH = "2026-03"
KEY = f"raw/messaging/traffic/month={MONTH}/traffic.csv"


@dataclass
class Measured:
    """The measurements of one way with one number of rows."""

    way: str
    rows: int
    seconds: float
    peak_mib: int


def measure(way: str, rows: int, environment: dict[str, str], folder: Path, python: Path) -> Measured:
    """Run one way in its own process."""
    command = [str(python), str(WAYS), way, str(rows), str(folder)]
    answer = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    result = json.loads(answer.stdout.splitlines()[-1])
    return Measured(way, rows, result["seconds"], result["peak_mib"])


def main() -> None:
    """Measure all ways and print a table."""
    from rich.console import Console
    from rich.table import Table

    from waybill_devtools.stack import Stack

    parser = argparse.ArgumentParser(description="Compare ways to load rows.")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--peers-up-to", type=int, default=1_000_000, help="rows up to which pandas and dlt take part")
    parser.add_argument("--repeat", type=int, default=3, help="measure waybill and COPY so often; the median counts")
    parser.add_argument("--dlt", type=Path, required=True, help="the interpreter of an environment with dlt")
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
                    found += [sorted(ones, key=lambda one: one.seconds)[len(ones) // 2] for ones in tries.values()]
                    if rows > options.peers_up_to:
                        continue
                    for way, python in (("pandas", Path(sys.executable)), ("dlt", options.dlt)):
                        status.update(f"{way}, {rows:,} rows")
                        found.append(measure(way, rows, environment, folder, python))
        finally:
            stack.down()
    table = Table("way", "rows", "seconds", "peak MiB", "waybill is … times as fast", title="Loading traffic rows")
    for one in found:
        ours = next(other.seconds for other in found if other.way == "waybill" and other.rows == one.rows)
        table.add_row(one.way, f"{one.rows:,}", f"{one.seconds:.1f}", str(one.peak_mib), f"{one.seconds / ours:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
