"""Print what a domain on Spark needs for so many bytes a day: `python benchmarks/scale_plan.py [--gb-a-day 1000] …`.

Every input has an option. docs/reference/scale.md has the table of the defaults, and a test compares both.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from math import ceil
from typing import Final

MIB: Final = 2**20
CORES_OF_DPU: Final = 4
LISTED: Final = 1000
"""How many objects a request lists."""


@dataclass(frozen=True)
class Inputs:
    """What is measured, chosen or taken from a price list. The default of each is in docs/reference/scale.md."""

    gb_a_day: float = 1000
    bytes_a_row: float = 250
    lake_bytes_a_row: float = 43
    file_mib: float = 256
    deliveries: int = 1
    lookback: int = 7
    rejected_pct: float = 0.1
    loaded_rows: float = 50_000
    compared_rows: float = 250_000
    shuffled_bytes: float = 150
    disk_gb: float = 94
    busy_pct: float = 80
    hours: float = 4
    lake_file_mib: float = 32
    keep_days: int = 730
    entry_bytes: float = 1000
    dpu_hour: float = 0.44
    s3_get: float = 0.0004
    s3_put: float = 0.005
    s3_gb_month: float = 0.023


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    name: str
    value: str
    formula: str


def plan(given: Inputs) -> list[Line]:
    """Return what a day needs, each line by numbers of the lines before it."""
    rows = given.gb_a_day * 1e9 / given.bytes_a_row
    files = ceil(given.gb_a_day * 1e9 / (given.file_mib * MIB))
    # A later delivery of a day replaces its partition, with the rows that are there.
    written = rows * (given.deliveries + 1) / 2
    compared = rows * given.lookback * given.deliveries
    core_seconds = rows / given.loaded_rows + compared / given.compared_rows
    dpu_hours = core_seconds / 3600 / CORES_OF_DPU / (given.busy_pct / 100)
    shuffled_gb = (rows + compared / given.deliveries) * given.shuffled_bytes / 1e9
    by_time, by_disk = ceil(dpu_hours / given.hours), ceil(shuffled_gb / given.disk_gb)
    lake_gb = rows * given.lake_bytes_a_row / 1e9
    lake_files = ceil(lake_gb * 1e9 / (given.lake_file_mib * MIB))
    commits = 2 * given.deliveries
    quarantined = min(rows * given.rejected_pct / 100, files * 100_000.0)
    kept_files = lake_files * given.keep_days
    read_files = lake_files * (given.lookback + 1)
    staged = ceil(written * given.lake_bytes_a_row / (given.lake_file_mib * MIB))
    gets = files * 2 + (staged + read_files * given.deliveries) * 2
    puts = files * 2 + staged * 2 + commits * 4 + 2 * ceil(files / LISTED)
    storage = given.gb_a_day + lake_gb
    return [
        Line("Rows", _count(rows), "bytes / bytes a row"),
        Line("Files, each a task of the check", _count(files), "bytes / size of a file"),
        Line("Rows of a file", _count(rows / files), "rows / files"),
        Line("Rows of the lookback that are compared", _count(compared), "rows * lookback * deliveries"),
        Line("Hours of a core", _count(core_seconds / 3600), "rows / rows a second + compared / compared a second"),
        Line("DPU hours on Glue", _count(dpu_hours), "hours of a core / 4 / share of busy cores"),
        Line("Shuffled at once, GB", _count(shuffled_gb), "rows * (lookback + 1) * bytes"),
        Line("G.1X workers by time", _count(by_time), "DPU hours / hours to load a day"),
        Line("G.1X workers by disk", _count(by_disk), "shuffled / disk of a worker"),
        Line("Hours with the larger number", _count(dpu_hours / max(by_time, by_disk)), "DPU hours / workers"),
        Line("Glue, US dollars", _money(dpu_hours * given.dpu_hour), "DPU hours * price"),
        Line("Lake, GB", _count(lake_gb), "rows * bytes a row in Parquet"),
        Line("Files of a day in the lake", _count(lake_files), "GB / size of a file"),
        Line("Commits", _count(commits), "deliveries * 2: accepted and rejected rows"),
        Line("Entries that a merge plans", _count(read_files), "files of a day * (lookback + 1)"),
        Line("Memory for them in the driver", _size(read_files * given.entry_bytes), "entries * bytes of an entry"),
        Line(
            f"Entries of {given.keep_days} days",
            f"{_count(kept_files)}, {_size(kept_files * given.entry_bytes)}",
            "files of a day * days",
        ),
        Line("Request and result", _size(files * 1500.0), "files * 300 and 1,200 bytes"),
        Line("PostgreSQL: rows of the ledger", _count(files), "files"),
        Line(
            "PostgreSQL: rows of the quarantine",
            _count(quarantined),
            "the smaller of rejected rows and 100,000 for each file",
        ),
        Line("PostgreSQL: days of the change log", _count(given.lookback + 1), "lookback + 1, updated in place"),
        Line("S3: reads", _count(gets), "2 * (files + files of the lake that are staged and compared)"),
        Line("S3: writes and lists", _count(puts), "2 * (files + staged) + 4 * commits + lists"),
        Line("S3 requests, US dollars", _money(gets / 1000 * given.s3_get + puts / 1000 * given.s3_put), "by prices"),
        Line("S3 storage, GB more", _count(storage), "raw files + lake"),
        Line(
            "S3 storage of 30 such days, US dollars a month",
            _money(storage * 30 * given.s3_gb_month),
            "GB * 30 * price",
        ),
    ]


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


def _money(number: float) -> str:
    return f"{number:,.2f}"


def _size(number: float) -> str:
    return f"{number / MIB:,.0f} MiB" if number < 1024 * MIB else f"{number / MIB / 1024:,.1f} GiB"


def table(lines: list[Line]) -> str:
    """Return lines as a table in Markdown."""
    head = ["| A day | | By |", "|---|---|---|"]
    return "\n".join([*head, *(f"| {one.name} | {one.value} | {one.formula} |" for one in lines)])


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a domain on Spark needs for so many bytes a day.")
    for field in fields(Inputs):
        kind = int if isinstance(field.default, int) and field.type == "int" else float
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    print(table(plan(Inputs(**vars(parser.parse_args(arguments))))))


if __name__ == "__main__":
    main()
