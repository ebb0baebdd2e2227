"""Score how files are read on the data of Pollock, a public benchmark of polluted CSV files.

Pollock (Vitagliano et al., VLDB 2023) has the same table of sales in some 2,290 files, each with one pollution. For
each file it has the table that the file should load as, and the frequency of the pollution in open data. Each file goes
through the path of a load: it is received, read and validated with a contract. Rows with equal keys are merged
as in a load.

A file that loads scores 1 for the success and 1 each for precision, recall and F1 of its header, its rows and its
cells: at most 10. Values count as equal after trimming and lower-casing; numbers, dates and times by their value.

Each file is read with one of three dialects: none declared (commas and double quotes), the one that the benchmark
describes, with its columns in order, or the one in the contract that `waybill contract new` drafts from the file. A
drafted contract also has its own types; with `--contract text`, its columns are read as texts.

Usage: python benchmarks/pollock.py FOLDER [--contract text|typed] [--dialect none|declared|drafted]

FOLDER holds `csv/`, `clean/`, `parameters/` and `weights.json`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import logging
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from waybill.contracts import Column, Contract
from waybill.contracts import load as load_contract
from waybill.contracts.file_format import UNDECLARED, FileFormat
from waybill.drafts.draft import draft_contract
from waybill.drafts.files import given_files
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.intake.row_source import Rows, read_rows
from waybill.intake.validate import Reject, open_duckdb, validate_rows
from waybill.period import Period

DAY = Period.parse("day", "2026-11-02")
LANDED_AT = datetime(2026, 11, 2, tzinfo=UTC)
NAMES = ("DATE", "TIME", "Qty", "PRODUCTID", "Price", "ProductType", "ProductDescription", "URL", "Comments")
KEY = ("DATE", "TIME", "PRODUCTID")
PATTERNS = {
    "DATE": "[0-3][0-9]/[01][0-9]/[0-9]{4}",
    "TIME": "[0-2][0-9]:[0-5][0-9]",
    "Price": "[$][0-9]+([.][0-9]{1,2})?",
}
SCORES = 10


def contract(*, typed: bool, names: Sequence[str] = NAMES, file_format: FileFormat = UNDECLARED) -> Contract:
    """Return the columns as texts, or with types for date, time, quantity and price if there are as many as usual."""
    is_usual = len(names) == len(NAMES)

    def column(place: int, name: str) -> Column:
        usual = NAMES[place] if is_usual else ""
        is_integer = typed and usual == "Qty"
        in_key = usual in KEY or not is_usual
        return Column(
            f"c{place + 1}",
            "",
            "integer" if is_integer else "string",
            "integer" if is_integer else "text",
            required=in_key,
            key_position=(KEY.index(usual) if is_usual else place) + 1 if in_key else None,
            options={"pattern": PATTERNS[usual]} if typed and usual in PATTERNS else {},
            spellings=(name,),
            business_name=name,
        )

    columns = tuple(column(place, name) for place, name in enumerate(names))
    return Contract(
        "pollock",
        "sales",
        "1",
        "",
        "",
        columns,
        "merge",
        100,
        None,
        (),
        "",
        cadences=("day",),
        file_format=file_format,
    )


def declared_contract(parameters: Mapping[str, Any], *, typed: bool) -> Contract:
    """Return a contract with the dialect of a file and its columns in order, as the benchmark describes them.

    It declares that malformed records are repaired if they can be read in only one way that meets the contract, and
    that an empty file has no rows.
    """
    quote, escape = parameters["quotechar"] or '"', parameters["escapechar"]
    file_format = FileFormat(
        "csv",
        delimiter=parameters["delimiter"] or ",",
        quote=quote,
        escape=escape if escape not in ("", quote) else None,
        skip_lines=parameters["preamble_lines"] + parameters["header_lines"],
        header_lines=0,
        repairs=("emptyFields", "strayQuotes"),
        accepts_empty=True,
    )
    names = parameters["column_names"] or [f"col_{place}" for place in range(parameters["n_columns"])] or ["col_0"]
    return contract(typed=typed, names=names, file_format=file_format)


def drafted_contract(path: Path, *, typed: bool) -> tuple[Contract, list[str]]:
    """Return the contract that `waybill contract new` writes for a file, and what the contract doubts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draft = draft_contract(given_files([str(path)]), "pollock", "sales", folder)
        written = folder / "sales.yaml"
        written.write_text(draft.text, encoding="utf-8")
        drafted = load_contract(written)
    if not typed:
        delivered = drafted.delivered_columns
        columns = (as_text(column) if column in delivered else column for column in drafted.columns)
        drafted = replace(drafted, columns=tuple(columns))
    return drafted, [f"{place}: {doubt}" for place, doubt in draft.doubts]


def as_text(column: Column) -> Column:
    return replace(column, logical_type="string", physical_type="text", options={}, number_format=None, date_forms=())


class OneFile:
    """The part of an S3 client that `receive` needs."""

    def __init__(self, body: bytes, etag: str) -> None:
        self._body, self._etag = body, etag

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: ARG002, N803  # boto3's names
        return {"Body": io.BytesIO(self._body), "ETag": self._etag}


@dataclass
class Loaded:
    """The result of validating a file."""

    header: list[str]
    rows: list[tuple[str, ...]]
    rejected: int = 0
    records: list[int] = field(default_factory=list)
    """Return the record number of each row."""


def load(path: Path, contract: Contract) -> Loaded:
    """Receive and validate one file. Raises `DataError` if it is rejected."""
    body = path.read_bytes()
    etag = hashlib.md5(body).hexdigest()
    landed = LandedFile("pollock", path.name, etag, len(body), DAY, LANDED_AT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        received = receive(OneFile(body, etag), landed, contract, folder)

        def load_rows(read: Rows) -> Loaded:
            source, malformed = read()
            with closing(open_duckdb(folder)) as duck:
                batches = validate_rows(duck, source, contract, {})
                rows = [row for batch in batches for row in batch.to_pylist()]
            return _loaded(received, contract, rows, malformed)

        return read_rows(received, contract, folder, load_rows)


def _loaded(
    received: ReceivedFile, contract: Contract, rows: Sequence[dict[str, Any]], malformed: Sequence[Reject]
) -> Loaded:
    """Return the valid rows: of equal keys the first, because a load merges by key."""
    if len(rows) + len(malformed) != received.rows_in:
        raise DataError(f"{len(rows) + len(malformed)} records were read and {received.rows_in} counted")
    columns = contract.delivered_columns
    header = [plain(column.business_name or column.name) for column in columns if received.has(column.name)]
    loaded = Loaded(header, [], len(malformed))
    keys = set()
    for row in rows:
        if row["_reasons"]:
            loaded.rejected += 1
        elif (key := tuple(row[name] for name in contract.row_key)) not in keys:
            keys.add(key)
            loaded.rows.append(tuple(shown(column, row[column.name]) for column in columns))
            loaded.records.append(row["_record"])
    if not contract.tolerates(loaded.rejected, received.rows_in):
        raise DataError(f"{loaded.rejected} of {received.rows_in} records are rejected")
    return loaded


def shown(column: Column, value: object) -> str:
    """Return a loaded value in the form that is compared; a number with the currency that its column declares."""
    currency = column.number_format.currency if column.number_format else ()
    return plain("" if value is None else "".join([*currency[:1], str(value)]))


@cache
def plain(text: str) -> str:
    """Return a text in the form that is compared. Dates and times are read without the code that loads files."""
    text = text.strip().lower()
    if number := re.fullmatch(r"([$]?)([+-]?[0-9]+(?:[.][0-9]+)?)", text):
        with suppress(InvalidOperation):
            return f"{number[1]}{Decimal(number[2]).normalize()}"
    for form in ("%d/%m/%Y", "%H:%M"):
        with suppress(ValueError):
            moment = datetime.strptime(text, form)  # noqa: DTZ007  # it has no time zone
            return str(moment.time() if form == "%H:%M" else moment.date())
    return text


def read_clean(path: Path, *, has_header: bool) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return header and rows of the table that a file should load as."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    header = rows.pop(0) if has_header and rows else []
    return [plain(name) for name in header], [tuple(map(plain, row)) for row in rows]


def agreement(found: Iterable[object], expected: Iterable[object]) -> float:
    """Return the sum of precision, recall and F1 of one multiset against another."""
    ours, right = Counter(found), Counter(expected)
    if not right:
        return 3.0
    common = (ours & right).total()
    precision = common / ours.total() if ours else 0.0
    recall = common / right.total()
    return precision + recall + (2 * precision * recall / (precision + recall) if common else 0.0)


def pollution(name: str) -> str:
    """Return the kind of pollution of a file."""
    return re.sub(r"_?row[0-9]+.*|[0-9]+_(col|0x).*", "", name.removesuffix(".csv").removeprefix("row_")).strip("_")


def cells(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    return chain.from_iterable(rows)


def contract_of(path: Path, parameters: Mapping[str, Any], dialect: str, *, typed: bool) -> tuple[Contract, list[str]]:
    """Return the contract with which a file is read, and its doubts."""
    if dialect == "drafted":
        return drafted_contract(path, typed=typed)
    return (declared_contract(parameters, typed=typed) if dialect == "declared" else contract(typed=typed)), []


def names_record(doubts: Iterable[str], record: int, contract: Contract) -> bool:
    """Return whether a doubt names a record, by its number or its line, or is about all records."""
    line = contract.file_format.skip_lines + contract.file_format.header_lines + record
    return any(re.search(rf"\b(record {record:,}|line {line}|the records)\b", doubt) for doubt in doubts)


def score(folder: Path, dialect: str = "none", *, typed: bool = True, only: str = "") -> None:
    """Read every file, and print the scores and the rows that were read wrongly."""
    weights = json.loads((folder / "weights.json").read_text())
    simple = weighted = weight = 0.0
    right = rejected = undoubted = files = 0
    rejected_files, wrong = [], []
    for path in sorted(path for path in (folder / "csv").iterdir() if only in path.name):
        files += 1
        described = folder / "parameters" / f"{path.name}_parameters.json"
        parameters = json.loads(described.read_text())
        header, rows = read_clean(folder / "clean" / path.name, has_header=parameters["header_lines"] > 0)
        try:
            used, doubts = contract_of(path, parameters, dialect, typed=typed)
            loaded = load(path, used)
        except DataError as error:
            rejected_files.append(f"{path.name}: {str(error)[:300]}")
            points = 0.0
        else:
            points = 1 + agreement(loaded.header, header) + agreement(loaded.rows, rows)
            points += agreement(cells(loaded.rows), cells(rows))
            rejected += loaded.rejected
            right += (Counter(loaded.rows) & Counter(rows)).total()
            spare = Counter(loaded.rows) - Counter(rows)
            for record, row in zip(reversed(loaded.records), reversed(loaded.rows), strict=True):
                if spare[row]:
                    spare[row] -= 1
                    wrong.append((pollution(path.name), path.name, record, row))
                    undoubted += not names_record(doubts, record, used)
        simple += points
        weighted += points * weights.get(path.name, 0)
        weight += weights.get(path.name, 0)
    print(f"simple {simple / files:.3f}, weighted {weighted / weight:.3f} of {SCORES}; {files} files")
    print(f"{right} rows loaded correctly, {rejected} records in quarantine, {len(rejected_files)} files rejected")
    print(*(f"  rejected {line}" for line in rejected_files), sep="\n")
    print(f"{len(wrong)} rows loaded with wrong values, {undoubted} of them without a doubt in the contract")
    for kind, count in Counter(kind for kind, *_ in wrong).most_common():
        print(f"  {count:4} {kind}")
    for _, name, record, row in wrong:
        print(f"  {name} record {record}: {','.join(row)[:200]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--contract", choices=["text", "typed"], default="typed")
    parser.add_argument("--dialect", choices=["none", "declared", "drafted"], default="none")
    parser.add_argument("--only", default="", help="part of the names of the files that are read")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    started = time.monotonic()
    score(options.folder, options.dialect, typed=options.contract == "typed", only=options.only)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
