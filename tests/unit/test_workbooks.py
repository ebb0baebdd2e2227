"""Sheets become CSV with the values that openpyxl reads, as Excel shows them."""

from __future__ import annotations

import csv
import io
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from support.landing import MONTH, MemoryBucket
from waybill.contracts import Column, Contract
from waybill.contracts.file_format import FileFormat
from waybill.errors import DataError
from waybill.files import workbooks
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.files.sheet_scan import Area, cell_name
from waybill.intake.row_source import as_received
from waybill.intake.validate import open_duckdb, validate_rows

COLUMNS = (
    Column("a", "", "string", "text"),
    Column("on", "", "date", "date"),
    Column("at", "", "timestamp", "timestamptz"),
)


def contract_of(**form: Any) -> Contract:
    return Contract(
        "messaging",
        "customers",
        "1",
        "",
        "",
        COLUMNS,
        "snapshot",
        100,
        0,
        (),
        "",
        file_format=FileFormat("xlsx", **form),
    )


def received(body: bytes, folder: Path, name: str = "a.xlsx", **form: Any) -> ReceivedFile:
    bucket = MemoryBucket()
    return receive(bucket, bucket.land("customers", MONTH, body, name), contract_of(**form), folder)


def records(file: ReceivedFile) -> list[list[str]]:
    with file.body.open(encoding="utf-8", newline="") as stream:
        found = list(csv.reader(stream))
    assert file.rows_in == len(found)
    return found


def saved(workbook: openpyxl.Workbook) -> bytes:
    target = io.BytesIO()
    workbook.save(target)
    return target.getvalue()


def sheet_of(rows: Sequence[Sequence[Any]]) -> tuple[openpyxl.Workbook, Worksheet]:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert isinstance(sheet, Worksheet)
    for row in rows:
        sheet.append(row)
    return workbook, sheet


def read(rows: Sequence[Sequence[Any]], tmp_path: Path, **form: Any) -> list[list[str]]:
    return records(received(saved(sheet_of(rows)[0]), tmp_path, **form))


def shown(value: Any) -> str:
    """Return a value of openpyxl as Excel shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        seconds = value / timedelta(seconds=1)
        return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{int(seconds % 60):02d}"
    if isinstance(value, datetime):
        return str(value)
    if isinstance(value, int | float):
        return f"{Decimal(f'{value:.14e}').normalize() + 0:f}" if value else "0"
    return str(value)


def plain(text: str) -> str:
    return text.strip().removesuffix(" 00:00:00")


# --- values ---------------------------------------------------------------------------------------------------

XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t", exclude_characters="\ufffe\uffff\r"),
    max_size=9,
).filter(lambda text: not text.startswith("=") and not re.search("_x[0-9A-Fa-f]{4}_", text))
SECONDS = st.integers(0, 86_399).map(lambda seconds: (datetime(2000, 1, 1) + timedelta(seconds=seconds)).time())  # noqa: DTZ001
VALUES = st.one_of(
    XML_TEXT,
    st.integers(-(10**14), 10**14),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: value == 0 or 1e-300 < abs(value) < 1e300),
    st.decimals(-(10**9), 10**9, places=2).map(float),
    st.booleans(),
    st.dates(date(1900, 3, 1)),
    st.datetimes(datetime(1900, 3, 1)).map(lambda moment: moment.replace(microsecond=0)),  # noqa: DTZ001
    SECONDS,
    st.integers(0, 10**7).map(lambda seconds: timedelta(seconds=seconds)),
)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6))
@example([(1.1, 0.1 + 0.2), (1e300, -0.0), (123456789012345678, 1e-7)])
@settings(max_examples=120)
def test_values_are_those_that_openpyxl_reads(rows: list[tuple[Any, Any]]) -> None:
    body = saved(sheet_of([("a", "b"), *rows])[0])
    independent = openpyxl.load_workbook(io.BytesIO(body), data_only=True).active
    assert independent is not None
    wanted = [[shown(value) for value in row] for row in independent.iter_rows(min_row=2, max_col=2, values_only=True)]
    wanted = [row for row in wanted if any(text.strip() for text in row)]
    with tempfile.TemporaryDirectory() as name:
        file = received(body, Path(name))
        found = records(file) if wanted else []
    # Blanks at the ends of a value do not count, and the reader may drop them. So does a midnight.
    assert [[plain(text) for text in row] for row in found] == [[plain(text) for text in row] for row in wanted]


NUMBERS = {
    1.1: "1.1",
    0.1 + 0.2: "0.3",
    5.0: "5",
    -0.0: "0",
    1e-7: "0.0000001",
    1e21: "1000000000000000000000",
    123456789012345.6: "123456789012346",
    12345678901234567890: "12345678901234600000",
    -2.5e-10: "-0.00000000025",
}


def test_numbers_have_the_15_digits_of_excel(tmp_path: Path) -> None:
    assert read([("a",), *((value,) for value in NUMBERS)], tmp_path) == [[text] for text in NUMBERS.values()]


def test_long_identifiers_that_are_texts_keep_all_digits(tmp_path: Path) -> None:
    assert read([("a",), ("00123456789012345678901",), ("1E5",)], tmp_path) == [["00123456789012345678901"], ["1E5"]]


def test_a_whole_day_has_a_time_if_its_column_has_times(tmp_path: Path) -> None:
    midnight, noon = datetime(2026, 3, 1), datetime(2026, 3, 1, 12)  # noqa: DTZ001
    names = ("a", "On", "At", "other")
    found = read([names, [midnight] * 4, (noon, noon, midnight, midnight)], tmp_path)
    assert found == [
        ["2026-03-01 00:00:00", "2026-03-01", "2026-03-01 00:00:00", "2026-03-01"],
        ["2026-03-01 12:00:00", "2026-03-01 12:00:00", "2026-03-01 00:00:00", "2026-03-01"],
    ]


def test_a_contract_of_each_type_reads_the_values_of_cells(tmp_path: Path) -> None:
    noon, midnight = datetime(2026, 3, 1, 12, 0, 0, 250_000), datetime(2026, 3, 2)  # noqa: DTZ001
    types: dict[str, tuple[str, str, list[Any]]] = {
        "id": ("integer", "bigint", [123456789012345, -1]),
        "price": ("number", "numeric(12,2)", [1.1, -0.07]),
        "share": ("number", "double precision", [0.125, 1e-7]),
        "day": ("date", "date", [date(2026, 3, 1), date(1999, 12, 31)]),
        "clock": ("time", "time", [time(8, 30), time(23, 59, 59)]),
        "local": ("timestamp", "timestamp", [noon, midnight]),
        "truth": ("boolean", "boolean", [True, False]),
        "word": ("string", "text", ["00123", "x"]),
    }
    columns = tuple(
        Column(name, "", logical, physical, key_position=1 if name == "id" else None)
        for name, (logical, physical, _) in types.items()
    )
    contract = replace(contract_of(), columns=columns)
    workbook, _ = sheet_of([[*types], *zip(*(values for _, _, values in types.values()), strict=True)])
    bucket = MemoryBucket()
    file = receive(bucket, bucket.land("customers", MONTH, saved(workbook), "a.xlsx"), contract, tmp_path)
    with closing(open_duckdb(tmp_path)) as duck:
        found = [row for batch in validate_rows(duck, as_received(file), contract, {}) for row in batch.to_pylist()]
    assert [row["_reasons"] for row in found] == [None, None]
    for name, (_, physical, values) in types.items():
        exact = [Decimal(str(value)) for value in values] if physical.startswith("numeric") else values
        assert [row[name] for row in found] == exact, name


@given(st.datetimes(datetime(1900, 3, 1), datetime(9999, 12, 31)))  # noqa: DTZ001
@settings(max_examples=60)
def test_times_are_exact_to_the_millisecond(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    workbook, sheet = sheet_of([("a",)])
    sheet["A2"] = (moment - datetime(1899, 12, 30)) / timedelta(days=1)  # noqa: DTZ001
    sheet["A2"].number_format = "yyyy-mm-dd hh:mm:ss.000"
    with tempfile.TemporaryDirectory() as name:
        ((found,),) = records(received(saved(workbook), Path(name)))
    assert datetime.fromisoformat(found) == moment


def test_dates_of_1904_are_read(tmp_path: Path) -> None:
    workbook, _ = sheet_of([("a",), (date(2026, 3, 1),), (datetime(2026, 3, 1, 12, 30),)])  # noqa: DTZ001
    workbook.epoch = CALENDAR_MAC_1904
    assert records(received(saved(workbook), tmp_path)) == [["2026-03-01 00:00:00"], ["2026-03-01 12:30:00"]]


@pytest.mark.parametrize(
    ("number", "form", "text"),
    [
        (60, "yyyy-mm-dd", "60"),  # 29 February 1900, which was no day
        (60.5, "yyyy-mm-dd hh:mm", "60.5"),
        (-1, "yyyy-mm-dd", "-1"),
        (-0.25, "hh:mm", "-0.25"),
        (3_000_000, "yyyy-mm-dd", "3000000"),
        (59, "yyyy-mm-dd", "1900-02-28"),
        (61, "yyyy-mm-dd", "1900-03-01"),
        (0.05, "0%", "0.05"),
        (46000, '0 "days"', "46000"),
        (1.5, "[h]:mm:ss", "36:00:00"),
    ],
)
def test_a_number_that_is_no_date_is_not_read_as_one(number: float, form: str, text: str, tmp_path: Path) -> None:
    workbook, sheet = sheet_of([("a",), (number,)])
    sheet["A2"].number_format = form
    assert records(received(saved(workbook), tmp_path)) == [[text]]


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def relations(**targets: str) -> str:
    found = (
        f'<Relationship Id="{kind}" Type="{OFFICE}/{kind}" Target="{target}"/>' for kind, target in targets.items()
    )
    return f'<Relationships xmlns="{RELATIONS}">{"".join(found)}</Relationships>'


def written(rows: str, *, strings: str = "", before: str = "", prefix: str = "") -> bytes:
    """Return a workbook as programs other than openpyxl write it, with the XML of the rows of its only sheet."""
    sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'
    if prefix:
        sheet = re.sub("<(/?)", rf"<\1{prefix}:", sheet).replace("xmlns=", f"xmlns:{prefix}=")
    parts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations(officeDocument="xl/workbook.xml"),
        "xl/_rels/workbook.xml.rels": relations(worksheet="/xl/worksheets/s.xml", sharedStrings="sharedStrings.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="Sheet" sheetId="1" r:id="worksheet"/></sheets></workbook>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}"><si><t>a</t></si>{strings}</sst>',
        "xl/worksheets/s.xml": f"{before}{sheet}",
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name, text in parts.items():
            opened.writestr(name, text)
    return target.getvalue()


HEADER = '<row r="1"><c r="A1" t="s"><v>0</v></c></row>'
CELLS = {
    "an error": ('<c r="A2" t="e"><v>#N/A</v></c>', "#N/A"),
    "an error of a formula": ('<c r="A2" t="e"><f>NA()</f><v>#REF!</v></c>', "#REF!"),
    "a text of a formula": ('<c r="A2" t="str"><f>B1</f><v>x</v></c>', "x"),
    "a number of a formula": ('<c r="A2"><f>1+1</f><v>2</v></c>', "2"),
    "a boolean": ('<c r="A2" t="b"><v>0</v></c>', "false"),
    "a text in the cell": ('<c r="A2" t="inlineStr"><is><r><t>x</t></r><r><t>y</t></r></is></c>', "xy"),
    "an ISO date": ('<c r="A2" t="d"><v>2026-03-01T12:00:00</v></c>', "2026-03-01 12:00:00"),
    "no reference": ("<c><v>7</v></c>", "7"),
    "line ends": ('<c r="A2" t="inlineStr"><is><t>x&#10;y_x000D_z</t></is></c>', "x\ny\rz"),
    "quotes": ('<c r="A2" t="inlineStr"><is><t>&quot;x&quot;,</t></is></c>', '"x",'),
}


@pytest.mark.parametrize(("cell", "text"), CELLS.values(), ids=CELLS.keys())
def test_cells_of_each_kind_are_read(cell: str, text: str, tmp_path: Path) -> None:
    assert records(received(written(f'{HEADER}<row r="2">{cell}</row>'), tmp_path)) == [[text]]


def test_names_of_elements_may_have_a_prefix(tmp_path: Path) -> None:
    body = written(HEADER + '<row r="2"><c r="A2"><v>5</v></c></row>', prefix="x")
    assert records(received(body, tmp_path)) == [["5"]]


def test_shared_strings_of_blanks_are_blank(tmp_path: Path) -> None:
    strings = '<si><t/></si><si><t xml:space="preserve">  </t></si><si><r><t>x</t></r><r><t>y</t></r></si>'
    cells = (f'<row r="{n + 1}"><c r="A{n + 1}" t="s"><v>{n}</v></c></row>' for n in range(1, 4))
    assert records(received(written(HEADER + "".join(cells), strings=strings), tmp_path)) == [["xy"]]


def test_formulas_without_stored_values_are_named(tmp_path: Path) -> None:
    body = saved(sheet_of([("a", "b"), (1, "=A2*2"), (2, "=A3*2")])[0])
    with pytest.raises(DataError, match=r"'Sheet' has 2 formulas without a stored value, the first in B2. Open the"):
        received(body, tmp_path)
    assert records(received(body, tmp_path, cells="A1:A9")) == [["1"], ["2"]]


TOTALLED: list[Sequence[Any]] = [(None, "a", "on"), (None, "x", 1), (None, "y, z", 2), (None, "Total", "=SUM(C2:C3)")]


def test_a_formula_in_an_ignored_row_needs_no_stored_value(tmp_path: Path) -> None:
    body = saved(sheet_of(TOTALLED)[0])
    for cells in (None, "B1:C", "B1:C9"):
        file = received(body, tmp_path, cells=cells, ignored_lines=("^Total,$", "^#"))
        assert records(file) == [["x", "1"], ["y, z", "2"]]
        assert file.ignored_lines == {"^Total,$": 1, "^#": 0}
    with pytest.raises(DataError, match=r"1 formula without a stored value, the first in C4"):
        received(body, tmp_path, ignored_lines=("^x",))


def test_the_range_above_a_total_without_a_stored_value_is_named(tmp_path: Path) -> None:
    body = saved(sheet_of(TOTALLED)[0])
    remedy = "If row 4 is a total, leave it out: declare it as `ignoredLines`, or declare `cells: B1:C3`."
    for cells in (None, "B1:C", "B1:F20"):
        with pytest.raises(DataError, match=re.escape(remedy)):
            received(body, tmp_path, cells=cells)
    assert records(received(body, tmp_path, cells="B1:C3")) == [["x", "1"], ["y, z", "2"]]
    column = saved(sheet_of([("a", "b"), *((n, f"=A{n}") for n in range(2, 9))])[0])
    with pytest.raises(DataError, match=r"7 formulas .* the first in B2\. Open the workbook .* send it again\.$"):
        received(column, tmp_path)


# --- rows and columns -----------------------------------------------------------------------------------------


def test_blank_rows_are_no_records(tmp_path: Path) -> None:
    rows = [(None, None), ("a", "b"), ("", "  "), (1, None), (None, None), (None, 2), ("\u00a0", None)]
    assert read(rows, tmp_path) == [["1", ""], ["", "2"]]


def test_a_table_in_the_middle_of_a_sheet_is_read(tmp_path: Path) -> None:
    rows: list[Sequence[Any]] = [
        ("Report",),
        (),
        (None, "a", "on", None, "note"),
        (None, 1, date(2026, 3, 1), None, "n"),
    ]
    rows += [(None, 2, None), (), (None, "Total", 3)]
    file = received(saved(sheet_of(rows)[0]), tmp_path, cells="B3:C5")
    assert (file.header, records(file)) == (["a", "on"], [["1", "2026-03-01"], ["2", ""]])
    file = received(saved(sheet_of(rows)[0]), tmp_path, cells="B1:C", skip_lines=2)
    assert records(file) == [["1", "2026-03-01"], ["2", ""], ["Total", "3"]]
    file = received(saved(sheet_of(rows)[0]), tmp_path, skip_lines=1)
    assert (file.header, file.ignored) == (["a", "on", "", "note"], ["(field 3 without a name)", "note"])


@given(
    st.integers(1, 9),
    st.lists(st.tuples(*[st.sampled_from([None, " ", "v", "Total", 5, date(2026, 3, 1)])] * 5), max_size=12),
)
@settings(max_examples=80)
def test_every_row_is_a_record_or_counted(last_row: int, rows: list[tuple[Any, ...]]) -> None:
    """A closed range in the columns B to D, with values around it."""
    book, sheet = sheet_of([(None, "a", "on", "at"), *rows])
    independent = [
        (number, [str(cell or "").strip() for cell in row])
        for number, row in enumerate(sheet.iter_rows(min_col=2, max_col=4, values_only=True), start=1)
    ]
    filled = {number: row for number, row in independent if number > 1 and any(row)}
    totals = {number for number, row in filled.items() if row[0] == "Total"}
    with tempfile.TemporaryDirectory() as name:
        file = received(saved(book), Path(name), cells=f"B1:D{last_row}", ignored_lines=("^Total,",))
    kept = filled.keys() - totals
    below = sorted(number for number in kept if number > last_row)
    assert file.rows_in == len(kept) - len(below)
    assert file.ignored_lines == {"^Total,": len(totals)}
    assert [(one.rows, one.first_row) for one in file.rows_below] == ([(len(below), below[0])] if below else [])


def test_rows_below_a_closed_range_are_told(tmp_path: Path) -> None:
    rows = [("a", "on", None, "note"), (1, None), (2, None), (None, None, None, "beside"), (3, None), ("Total", "=A5")]
    body = saved(sheet_of(rows)[0])
    (below,) = received(body, tmp_path, cells="A1:B3").rows_below
    assert str(below) == (
        "2 rows have values below the declared `cells: A1:B3` and were not loaded (first: row 5). If they are records, "
        "declare `cells: A1:B`. If they are totals or remarks, declare them as `ignoredLines`."
    )
    (below,) = received(body, tmp_path, cells="A1:B3", ignored_lines=("^Total",)).rows_below
    assert (below.rows, below.first_row) == (1, 5)
    assert received(body, tmp_path, cells="A1:B5", ignored_lines=("^Total",)).rows_below == ()
    assert received(body, tmp_path, cells="A1:B", ignored_lines=("^Total",)).rows_below == ()


def test_ignored_rows_are_matched_as_csv(tmp_path: Path) -> None:
    rows = [("# note",), ("a", "on", "at"), (1.50, date(2026, 3, 1), datetime(2026, 3, 1)), ("x, y", None, True)]  # noqa: DTZ001
    patterns = ("^#", "^1.5,2026-03-01,2026-03-01$", '^"x, y",,true$')
    file = received(saved(sheet_of(rows)[0]), tmp_path, ignored_lines=patterns)
    assert (file.rows_in, file.header) == (0, ["a", "on", "at"])
    assert file.ignored_lines == dict.fromkeys(patterns, 1)


def test_patterns_that_ignore_many_rows_are_suspect(tmp_path: Path) -> None:
    rows = [("a", "on"), *((f"x{n % 2}", n) for n in range(30))]
    assert received(saved(sheet_of(rows)[0]), tmp_path, ignored_lines=("^x1",)).suspect_patterns == ("^x1",)


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 4))
@settings(max_examples=60)
def test_every_position_of_a_table_is_found(above: int, left: int, skipped: int, below: int, rows: int) -> None:
    """A table anywhere in a sheet, below rows that are skipped."""
    title = [("title",)] * skipped
    table = [("a", "b"), *((f"x{n}", n) for n in range(rows))]
    lines = [*title, *[()] * above, *(((None,) * left) + row for row in table), *[()] * below]
    with tempfile.TemporaryDirectory() as name:
        found = records(received(saved(sheet_of(lines)[0]), Path(name), skip_lines=skipped))
    assert found == [[f"x{n}", str(n)] for n in range(rows)]


def test_a_header_below_a_title_is_named(tmp_path: Path) -> None:
    rows = [("Report",), (), ("of March",), ("a", "on"), (1, date(2026, 3, 1))]
    body = saved(sheet_of(rows)[0])
    with pytest.raises(
        DataError, match=r"'Sheet': the header appears to be row 4. Declare `skipLines: 3` in the server"
    ):
        received(body, tmp_path)
    with pytest.raises(DataError, match=r"the header appears to be row 4. Declare `skipLines: 1`"):
        received(body, tmp_path, cells="A3:B")
    assert records(received(body, tmp_path, skip_lines=3)) == [["1", "2026-03-01"]]


def test_names_in_several_header_rows_are_joined(tmp_path: Path) -> None:
    workbook, sheet = sheet_of([("Order", None, "a"), ("id", "date", None), (1, 2, 3)])
    sheet.merge_cells("A1:B1")
    file = received(saved(workbook), tmp_path, header_lines=2)
    assert (file.header, records(file)) == (["Order id", "date", "a"], [["1", "2", "3"]])
    with pytest.raises(DataError, match="ends within its 4 header lines"):
        received(saved(workbook), tmp_path, header_lines=4)


def test_without_a_header_the_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    file = received(saved(sheet_of([("x", date(2026, 3, 1), datetime(2026, 3, 1))])[0]), tmp_path, header_lines=0)  # noqa: DTZ001
    assert (file.columns, records(file)) == (["a", "on", "at"], [["x", "2026-03-01", "2026-03-01 00:00:00"]])


def test_carriage_returns_are_part_of_values(tmp_path: Path) -> None:
    rows = [["Unit_x000D_price", "b"], ["1_x000D_2", "x\ny"], ["3", "_x000D_"]]
    assert read(rows, tmp_path) == [["1\r2", "x\ny"], ["3", "\r"]]


def test_merged_and_hidden_cells_are_read_as_they_are_stored(tmp_path: Path) -> None:
    workbook, sheet = sheet_of([("a", "b"), ("x", 1), (None, 2), ("y", 3)])
    sheet.merge_cells("A2:A3")
    sheet.row_dimensions[4].hidden = True
    sheet.column_dimensions["B"].hidden = True
    assert records(received(saved(workbook), tmp_path)) == [["x", "1"], ["", "2"], ["y", "3"]]


def test_a_header_alone_is_a_file_without_rows(tmp_path: Path) -> None:
    assert read([("a", "on")], tmp_path) == []


@pytest.mark.parametrize(
    ("cells", "area"),
    [(None, Area()), ("B3:F", (3, 2, 2**20, 6)), ("A1:D200", (1, 1, 200, 4)), ("Z9:AAB10", (9, 26, 10, 704))],
)
def test_ranges_of_cells_are_understood(cells: str | None, area: tuple[int, ...]) -> None:
    found = Area.named(cells)
    assert found == area
    assert cells is None or cell_name(found.first_row, found.first_column) == cells.split(":")[0]


# --- sheets ---------------------------------------------------------------------------------------------------


def workbook_of(sheets: Mapping[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = ()) -> bytes:
    workbook = openpyxl.Workbook()
    del workbook["Sheet"]
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
        if name in hidden:
            sheet.sheet_state = "hidden"
    return saved(workbook)


ROWS = [("a",), (1,)]


def test_the_only_visible_sheet_with_values_is_read(tmp_path: Path) -> None:
    body = workbook_of({"Notes": [], "Lists": [("x",)], "Sales & more": ROWS, "Blank": [(" ",)]}, hidden=["Lists"])
    assert records(received(body, tmp_path)) == [["1"]]


SHEETS = {
    "several": (
        workbook_of({"A": ROWS, "B": ROWS, "C": []}),
        {},
        "2 sheets of the workbook have values: 'A', 'B'. Declare the one with the data as `sheet` in the contract",
    ),
    "none": (workbook_of({"A": []}), {}, "no visible sheet of the workbook has values. Its sheets are: 'A'"),
    "no such sheet": (workbook_of({"A": ROWS}), {"sheet": "a"}, "has no sheet 'a' (`sheet`). Its sheets are: 'A'"),
    "an empty sheet": (workbook_of({"A": ROWS, "B": []}), {"sheet": "B"}, "the sheet 'B' has no values"),
    "nothing in the range": (
        workbook_of({"A": ROWS}),
        {"cells": "C1:D"},
        "the sheet 'A' has no values in the declared",
    ),
}


@pytest.mark.parametrize(("body", "form", "message"), SHEETS.values(), ids=SHEETS.keys())
def test_a_sheet_in_doubt_is_rejected(body: bytes, form: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        received(body, tmp_path, **form)
    assert f"/a.xlsx: {message}" in str(caught.value) or message in str(caught.value)


def test_a_declared_sheet_may_be_hidden(tmp_path: Path) -> None:
    body = workbook_of({"A": [("b",), (2,)], "B": ROWS}, hidden=["B"])
    assert records(received(body, tmp_path, sheet="B")) == [["1"]]


# --- files that cannot be read --------------------------------------------------------------------------------

GOOD = saved(sheet_of([("a", "b"), *((f"value {n}", n / 8) for n in range(50))])[0])


def test_a_value_far_away_does_not_fill_the_memory(tmp_path: Path) -> None:
    workbook, sheet = sheet_of(ROWS)
    sheet["XFD1048576"] = "."
    with pytest.raises(DataError, match=r"'Sheet' has 17,179,869,184 cells, more than the 5,000,000 that are read"):
        received(saved(workbook), tmp_path)


def test_several_workbooks_in_an_archive_are_one_file(tmp_path: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name in ("2.xlsx", "10.xlsx"):
            opened.writestr(name, GOOD)
    file = received(target.getvalue(), tmp_path, "a.zip", members="*")
    assert file.rows_in == 100
    assert file.archive_members == (("2.xlsx", 1, 50), ("10.xlsx", 51, 50))


def test_a_password_is_named(tmp_path: Path) -> None:
    body = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le") + bytes(99)
    with pytest.raises(DataError, match=r"a.xlsx: the workbook is encrypted. Save it without a password"):
        received(body, tmp_path)


@pytest.mark.parametrize("body", [b"a,b\n1,2\n", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)])
def test_another_format_is_named(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the contract declares `format: xlsx`, but the file is (in another|an Excel)"):
        received(body, tmp_path)


@pytest.mark.parametrize("end", [0, 3, 100, -1000, -1])
def test_a_truncated_workbook_is_rejected(end: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.xlsx: the (ZIP archive is truncated|file is empty|contract declares)"):
        received(GOOD[:end], tmp_path)


@given(st.integers(4, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_no_changed_byte_is_read_as_another_value(place: int, change: int) -> None:
    body = bytearray(GOOD)
    body[place] ^= change
    with tempfile.TemporaryDirectory() as name:
        try:
            file = received(bytes(body), Path(name))
        except DataError:
            return
        assert records(file) == [[f"value {n}", f"{n / 8:g}"] for n in range(50)]


def test_a_workbook_of_an_unknown_version_of_zip_is_rejected(tmp_path: Path) -> None:
    body = bytearray(GOOD)
    body[body.rfind(b"PK\1\2") + 6] = 84  # the version that is needed
    with pytest.raises(DataError):
        received(bytes(body), tmp_path)


DAMAGED = {
    "a shared string too many": ('<row r="2"><c r="A2" t="s"><v>99</v></c></row>', "the workbook is corrupt"),
    "an unclosed element": ('<row r="2"><c r="A2"><v>1</v>', "the workbook is corrupt"),
    "rows out of order": (
        '<row r="2"><c r="A2"><v>1</v></c></row><row r="1"><c r="A1"><v>1</v></c></row>',
        "were read",
    ),
    "a cell that occurs twice": (
        '<row r="2"><c r="A2"><v>1</v></c><c r="A2"><v>2</v></c></row>',
        r"the workbook is corrupt \(xl/worksheets/s.xml: the cell A2 occurs twice",
    ),
    "a row that occurs twice": (
        '<row r="2"><c r="A2"><v>1</v></c></row><row r="2"><c r="A2"><v>2</v></c></row>',
        "the cell A2 occurs twice",
    ),
    "a row without a number": ('<row r="x"><c><v>1</v></c></row>', "the workbook is corrupt"),
}


@pytest.mark.parametrize(("rows", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_sheet_is_rejected(rows: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        received(written(HEADER + rows), tmp_path)


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it has a document type"):
        received(written(HEADER, before='<!DOCTYPE x [<!ENTITY a "b">]>'), tmp_path)


def test_a_difference_of_the_counts_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = workbooks._rows
    monkeypatch.setattr(workbooks, "_rows", lambda *given: iter(list(rows(*given))[:-1]))
    with pytest.raises(DataError, match="the scan of the sheet 'Sheet' has 50 records, but 49 records were read"):
        received(GOOD, tmp_path)


def test_a_workbook_in_a_dataset_of_csv_is_named_with_its_sheets(tmp_path: Path) -> None:
    contract = replace(contract_of(), file_format=FileFormat())
    bucket = MemoryBucket()
    body = workbook_of({"Sales": ROWS, "Notes": ROWS, "Empty": []})
    with pytest.raises(DataError, match=r"a.xlsx: it is an Excel workbook .*`format: xlsx`.* 'Sales', 'Notes'"):
        receive(bucket, bucket.land("customers", MONTH, body, "a.xlsx"), contract, tmp_path)
