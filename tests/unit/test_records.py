from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from waybill.files.csv_syntax import MAX_RECORD_BYTES
from waybill.files.records import RecordCounter, split_first, split_records

FIELDS = st.text(st.sampled_from('ab1 ,"\n\r\té😀'), max_size=6)
ROWS = st.lists(st.lists(FIELDS, min_size=2, max_size=4), max_size=8)
LINES = st.text(st.sampled_from('ab,"\r '), max_size=12)
CHUNK = st.integers(1, 40)


def chunks(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


def count(text: bytes, size: int, fields: int = 2) -> int:
    counter = RecordCounter(fields)
    for chunk in chunks(text, size):
        counter.feed(chunk)
    counter.finish()
    return counter.rows


def well_formed_csv(rows: list[list[str]], line_end: str, quoting: int, final_line_end: bool) -> bytes:
    stream = io.StringIO(newline="")
    # Python before 3.13 leaves a lone carriage return without quotes; csv.QUOTE_ALL does not.
    csv.writer(stream, lineterminator=line_end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    text = stream.getvalue()
    return (text if final_line_end else text.removesuffix(line_end)).encode()


@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.booleans(), CHUNK)
def test_well_formed_csv_splits_as_the_csv_module_reads_it(
    rows: list[list[str]], line_end: str, quoting: int, final_line_end: bool, size: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        rows = [[field.replace("\r", "") for field in row] for row in rows]
        assume(all(not field.startswith((" ", "\t")) or '"' not in field for row in rows for field in row))
    text = well_formed_csv(rows, line_end, quoting, final_line_end)
    if quoting == csv.QUOTE_MINIMAL:  # nothing but commas and blanks is no record
        rows = [row for row in rows if any(field.strip(" \t") for field in row)]
    records = list(split_records(chunks(text, size)))
    assert all(well_formed for _, well_formed in records)
    read = [next(csv.reader(io.StringIO(record.decode(), newline=""))) for record, _ in records]
    assert read == rows
    assert count(text, size) == len(rows)


@given(
    st.lists(st.lists(FIELDS, min_size=3, max_size=3), min_size=1, max_size=8),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.integers(0, 400),
    CHUNK,
)
@example([["", "x\n1,2,3\ny", "c"]], csv.QUOTE_MINIMAL, 1, 7)
@example([["a", "\nfoo,b,c\n", "c"]], csv.QUOTE_MINIMAL, 0, 7)
@settings(max_examples=500)
def test_a_stray_quote_adds_no_other_rows(rows: list[list[str]], quoting: int, place: int, size: int) -> None:
    rows = [[field.replace("\r", "").strip() for field in row] for row in rows]
    text = well_formed_csv(rows, "\n", quoting, True)
    place %= len(text)
    while text[place] & 0xC0 == 0x80:  # not within a character
        place += 1
    mutated = text[:place] + b'"' + text[place:]
    records = list(split_records(chunks(mutated, size), 3))
    assert not all(well_formed for _, well_formed in records), "an odd number of quotes is reported"
    assert len(records) == count(mutated, size, 3)
    read = [
        next(csv.reader(io.StringIO(record.decode(), newline=""))) for record, well_formed in records if well_formed
    ]
    accepted = Counter(tuple(row) for row in read if len(row) == 3)
    if not any("\n" in field for row in rows for field in row):
        assert accepted <= Counter(map(tuple, rows)), "no row is changed"


@given(
    st.lists(st.sampled_from(["1,2", ",", ",,,", "", " ", "\t , ", '"",""', ",x", " x"])),
    st.sampled_from(["\n", "\r\n"]),
    CHUNK,
)
def test_lines_of_commas_and_blanks_are_no_records(lines: list[str], line_end: str, size: int) -> None:
    text = line_end.join(lines).encode()
    expected = [line for line in lines if line.strip(", \t\r")]
    assert [record.decode() for record, _ in split_records(chunks(text, size))] == expected
    assert count(text, size) == len(expected)


@pytest.mark.parametrize("text", ['1,2"', '1,a"b', '1,a"b"', '1,a"b""c"', '1,"a"b', '1, "a"', '1"2",3', '$7"A, 4"""'])
def test_a_quote_within_an_unquoted_field_is_malformed(text: str) -> None:
    records = [(b"a,b", True), (text.encode(), False), (b"3,4", True)]
    assert list(split_records([f"a,b\n{text}\n3,4\n".encode()])) == records


def test_a_possible_rest_of_a_quoted_field_is_no_record() -> None:
    text = b'a","x\n1,2,3\n4,5,6\ny",c\n7,8,9\n'
    found = [(record, well_formed) for record, well_formed in split_records([text], 3)]
    assert [well_formed for _, well_formed in found] == [False] * 4 + [True]


@given(st.lists(LINES), st.sampled_from(["\n", "\r\n"]), CHUNK)
def test_any_text_gives_the_same_records_for_any_chunk_size(lines: list[str], line_end: str, size: int) -> None:
    text = line_end.join(lines).encode()
    records = list(split_records([text]))
    assert list(split_records(chunks(text, size))) == records
    assert count(text, size) == count(text, len(text) + 1) == len(records)


@given(st.lists(LINES), CHUNK)
def test_no_byte_is_lost(lines: list[str], size: int) -> None:
    def content(text: bytes) -> bytes:
        not_blank = (line for line in text.split(b"\n") if not re.fullmatch(rb"[, ]*\r?", line))
        return b"".join(not_blank).translate(None, b",\r")

    text = "\n".join(lines).encode()
    assert content(b"\n".join(record for record, _ in split_records(chunks(text, size)))) == content(text)


@given(
    st.lists(st.sampled_from(["1,2", 'a,"b"', '"a ""b""",c'])), st.sampled_from(['x,"y', '"x"y,z', 'x,"', '"']), CHUNK
)
def test_a_malformed_line_does_not_swallow_the_lines_after_it(after: list[str], bad: str, size: int) -> None:
    # A quote that is closed further down is a quoted line end: here no later line lets it close.
    assume(not any('"' in line for line in after) or bad == '"x"y,z')
    text = "\n".join(["first,line", bad, *after]).encode()
    records = list(split_records(chunks(text, size)))
    assert records == [(b"first,line", True), (bad.encode(), False), *((line.encode(), True) for line in after)]


@given(LINES, st.lists(LINES, max_size=3))
@example('"', [])
@settings(max_examples=200)
def test_the_first_record_is_the_one_that_splitting_finds(first: str, others: list[str]) -> None:
    text = "\n".join([first, *others]).encode()
    records = list(split_records([text]))
    found = split_first(text)
    assert (found is None) == (not records)
    if found is not None:
        record, well_formed, rest = found
        assert (record, well_formed) == records[0]
        if well_formed:
            assert list(split_records([rest])) == records[1:]


def test_a_quote_that_never_closes_costs_one_line_in_a_large_file() -> None:
    text = b'1,"open\n' + b"2,plain\n" * (MAX_RECORD_BYTES // 4)
    assert count(text, 2**20) == MAX_RECORD_BYTES // 4 + 1


def test_a_long_quoted_field_is_one_record() -> None:
    field = b'"' + b"line\n" * (2**20 // 5) + b'"'
    text = b"1," + field + b"\n2,x\n"
    assert [len(record) for record, _ in split_records(chunks(text, 4096))] == [len(field) + 2, 3]
    assert count(text, 4096) == 2
