"""Find the sheet of a workbook with the data, and its header."""

from __future__ import annotations

import csv
import io
from collections import deque
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from waybill.contracts.file_format import FileFormat
from waybill.files.recognise_format import Recognised, recognise
from waybill.files.workbooks import sheet_names

_ROWS: Final = 500
"""Number of rows that decide where the header is."""
_LAST_ROWS: Final = 20
"""Number of rows in which a footer is looked for."""


def recognise_workbook(name: str, path: Path) -> Recognised:
    """Return the format of a workbook: the sheet with the most rows, and where its header is.

    Raises `DataError` if the file is corrupt.
    """
    from python_calamine import CalamineWorkbook

    sheets = sheet_names(name, path)
    with CalamineWorkbook.from_path(path) as workbook:
        heights = {sheet: workbook.get_sheet_by_name(sheet).height for sheet in sheets}
        if not heights:
            return Recognised(None, "a workbook without values")
        sheet = max(heights, key=lambda one: heights[one])
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        rows = workbook.get_sheet_by_name(sheet).iter_rows()
        for row in [*islice(rows, _ROWS), *deque(rows, _LAST_ROWS)]:
            writer.writerow([" ".join(str(value).split()) for value in row])
    table = recognise(text.getvalue().encode(), "sheet.csv")
    found = table.format or FileFormat()
    doubts = list(table.doubts)
    if len(sheets) > 1:
        others = ", ".join(other for other in sheets if other != sheet)
        doubts.append(f"The sheet {sheet} has the most rows. Other sheets with values: {others}.")
    if found.ignored_lines:
        patterns = ", ".join(found.ignored_lines)
        doubts.append(f"Rows that look like comments or totals are left out: those that match {patterns}.")
    form = FileFormat(
        "xlsx",
        sheet=sheet if len(sheets) > 1 else None,
        skip_lines=found.skip_lines,
        header_lines=found.header_lines,
        ignored_lines=found.ignored_lines,
    )
    evidence = [text for text in table.evidence if "separate" not in text and "UTF-8" not in text]
    return replace(table, format=form, what="an Excel workbook", evidence=tuple(evidence), doubts=tuple(doubts))
