"""State how often the watch is wrong: false alarms on a year of clean sample data, and planted faults that it finds.

The files of the shop and of the messages are loaded in the order of their periods, and the watch looks after every
few days. At these positions, faulty versions of files are loaded first, each in a transaction that is rolled back. In
the end the reports of all periods are built and searched. Three tables are printed:

  false alarms    anomalies in clean data by dataset or report, and for each quarter
  planted faults  which share of faulty files one look finds, and how many other anomalies it finds in them
  sizes           for values that are moved by a multiple of the past's MAD: which share is outside of its range, and
                  how many false alarms there would be if the limit were this multiple

Usage: python benchmarks/watch.py [--days 420] [--months 36] [--scale 1] [--every 9]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import logging
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from psycopg import Connection

    from waybill.contracts import Contract
    from waybill.watch.series import Measure, Series
    from waybill_devtools.sampledata.files import SampleFile
    from waybill_devtools.stack import Stack

LAST_DAY, LAST_MONTH = "2026-10-31", "2026-10"
SIZES = (2, 3, 4, 6, 8, 10, 15, 20)
QUARTER = {"day": 91, "week": 13, "month": 3}
SETTLED = {"day": 56, "week": 26, "month": 24}
"""How long the whole window of a forecast is, in periods."""
_ALARMS = """
select format('%s %s: %s %s: %s, expected %s to %s', dataset, period, measure, column_name, observed, low, high)
from waybill.anomaly
order by dataset, period, measure
"""
Table = list[list[str]]
Plant = Callable[[Table, "Columns"], Table]


class Columns:
    """The places of a contract's columns in a file."""

    def __init__(self, contract: Contract, header: Sequence[str]) -> None:
        from waybill.files.spellings import find_column, spellings_of

        spellings = spellings_of(contract)
        self.places = {find_column(spellings, name): place for place, name in enumerate(header)}
        self.key = contract.key[0]

    def __getitem__(self, name: str) -> int:
        return self.places[name]


def half(rows: Table, _: Columns) -> Table:
    """Return the first half of the rows."""
    return rows[: len(rows) // 2]


def doubled(rows: Table, columns: Columns, key: str) -> Table:
    """Return the rows, and the same rows under new keys."""
    return rows + changed(rows, columns, [key], lambda text: f"9{text}")


def without(rows: Table, columns: Columns, name: str) -> Table:
    """Return the rows without the value of a column in 12 of 100."""
    return changed(rows, columns, [name], lambda _: "", 8)


def dearer(rows: Table, columns: Columns, names: Sequence[str]) -> Table:
    """Return the rows with numbers times 1.1, as after a mix-up of currencies."""

    def times(text: str) -> str:
        try:
            return f"{float(text) * 1.1:.2f}"
        except ValueError:  # one of the errors in sample data
            return text

    return changed(rows, columns, names, times)


def disputed(rows: Table, columns: Columns, name: str) -> Table:
    """Return the rows with a new word of a vocabulary in 8 of 100."""
    return changed(rows, columns, [name], lambda _: "disputed", 12)


def unchanged(rows: Table, _: Columns) -> Table:
    """Return the rows."""
    return rows


def changed(rows: Table, columns: Columns, names: Sequence[str], change: Callable[[str], str], every: int = 1) -> Table:
    """Return the rows with other values of some columns in every so many rows."""
    places = {columns[name] for name in names}
    return [
        [change(text) if place in places else text for place, text in enumerate(row)] if number % every == 0 else row
        for number, row in enumerate(rows)
    ]


@dataclass(frozen=True)
class Fault:
    """A fault of a file, and what the watch must find."""

    name: str
    plant: Plant
    finds: tuple[str, str]
    """(measure, column), or (kind of drift, column)."""
    renames: str = ""
    hours_late: int = 0


FAULTS = {
    "shop.transactions": (
        Fault("half of the rows", half, ("rows", "")),
        Fault("rows doubled", partial(doubled, key="transaction_id"), ("rows", "")),
        Fault("amounts times 1.1", partial(dearer, names=("price", "total_amount")), ("mean", "total_amount")),
        Fault("new value of an enum", partial(disputed, name="status"), ("new value", "status")),
        Fault("column renamed", unchanged, ("renamed column", "payment_method"), renames="payment_method"),
        Fault("file 40 h late", unchanged, ("arrival", ""), hours_late=40),
    ),
    "shop.reviews": (
        Fault("half of the rows", half, ("rows", "")),
        Fault("rows doubled", partial(doubled, key="review_id"), ("rows", "")),
        Fault("nulls 10 to 21 %", partial(without, name="review_text"), ("nulls", "review_text")),
        Fault("column renamed", unchanged, ("renamed column", "review_text"), renames="review_text"),
        Fault("file 40 h late", unchanged, ("arrival", ""), hours_late=40),
    ),
    "messaging.traffic": (
        Fault("half of the rows", half, ("rows", "")),
        Fault("amounts times 1.1", partial(dearer, names=("revenue_eur",)), ("mean", "revenue_eur")),
        Fault("column renamed", unchanged, ("renamed column", "revenue_eur"), renames="revenue_eur"),
        Fault("file 40 h late", unchanged, ("arrival", ""), hours_late=40),
    ),
}


@dataclass
class Tally:
    """How often a fault was planted and found, and what else was found in the faulty files."""

    planted: int = 0
    found: int = 0
    others: Counter[str] = field(default_factory=Counter)


def faulty(file: SampleFile, contract: Contract, fault: Fault) -> bytes:
    """Return the content of a file with a fault, as CSV of the same compression."""
    is_packed = file.key.endswith(".gz")
    content = gzip.decompress(file.body) if is_packed else file.body
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    delimiter = max(",;\t|", key=text.partition("\n")[0].count)
    header, *rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    columns = Columns(contract, header)
    if fault.renames:
        header[columns[fault.renames]] = f"{fault.renames.replace('_', ' ')} new"
    target = io.StringIO()
    csv.writer(target).writerows([header, *fault.plant(rows, columns)])
    body = target.getvalue().encode()
    return gzip.compress(body, mtime=0) if is_packed else body


class Replay:
    """A warehouse into which sample files are loaded by period, with the results of the watch."""

    def __init__(self, connection: Connection, s3: S3Client, domain: str) -> None:
        from waybill.contracts import load_domain, loading_order
        from waybill.run import Run
        from waybill.settings import settings

        self.connection, self.s3, self.bucket = connection, s3, settings().raw_bucket
        self.contracts, self.order, self.run = load_domain(domain), loading_order(domain), Run("bench", "bench")
        self.tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)

    def load(self, file: SampleFile, body: bytes, hours: int = 2) -> None:
        """Put an object into the bucket and load it; what the contract refuses is recorded."""
        from waybill.errors import DataError
        from waybill.files.landed_file import LandedFile
        from waybill.intake.ingest import ingest_file
        from waybill.period import Period
        from waybill.settings import settings

        period = Period.named(file.period)
        _, ends_at = period.instants(settings().timezone)
        self.s3.put_object(Bucket=self.bucket, Key=file.key, Body=body)
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        landed = LandedFile(self.bucket, file.key, etag, len(body), period, ends_at + timedelta(hours=hours))
        try:
            ingest_file(self.connection, self.s3, landed, self.contracts[file.dataset], self.contracts, self.run)
        except DataError:  # recorded as a rejected file, in which drift is searched
            return

    def look(self, contracts: Sequence[Contract], end: date) -> list[tuple[str, str]]:
        """Return what one look finds after the end of a period: (measure or kind of drift, column)."""
        from waybill.watch import drift
        from waybill.watch.anomalies import watch

        moment = datetime.combine(end, datetime.min.time(), UTC) + timedelta(hours=48)
        drifted = drift.look(self.connection, self.s3, contracts, self.run)
        found = watch(self.connection, contracts, self.run, moment)
        return [
            *((str(one.kind), one.column_name) for one in drifted),
            *((one.measure.name, one.column) for one in found),
        ]

    def plant(self, file: SampleFile, end: date) -> None:
        """Load each faulty version of a file, look, and undo it."""
        contract = self.contracts[file.dataset]
        for fault in FAULTS.get(contract.table, ()):
            with self.connection.transaction(force_rollback=True):
                self.load(file, faulty(file, contract, fault), fault.hours_late or 2)
                found = self.look([contract], end)
            tally = self.tallies[contract.table, fault.name]
            tally.planted += 1
            tally.found += fault.finds in found
            tally.others.update(f"{kind} {column}".strip() for kind, column in found if (kind, column) != fault.finds)

    def replay(self, files: Sequence[SampleFile], warm_up: int, every: int) -> None:
        """Load files by period. After a warm-up, plant faults in every so many periods, and look at all datasets."""
        from waybill.period import Period

        by_period: dict[str, list[SampleFile]] = defaultdict(list)
        for file in files:
            by_period[file.period].append(file)
        for place, key in enumerate(sorted(by_period)):
            end, is_position = Period.named(key).end, place >= warm_up and place % every == 0
            main = {file.dataset: file for file in sorted(by_period[key], key=lambda one: len(one.body))}
            for file in sorted(by_period[key], key=lambda one: (self.order.index(one.dataset), one.key)):
                if is_position and file is main[file.dataset]:
                    self.plant(file, end)
                self.load(file, file.body)
            if is_position or place == len(by_period) - 1:
                self.look([*self.contracts.values()], end)


def build_reports(connection: Connection, domain: str, months: Sequence[str]) -> None:
    """Build all reports of a domain; periods that a check refuses stay without."""
    from waybill.contracts.domains import load_manifest
    from waybill.contracts.locations import read_sql, report_files, report_schema, star_schema
    from waybill.derived.build import build_from_sql, known_files, report_contracts
    from waybill.derived.refresh import refresh
    from waybill.errors import DataError
    from waybill.period import Period
    from waybill.run import Run

    run = Run("bench", "bench")
    if load_manifest(domain).semantics == "current":
        for schema in (star_schema(domain), report_schema(domain)):
            try:
                refresh(connection, domain, schema, run)
            except DataError as error:
                print(str(error)[:200])
        return
    for path in report_files(domain):
        contract, text = report_contracts(domain)[path.stem], read_sql(path)
        for period in map(Period.named, months):
            inputs = partial(known_files, connection, domain, period, text)
            try:
                build_from_sql(connection, contract, inputs, text, period, run)
            except DataError:
                continue


@dataclass
class Subject:
    """A table and cadence, with its series and the number of its anomalies in clean data."""

    contract: Contract
    series: dict[tuple[Measure, str], Series]
    lines: int = 0
    """Periods with anomalies."""

    @property
    def periods(self) -> int:
        """Return for how many periods anything is expected."""
        return max((len(one.values) for one in self.series.values()), default=0)


def subjects_of(connection: Connection, contracts: Sequence[Contract]) -> Iterator[Subject]:
    """Yield all series of tables, after a last look at them."""
    from waybill.watch.series import series_of

    for contract in contracts:
        for cadence in contract.cadences:
            one = replace(contract, cadences=(cadence,))
            query = "select count(distinct period) from waybill.anomaly where dataset = %s and cadence = %s"
            row = connection.execute(query, (contract.table, cadence)).fetchone()
            yield Subject(one, series_of(connection, one, date(2000, 1, 1), date(2100, 1, 1)), row[0] if row else 0)


def centre_and_mad(past: Sequence[tuple[date, float]], start: date, cadence: str) -> tuple[float, float]:
    """Return the expected value of a period and the MAD of its whole window of past values."""
    overall = median(one for _, one in past)
    days: dict[int, list[float]] = defaultdict(list)
    for day, one in past:
        days[day.weekday() if cadence == "day" else 0].append(one)
    middle = {weekday: median(some) for weekday, some in days.items()}
    mad = median(abs(one - middle[day.weekday() if cadence == "day" else 0]) for day, one in past)
    return (middle.get(start.weekday(), overall) if cadence == "day" else overall), mad


def sizes(subjects: Sequence[Subject], every: int) -> tuple[dict[str, Counter[int]], Counter[str], Counter[int]]:
    """Return by measure how many moved values are outside, how many were moved, and false alarms by limit."""
    from waybill.watch.forecast import expected

    outside: dict[str, Counter[int]] = defaultdict(Counter)
    moved: Counter[str] = Counter()
    alarms: Counter[int] = Counter()
    for subject in subjects:
        cadence = subject.contract.cadence
        window = SETTLED[cadence]
        for (measure, _), series in subject.series.items():
            values = [*series.values.items()]
            for place in range(window, len(values)):
                start, observed = values[place]
                past = values[place - window : place]
                if not measure.applies([(one, series.sizes[day]) for day, one in past]):
                    continue
                middle, mad = centre_and_mad(past, start, cadence)
                tolerance = partial(measure.tolerance, size=series.sizes[start])
                alarms.update(size for size in SIZES if abs(observed - middle) > max(size * mad, tolerance(middle)))
                range_ = expected(past, start, cadence, tolerance)
                if place % every or not mad or range_ is None:
                    continue
                moved[measure.label] += 2
                for size in SIZES:
                    both = (middle - size * mad, middle + size * mad)
                    outside[measure.label][size] += sum(not range_.includes(one) for one in both)
    return outside, moved, alarms


def measure_all(stack: Stack, connection: Connection, options: argparse.Namespace) -> None:
    """Replay both domains and print the tables."""
    from rich.console import Console
    from rich.table import Table as Shown

    from waybill.watch import subjects as watched
    from waybill_devtools.sampledata import messaging, shop

    sent = messaging.generate(LAST_MONTH, options.months)
    months = sorted({file.period for file in sent.files})
    sold = shop.generate(LAST_DAY, options.days, scale=options.scale)
    tallies: dict[tuple[str, str], Tally] = {}
    found: list[Subject] = []
    for domain, sample, warm_up, every in (("messaging", sent, 12, 1), ("shop", sold, 56, options.every)):
        replay = Replay(connection, stack.s3(), domain)
        replay.replay(sample.files, warm_up, every)
        build_reports(connection, domain, months)
        replay.look(watched.reports(domain), (datetime.now(UTC) + timedelta(days=2)).date())
        tallies |= replay.tallies
        found += subjects_of(connection, [*watched.datasets(domain), *watched.reports(domain)])

    console = Console(width=120)
    table = Shown("table", "cadence", "periods", "with false alarms", "a quarter", title="Clean sample data")
    for one in found:
        rate = one.lines * QUARTER[one.contract.cadence] / max(one.periods, 1)
        shown = (one.contract.table, one.contract.cadence, str(one.periods), str(one.lines), f"{rate:.2f}")
        table.add_row(*shown)
    console.print(table)
    for (line,) in connection.execute(_ALARMS).fetchall():
        print(line)

    table = Shown("dataset", "fault", "planted", "found", "other anomalies in these files", title="Planted faults")
    for (dataset, name), tally in tallies.items():
        others = ", ".join(f"{what}: {number}" for what, number in tally.others.most_common(4))
        table.add_row(dataset, name, str(tally.planted), f"{100 * tally.found / tally.planted:.0f} %", others)
    console.print(table)
    hits, alarms = sum(one.found for one in tallies.values()), sum(one.lines for one in found)
    print(f"precision: {hits} of {hits + alarms} anomalies are planted: {100 * hits / (hits + alarms):.1f} %")

    datasets = [one for one in found if one.contract.is_dataset]
    outside, moved, by_limit = sizes(datasets, options.every)
    table = Shown("measure", "moved", *(f"{size} MAD" for size in SIZES), title="Datasets with a whole window of past")
    for label, number in moved.items():
        table.add_row(label, str(number), *(f"{100 * outside[label][size] / number:.0f} %" for size in SIZES))
    table.add_row("false alarms with this limit", "", *(str(by_limit[size]) for size in SIZES))
    console.print(table)


def main() -> None:
    """Measure and print the tables."""
    from waybill.settings import settings
    from waybill.warehouse.connection import connect
    from waybill.warehouse.migrations import upgrade
    from waybill_devtools.stack import Stack

    parser = argparse.ArgumentParser(description="State how often the watch is wrong.")
    parser.add_argument("--days", type=int, default=420, help="days of the shop")
    parser.add_argument("--months", type=int, default=36, help="months of the messages")
    parser.add_argument("--scale", type=float, default=1, help="size of the shop; 1 has 180 transactions a day")
    parser.add_argument("--every", type=int, default=9, help="plant faults at every so many days of the shop")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # each faulty file has one
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as scratch:
        stack = Stack(Path(scratch) / "stack")
        try:
            stack.up(with_airflow=False)
            os.environ.update(stack.env() | {"WAYBILL_SCRATCH_DIR": scratch})
            settings.cache_clear()
            upgrade(connect())
            with closing(connect()) as connection:
                measure_all(stack, connection, options)
        finally:
            stack.down()


if __name__ == "__main__":
    main()
