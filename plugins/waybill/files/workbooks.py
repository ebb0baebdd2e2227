"""Convert a sheet of an Excel workbook to CSV, with the values as Excel shows them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Final, NamedTuple

from waybill.blanks import strip
from waybill.contracts import Contract
from waybill.contracts.file_format import FileFormat
from waybill.errors import DataError
from waybill.files.converted import Converted, LeftOut, RowsBelow, csv_line, duration_text, types_of
from waybill.files.csv_syntax import syntax_of
from waybill.files.ignored_lines import IgnoredLines
from waybill.files.sheet_scan import Area, Scan, WorkbookXml, cell_name
from waybill.files.spellings import find_column, joined_header, spellings_of
from waybill.files.unpacking import SENT_AGAIN
from waybill.formatting import count

_MOST_CELLS: Final = 5_000_000
"""The reader holds a sheet in memory, about 80 bytes a cell."""
_LINES: Final = 4096
"""Lines of a chunk."""

_FOOTER_ROWS: Final = 5
"""Rows at the end of a sheet that may be a footer."""
_TITLE_ROWS: Final = 20
"""Rows in which a header is looked for that is not where the contract says."""


def sheet_names(name: str, path: Path) -> list[str]:
    """Return the names of the visible sheets of a workbook that have values. Raises `DataError` if it is corrupt."""
    workbook = WorkbookXml(name, path)
    return [sheet for sheet in workbook.sheets if sheet not in workbook.hidden and workbook.has_values(sheet)]


def read_workbook(name: str, path: Path, contract: Contract) -> Converted:
    """Return a sheet of a workbook as CSV: the declared one, or the only visible one with values.

    Rows without values, and those that a pattern ignores, are no records. Raises `DataError` if the sheet is in doubt,
    missing, empty or too large, if formulas have no stored values, or if the workbook is corrupt.
    """
    form = contract.file_format
    workbook = WorkbookXml(name, path)
    sheet = _choose_sheet(name, workbook, form.sheet)
    area = Area.named(form.cells).below(form.skip_lines)
    scan = workbook.scan(sheet, area)
    where = f"{name}: the sheet {sheet!r}"
    if scan.sheet.cells > _MOST_CELLS:
        raise DataError(
            f"{where} has {scan.sheet.cells:,} cells, more than the {_MOST_CELLS:,} that are read. Export it as CSV, "
            f"or remove values far from the table."
        )
    left_out = LeftOut(IgnoredLines(form.ignored_lines, syntax_of()))
    if not left_out.ignored:
        _check_formulas(where, scan, form)
    if not scan.rows:
        raise DataError(f"{where} has no values in the declared rows and cells. {SENT_AGAIN}")
    rows = _kept(where, _rows(name, path, sheet, area, scan), scan, form, left_out)
    first = list(islice(rows, form.header_lines + _TITLE_ROWS))
    header = _header(where, first, contract)
    types = _types(header, contract, scan)
    records = scan.rows - form.header_lines
    lines = _lines(header, types, chain(first[form.header_lines :], rows))
    return Converted(records, f"the scan of the sheet {sheet!r}", lines, left_out)


def _check_formulas(where: str, scan: Scan, form: FileFormat) -> None:
    """Raise `DataError` if formulas have no stored values. At the end of a sheet they may belong to a total."""
    if not scan.without_value:
        return
    row = min(scan.without_value)
    formulas = sum(map(len, scan.without_value.values()))
    message = (
        f"{where} has {count(formulas, 'formula')} without a stored value, the first in "
        f"{cell_name(row, scan.without_value[row][0])}. Open the workbook in Excel, save it and send it again."
    )
    declared = Area.named(form.cells)
    top = declared.first_row + form.skip_lines + form.header_lines
    if row > max(top, scan.area.last_row - _FOOTER_ROWS):
        first = cell_name(declared.first_row, declared.first_column if form.cells else scan.area.first_column)
        last = cell_name(row - 1, min(declared.last_column, scan.area.last_column))
        message += (
            f" If row {row} is a total, leave it out: declare it as `ignoredLines`, or declare `cells: {first}:{last}`."
        )
    raise DataError(message)


def _types(header: list[str], contract: Contract, scan: Scan) -> list[str | None]:
    """Return the logical types of the columns; a column without one is of timestamps if its dates have times."""
    return [
        "timestamp" if kind not in ("date", "timestamp") and column in scan.with_fractions else kind
        for column, kind in enumerate(types_of(header, contract), start=scan.area.first_column)
    ]


def _choose_sheet(name: str, workbook: WorkbookXml, wanted: str | None) -> str:
    known = ", ".join(map(repr, workbook.sheets)) or "none"
    if wanted is not None:
        if wanted not in workbook.sheets:
            raise DataError(f"{name}: the workbook has no sheet {wanted!r} (`sheet`). Its sheets are: {known}.")
        return wanted
    visible = [sheet for sheet in workbook.sheets if sheet not in workbook.hidden]
    found = [sheet for sheet in visible if workbook.has_values(sheet)]
    if not found:
        raise DataError(f"{name}: no visible sheet of the workbook has values. Its sheets are: {known}. {SENT_AGAIN}")
    if len(found) > 1:
        raise DataError(
            f"{name}: {len(found)} sheets of the workbook have values: {', '.join(map(repr, found))}. Declare the one "
            f"with the data as `sheet` in the contract."
        )
    return found[0]


# --- rows -----------------------------------------------------------------------------------------------------


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn the errors of the reader into `DataError`."""
    from python_calamine import CalamineError

    try:
        yield
    except CalamineError as error:
        raise DataError(f"{name}: the workbook is corrupt ({error}). {SENT_AGAIN}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the reader, which is written in Rust
            raise
        raise DataError(f"{name}: the workbook cannot be read ({error}). {SENT_AGAIN}") from error


Value = tuple[Any, str | None]
"""A value of the reader, and the text that the scan found in its place."""


class Row(NamedTuple):
    """The values of a row of a sheet."""

    number: int
    values: list[Value]

    @property
    def texts(self) -> list[str]:
        """Return the values as texts."""
        return [_text(value, found, None) for value, found in self.values]


def _rows(name: str, path: Path, sheet: str, area: Area, scan: Scan) -> Iterator[Row]:
    """Yield the rows of an area, and those below it, that have values."""
    from python_calamine import CalamineWorkbook

    with _named_errors(name), CalamineWorkbook.from_path(path) as workbook:
        read = workbook.get_sheet_by_name(sheet)
        start = read.start
        if start is None:
            return
        first_column = start[1] + 1
        columns = range(scan.area.first_column, scan.area.last_column + 1)
        for number, values in enumerate(read.iter_rows(), start=1):
            if not (area.first_row <= number <= area.last_row or number in scan.below):
                continue
            row: list[Value] = []
            for column in columns:
                at = column - first_column
                value = values[at] if 0 <= at < len(values) else ""
                row.append(_with_scan(value, (number, column), scan))
            if any(text or (value != "" and not (isinstance(value, str) and not strip(value))) for value, text in row):
                yield Row(number, row)


def _kept(where: str, rows: Iterator[Row], scan: Scan, form: FileFormat, left_out: LeftOut) -> Iterator[Row]:
    """Yield the rows of the area that no pattern ignores, and count the others.

    Raises `DataError` if a formula without a stored value is in a row that is not ignored.
    """
    below, without_value = set(scan.below), dict(scan.without_value)
    for row in rows:
        if left_out.ignored and left_out.ignored.matches(csv_line(row.texts)):
            left_out.records += row.number not in scan.below
            below.discard(row.number)
            without_value.pop(row.number, None)
        elif row.number not in scan.below:
            yield row
    _check_formulas(where, replace(scan, without_value=without_value), form)
    if below and form.cells:
        left_out.below = RowsBelow(len(below), min(below), form.cells)


def _with_scan(value: Any, cell: tuple[int, int], scan: Scan) -> Value:
    if value == "":
        return value, scan.errors.get(cell)
    if isinstance(value, date | time):
        return value, scan.odd_numbers.get(cell)
    return value, None


def _header(where: str, rows: Sequence[Row], contract: Contract) -> list[str]:
    """Return the header, which the first rows have; without header lines, the names of the contract's columns.

    Raises `DataError` if another row is more like the header.
    """
    form = contract.file_format
    lines = [row.texts for row in rows[: form.header_lines]]
    if len(lines) < form.header_lines:
        raise DataError(f"{where} ends within its {form.header_lines} header lines (headerLines).")
    if not lines:
        return [column.name for column in contract.delivered_columns]
    header = joined_header(lines)
    spellings = spellings_of(contract)

    def known(names: Sequence[str]) -> int:
        return sum(find_column(spellings, one) is not None for one in names)

    likely = max(rows, key=lambda row: known(row.texts))
    if known(likely.texts) > max(known(header), 1):
        lines_above = likely.number - Area.named(form.cells).first_row
        raise DataError(
            f"{where}: the header appears to be row {likely.number}. Declare `skipLines: {lines_above}` in the server "
            f"of the contract."
        )
    return header


def _lines(header: list[str], types: Sequence[str | None], rows: Iterator[Row]) -> Iterator[bytes]:
    yield csv_line(header)
    while some := list(islice(rows, _LINES)):
        target = io.StringIO(newline="")
        writer = csv.writer(target, lineterminator="\r\n")
        for row in some:
            # Without a header, a row may have more fields than the contract has columns: it is rejected.
            kinds = chain(types, repeat(None))
            writer.writerow(
                [_text(value, found, kind) for (value, found), kind in zip(row.values, kinds, strict=False)]
            )
        yield target.getvalue().encode()


# --- texts of values ------------------------------------------------------------------------------------------


def _text(value: Any, found: str | None, kind: str | None) -> str:
    """Return a value as Excel shows it without a format; `kind` is the logical type of its column."""
    if found is not None:
        return found
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number_text(value)
    if isinstance(value, timedelta):
        return duration_text(round(value / timedelta(milliseconds=1)), 1000)
    return value if isinstance(value, str) else _moment_text(value, kind)


def _moment_text(value: date | time, kind: str | None) -> str:
    """Return a date, a time or both. A whole day has a time only in a column of timestamps."""
    if isinstance(value, time):
        return _time_text(value)
    if isinstance(value, datetime):
        return f"{value.date()} {_time_text(value.time())}"
    return f"{value} 00:00:00" if kind == "timestamp" else str(value)


def _number_text(value: float) -> str:
    """Return a number with at most 15 significant digits, as Excel shows it, without exponent."""
    text = f"{value + 0.0:.15g}"
    return f"{Decimal(text):f}" if "e" in text else text


def _time_text(value: time) -> str:
    return value.isoformat("milliseconds" if value.microsecond else "seconds")
