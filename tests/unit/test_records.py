from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from waybill.intake.records import MAX_RECORD_BYTES, RecordCounter, split_first, split_records

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
    records = list(split_records(chunks(text, size)))
    assert all(well_formed for _, well_formed in records)
    read = [next(csv.reader(io.StringIO(record.decode(), newline=""))) for record, _ in records]
    assert read == [row for row in csv.reader(io.StringIO(text.decode(), newline="")) if row] == rows
    assert count(text, size) == len(rows)


@given(st.lists(LINES), st.sampled_from(["\n", "\r\n"]), CHUNK)
def test_any_text_gives_the_same_records_for_any_chunk_size(lines: list[str], line_end: str, size: int) -> None:
    text = line_end.join(lines).encode()
    records = list(split_records([text]))
    assert list(split_records(chunks(text, size))) == records
    assert count(text, size) == count(text, len(text) + 1) == len(records)


@given(st.lists(LINES), CHUNK)
def test_no_byte_is_lost(lines: list[str], size: int) -> None:
    text = "\n".join(lines).encode()
    kept = b"".join(record for record, _ in split_records(chunks(text, size)))
    assert kept.translate(None, b"\r\n") == text.translate(None, b"\r\n")


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
        assert [(record, well_formed), *split_records([rest])] == records


def test_a_quote_that_never_closes_costs_one_line_in_a_large_file() -> None:
    text = b'1,"open\n' + b"2,plain\n" * (MAX_RECORD_BYTES // 4)
    assert count(text, 2**20) == MAX_RECORD_BYTES // 4 + 1


def test_a_long_quoted_field_is_one_record() -> None:
    field = b'"' + b"line\n" * (2**20 // 5) + b'"'
    text = b"1," + field + b"\n2,x\n"
    assert [len(record) for record, _ in split_records(chunks(text, 4096))] == [len(field) + 2, 3]
    assert count(text, 4096) == 2
