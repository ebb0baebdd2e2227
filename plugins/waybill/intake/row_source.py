"""Turn a received file into rows that DuckDB can read: as it arrived, or reparsed record by record."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from waybill.contracts import Contract
from waybill.contracts.file_format import PLAIN, Dialect
from waybill.files.csv_syntax import syntax_of
from waybill.files.json_records import read_records
from waybill.files.landed_file import LandedFile
from waybill.files.received_file import ReceivedFile
from waybill.files.records import Record, split_records
from waybill.files.transcoding import as_readable, ends_in_undefined_byte
from waybill.files.unpacking import read_file
from waybill.intake.rejected_files import BrokenRules, RejectedFileError
from waybill.intake.repairs import Fields, PossibleReading, possible_readings
from waybill.intake.repeated_headers import RepeatedHeaders
from waybill.intake.validate import FastReaderFailed, Reject, open_duckdb, validate_rows

log = logging.getLogger(__name__)
T = TypeVar("T")

_MAX_MALFORMED: Final = 10_000
"""Number of malformed records that any file may have while it is reparsed."""


@dataclass(frozen=True)
class RowSource:
    """Rows of one file as a CSV file on local disk, without a header."""

    landed: LandedFile
    """The file to which the rows belong."""
    body: Path
    records: int
    """Number of records, including malformed ones, by an independent count."""
    columns: Sequence[str | None]
    """For each field the contract's column, or None if the field is not loaded."""
    is_numbered: bool
    """Whether Waybill wrote the body: then each row begins with its record number."""
    is_whole: bool = True
    """Whether the rows are all rows of the file, not only some that are replayed."""
    malformed: int = 0
    """Number of malformed records, which are not in the body."""
    dialect: Dialect = PLAIN
    """The dialect of the body. Line ends are line feeds, alone or after carriage returns."""
    repaired: Sequence[int] = ()
    """The numbers of malformed records that were repaired, as the contract declares."""
    header_names: frozenset[str] = frozenset()
    """Normalised column names; rows with several of them may be repeated headers."""

    def has(self, column: str) -> bool:
        """Return whether the rows have this column of the contract."""
        return column in self.columns


Rows = Callable[[], tuple[RowSource, list[Reject]]]
"""Returns the rows of a file and its malformed records, which may mean to parse the whole file."""


def read_rows(received: ReceivedFile, contract: Contract, folder: Path, read: Callable[[Rows], T]) -> T:
    """Return the result of `read`, which calls its argument for the rows of a file if it needs them.

    A regular file is read as it arrived. If that raises `FastReaderFailed`, or for any other file, the records are
    reparsed into `folder`: `RejectedFileError` is raised there if too many are malformed.
    """
    if received.is_regular:
        try:
            return read(lambda: (as_received(received), []))
        except FastReaderFailed as error:
            log.info("%s is read record by record: %s", received.landed.uri, error)
    return read(lambda: reparse(received, contract, folder / "reparsed.csv"))


def as_received(received: ReceivedFile) -> RowSource:
    """Return the rows of a regular CSV file as it arrived, except for line ends that DuckDB does not read."""
    dialect, body = received.file_format.dialect, received.body
    if dialect.line_end is not None:
        body = body.with_name("lines.csv")
        _write_line_feeds(received.body, dialect.line_end.encode(), body)
    return RowSource(
        received.landed,
        body,
        received.rows_in,
        received.columns,
        is_numbered=False,
        dialect=dialect,
        header_names=received.column_names,
    )


def _write_line_feeds(body: Path, line_end: bytes, target: Path) -> None:
    """Write a file to `target` with a line feed in place of each line end."""
    kept = b""
    with target.open("wb") as stream:
        for chunk in read_file(body):
            lines, end, kept = (kept + chunk).rpartition(line_end)
            stream.write(lines.replace(line_end, b"\n") + (b"\n" if end else b""))
        stream.write(kept)


def reparse(received: ReceivedFile, contract: Contract, target: Path) -> tuple[RowSource, list[Reject]]:
    """Write the well-formed records of a file to `target`. Return them as a row source, and the malformed ones.

    Raises `RejectedFileError` before the malformed records of a file fill the memory.
    """
    allowed = max(contract.reject_threshold_pct * received.rows_in / 100, _MAX_MALFORMED)
    malformed: list[Reject] = []
    repaired = _repairs(received, contract, target.parent) if received.file_format.repairs else {}
    for reject in _write_well_formed(received, target, repaired):
        malformed.append(reject)
        if len(malformed) > allowed:
            broken = BrokenRules(contract)
            for one in malformed:
                broken.add(one.record, one.reasons, one.raw)
            raise RejectedFileError(
                f"{received.landed.uri}: more than {allowed:,.0f} of {received.rows_in:,} records are malformed. "
                f"Nothing was loaded. Correct the file and send it again under the same name.{received.hint} Up "
                f"to record {reject.record}:",
                broken.listed(),
            )
    source = RowSource(
        received.landed,
        target,
        received.rows_in,
        received.columns,
        is_numbered=True,
        malformed=len(malformed),
        repaired=sorted(repaired),
    )
    return source, malformed


def _repairs(received: ReceivedFile, contract: Contract, folder: Path) -> dict[int, Fields]:
    """Return the fields of each malformed record that can be read in only one way that meets the contract.

    References to other datasets are not checked here; they apply to repaired rows as to all others.
    """
    readings, body = possible_readings(_records(received), received), folder / "readings.csv"
    if not readings:
        return {}
    with body.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([place, *reading.fields] for place, reading in enumerate(readings))
    columns = tuple(replace(column, reference=None) for column in contract.columns)
    source = RowSource(received.landed, body, len(readings), received.columns, is_numbered=True, is_whole=False)
    valid: dict[int, list[PossibleReading]] = {}
    with closing(open_duckdb(folder)) as duck:
        for batch in validate_rows(duck, source, replace(contract, columns=columns), {}):
            for place, reasons in zip(batch["_record"].to_pylist(), batch["_reasons"].to_pylist(), strict=True):
                if not reasons:
                    valid.setdefault(readings[place].number, []).append(readings[place])
    return {number: found[0].fields for number, found in valid.items() if len(found) == 1 and found[0].may_be_taken}


def _write_well_formed(received: ReceivedFile, target: Path, repaired: Mapping[int, Fields]) -> Iterator[Reject]:
    """Write the well-formed and repaired records, each after its number, to `target`. Yield the malformed ones.

    Python's csv and json modules are slower than DuckDB's reader, but they show what is wrong with each record.
    """
    without_line_end = received.last_without_line_end
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for number, record in enumerate(_records(received), start=1):
            if fields := repaired.get(number):
                writer.writerow([number, *fields])
            elif record.reasons:
                is_cut = record.is_unfinished and number in without_line_end
                reasons = [*record.reasons, "truncated"] if is_cut else record.reasons
                yield Reject(number, reasons, json_text(record.text))
            else:
                writer.writerow([number, *record.fields])


def _records(received: ReceivedFile) -> Iterator[Record]:
    if received.members is not None:
        for body in received.json:
            yield from read_records(body, received.header, received.members, received.file_format.encoding)
        return
    headers = RepeatedHeaders(received.header, received.column_names)
    syntax = syntax_of(received.file_format.dialect)
    for raw, well_formed in split_records(read_file(received.body), len(received.header), syntax):
        reasons = [] if well_formed else [syntax.malformed_reason(raw)]
        if b"\0" in raw:
            reasons.append("nul")
        try:
            text = raw.decode("utf-8").removeprefix("\ufeff" if well_formed else "")
            is_unfinished = not well_formed and syntax.has_open_quote(raw)
        except UnicodeDecodeError as error:
            text = as_readable(raw, received.file_format.encoding)
            reasons.append("encoding")
            is_unfinished = error.reason == "unexpected end of data" or ends_in_undefined_byte(raw)
        fields = syntax.fields(text) if well_formed else []
        if well_formed and (reason := headers.reason(fields)):
            reasons.append(reason)
        elif well_formed and len(fields) != len(received.header):
            reasons.append("ragged")
            is_unfinished |= len(fields) < len(received.header)
        yield Record([*fields], reasons, text, is_unfinished)


def json_text(text: str) -> str:
    """Return the text of a record without fields as the quarantine keeps it."""
    # PostgreSQL's text type cannot hold NUL, but it can hold JSON's escape of NUL.
    return json.dumps(text, ensure_ascii=False)
