"""A malformed record is repaired if one reading alone meets the contract, and if the contract declares it."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.landing import MONTH, MemoryBucket
from waybill.contracts import Column, Contract
from waybill.contracts.file_format import FileFormat, Repair
from waybill.errors import DataError
from waybill.files.receive import receive
from waybill.intake.row_source import RowSource, reparse

COLUMNS = (
    Column("id", "", "integer", "integer", required=True, key_position=1),
    Column("day", "", "date", "date", required=True),
    Column("name", "", "string", "text"),
    Column("note", "", "string", "text"),
)
BOTH: tuple[Repair, ...] = ("emptyFields", "strayQuotes")
CONTRACT = Contract("messaging", "customers", "1", "", "", COLUMNS, "snapshot", 100, 0, (), "")
HEADER = "id,day,name,note\n"
GOOD = '1,2026-11-01,Ann,"a, b"\n'


def read(text: str, repairs: tuple[Repair, ...], folder: Path) -> tuple[list[list[str]], RowSource]:
    """Return the records that are not malformed, and their source."""
    contract = replace(CONTRACT, file_format=FileFormat("csv", repairs=repairs))
    bucket = MemoryBucket()
    landed = bucket.land("customers", MONTH, text.encode(), "customers.csv")
    received = receive(bucket, landed, contract, folder)
    source, malformed = reparse(received, contract, folder / "reparsed.csv")
    with source.body.open(encoding="utf-8", newline="") as stream:
        rows = [row[1:] for row in csv.reader(stream)]
    assert len(rows) + len(malformed) == received.rows_in
    return rows, source


REPAIRED = {
    "an empty field at the beginning": (",2,2026-11-02,Bob,x\n", ["2", "2026-11-02", "Bob", "x"]),
    "an empty field before a date": ("2,,2026-11-02,Bob,x\n", ["2", "2026-11-02", "Bob", "x"]),
    "another empty field": ("2,,2026-11-02,Bob,\n", ["2", "2026-11-02", "Bob", ""]),
    "a quote at the beginning of a text": ('2,2026-11-02,"Bob,x\n', ["2", "2026-11-02", '"Bob', "x"]),
    "a quote within a text": ('2,2026-11-02,bike 24",x\n', ["2", "2026-11-02", 'bike 24"', "x"]),
    "a quote beside a quoted field": ('2,2026-11-02,b",",x"\n', ["2", "2026-11-02", 'b"', ",x"]),
}
LEFT = {
    "texts may be shifted": "2,2026-11-02,,Bob,\n",
    "a text may end in a comma": "2,2026-11-02,Bob,x,\n",
    "a text may contain a comma": "2,2026-11-02,leather,sofa,\n",
    "an empty text may be a comma": "2,2026-11-02,Bob,,\n",
    "two fields too many": "2,2026-11-02,Bob,x,,\n",
    "no field is empty": "2,2026-11-02,Bob,x,y\n",
    "a value of another type": "x,2026-11-02,Bob,y,\n",
    "a quote in a number": '"2,2026-11-02,Bob,x\n',
    "two quotes in a field": '2,2026-11-02,a"b"c,x\n',
    "a quote before a quoted field": '2,2026-11-02,""Bob",x\n',
    "a lost delimiter": '2,2026-11-02,Bob"x"\n',
    "the beginning of a text with a line end": '2,2026-11-02,Bob,"x\ny\n',
    "the beginning of a record": '2,2026-11-02,"Bob,x',
}


@pytest.mark.parametrize("case", REPAIRED)
def test_the_only_reading_is_taken(case: str, tmp_path: Path) -> None:
    line, row = REPAIRED[case]
    rows, source = read(HEADER + GOOD + line + GOOD, BOTH, tmp_path)
    assert (rows[1], list(source.repaired), source.malformed) == (row, [2], 0)


@pytest.mark.parametrize("case", REPAIRED)
@pytest.mark.parametrize("repairs", [(), ("emptyFields",), ("strayQuotes",)])
def test_only_declared_repairs_are_made(case: str, repairs: tuple[Repair, ...], tmp_path: Path) -> None:
    is_declared = ("strayQuotes" if "quote" in case else "emptyFields") in repairs
    rows, source = read(HEADER + GOOD + REPAIRED[case][0] + GOOD, repairs, tmp_path)
    assert (len(rows), source.malformed) == ((3, 0) if is_declared else (2, 1))


@pytest.mark.parametrize("case", LEFT)
def test_a_record_in_doubt_stays_malformed(case: str, tmp_path: Path) -> None:
    rows, source = read(HEADER + GOOD + LEFT[case], BOTH, tmp_path)
    assert rows == [["1", "2026-11-01", "Ann", "a, b"]]
    assert (list(source.repaired), source.malformed) == ([], LEFT[case].rstrip("\n").count("\n") + 1)


TEXTS = st.sampled_from(["", "Ann", "a, b", "7", "2026-11-05"])
ROWS = st.tuples(st.integers(1, 99).map(str), st.just("2026-11-05"), TEXTS, TEXTS)


@settings(max_examples=60)
@given(
    rows=st.lists(ROWS, min_size=1, max_size=8),
    polluted=st.sets(st.integers(0, 7)),
    place=st.integers(0, 4),
    is_unquoted=st.booleans(),
)
def test_a_row_with_one_field_too_many_is_itself_or_stays_out(
    rows: list[tuple[str, ...]], polluted: set[int], place: int, is_unquoted: bool
) -> None:
    """Either an empty field was added, or texts with commas are not quoted."""
    text = HEADER
    for number, row in enumerate(rows):
        is_polluted = number in polluted
        fields = [*row[:place], "", *row[place:]] if is_polluted and not is_unquoted else row
        keeps_quotes = not (is_polluted and is_unquoted)
        text += ",".join(f'"{field}"' if "," in field and keeps_quotes else field for field in fields) + "\n"
    with tempfile.TemporaryDirectory() as name:
        found, source = read(text, BOTH, Path(name))
        with source.body.open(encoding="utf-8", newline="") as stream:
            numbers = [int(row[0]) for row in csv.reader(stream)]
    assert [tuple(row) for row in found] == [rows[number - 1] for number in numbers]
    assert set(source.repaired) <= {number + 1 for number in polluted}


@pytest.mark.parametrize("text", ["", "\n\r\n", "\ufeff"])
@pytest.mark.parametrize("header_lines", [0, 1])
def test_an_empty_file_is_accepted_only_if_that_is_declared(text: str, header_lines: int, tmp_path: Path) -> None:
    bucket = MemoryBucket()
    landed = bucket.land("customers", MONTH, text.encode(), "customers.csv")
    declared = replace(CONTRACT, file_format=FileFormat("csv", header_lines=header_lines))
    with pytest.raises(DataError, match="the file is empty"):
        receive(bucket, landed, declared, tmp_path)
    accepting = replace(declared, file_format=replace(declared.file_format, accepts_empty=True))
    assert receive(bucket, landed, accepting, tmp_path).rows_in == 0
