"""Files of any declared dialect and encoding are read like Python's csv module reads them, with equal counts."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from support.landing import MONTH, MemoryBucket
from waybill.contracts import Column, Contract
from waybill.contracts.file_format import FileFormat, encoding_named
from waybill.intake.csv_syntax import syntax_of
from waybill.intake.receive import receive
from waybill.intake.received_file import ReceivedFile
from waybill.intake.records import RecordCounter, split_records
from waybill.intake.row_source import as_received, reparse
from waybill.intake.transcoding import transcode
from waybill.intake.validate import Reject, csv_source, open_duckdb

NAMES = ("first", "second", "third")
THREE = Contract(
    "messaging",
    "customers",
    "1",
    "",
    "",
    tuple(Column(name, "", "string", "text") for name in NAMES),
    "snapshot",
    100,
    0,
    (),
    "",
)
ENCODINGS = ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso-8859-15", "iso-8859-5", "cp437"]
ENCODINGS += ["koi8-r", "gb18030", "shift_jis", "ascii", "cp1252"]
Row = list[str]


@dataclass(frozen=True)
class Written:
    """A file, how it is declared, and its rows."""

    form: FileFormat
    text: str
    rows: list[Row]
    content: bytes


def declared(**properties: object) -> FileFormat:
    encoding = encoding_named(str(properties.pop("encoding", "utf-8")))
    return replace(FileFormat(name="csv"), encoding=encoding, **properties)  # type: ignore[arg-type]


@st.composite
def written_files(draw: st.DrawFn) -> Written:
    """Return a file that Python's csv writer wrote in any dialect."""
    encoding = draw(st.sampled_from(ENCODINGS))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", " ", "^", "\x01", "§", "||", ", ", "~|~", ";;", "\t|"]))
    quote = draw(st.sampled_from(['"', "'", "`", "", "\u00b4"]))
    escape = draw(st.sampled_from([None, "\\", "!", "€"]))
    own_line_end = draw(st.sampled_from([None, None, "\n", "\r\n", "\r", "\x1e", "|\n", "#\r\n", "\x02"]))
    line_end = own_line_end or draw(st.sampled_from(["\n", "\r\n"]))
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])) if quote else csv.QUOTE_NONE
    assume(not (set(line_end) & {*delimiter, quote}) and quote != escape and escape not in {*delimiter})
    is_one = len(delimiter) == len(line_end) == 1 or (len(delimiter) == 1 and line_end == "\r\n")
    can_escape = is_one and escape is not None
    if not is_one and quote:
        quoting = csv.QUOTE_ALL
    characters = set("ab1 ,;|\"'\\\n\ré€я😀\u00b4!") | {*delimiter, *line_end, quote, escape or "a"}
    if quoting != csv.QUOTE_ALL:  # Python's writer does not protect these in every version
        characters -= {"\r", *(set() if can_escape or quoting == csv.QUOTE_MINIMAL else {"\n", *delimiter, *line_end})}
        if own_line_end:
            characters -= {"\n", *line_end}
    if not escape and not quote:
        characters -= {*delimiter, *line_end}
    usable = sorted(character for character in characters if character and encodes(character, encoding))
    assume(all(encodes(text, encoding) for text in (delimiter, quote, line_end, escape or "")))
    fields = st.text(st.sampled_from(usable), max_size=5)
    rows = draw(st.lists(st.lists(fields, min_size=3, max_size=3), max_size=6))
    between, end = ("\ue000", "\n") if not is_one else (delimiter, line_end)
    lines, kept = [], []
    for row in [[*NAMES], *rows]:
        stream = io.StringIO(newline="")
        csv.writer(
            stream,
            delimiter=between,
            quotechar=quote or None,
            escapechar=escape,
            doublequote=escape is None or draw(st.booleans()),
            quoting=quoting,  # type: ignore[arg-type]
            lineterminator=end,
        ).writerow(row)
        line = stream.getvalue().removesuffix(end).replace(between, delimiter)
        lines.append(line)
        if set(line) - {*delimiter, " ", "\t"}:
            kept.append(row)
    text = line_end.join(lines) + draw(st.sampled_from([line_end, ""]))
    form = declared(encoding=encoding, delimiter=delimiter, quote=quote, escape=escape, line_end=own_line_end)
    content = text.encode(encoding)
    if encoding == "utf-16-be" and draw(st.booleans()):
        form = replace(form, encoding="utf-16")  # without a byte order mark
    return Written(form, text, kept[1:], content)


def encodes(text: str, encoding: str) -> bool:
    try:
        return text.encode(encoding).decode(encoding) == text
    except UnicodeError:
        return False


def received(content: bytes, form: FileFormat, folder: Path, contract: Contract = THREE) -> ReceivedFile:
    bucket = MemoryBucket()
    landed = bucket.land("customers", MONTH, content, "customers.csv")
    return receive(bucket, landed, replace(contract, file_format=form), folder)


def fast_rows(file: ReceivedFile, folder: Path) -> list[Row] | None:
    """Return the rows that DuckDB reads from a regular file; None if it fails, so that the file is reparsed."""
    source = as_received(file)
    names = dict.fromkeys((f"c{place}" for place in range(len(source.columns))), "varchar")
    with closing(open_duckdb(folder)) as duck:
        try:
            found = duck.execute(f"from {csv_source(source.body, names, dialect=source.dialect)}").fetchall()
        except duckdb.InvalidInputException:
            return None
    return [[field or "" for field in row] for row in found]


def slow_rows(file: ReceivedFile, folder: Path) -> tuple[list[Row], list[Reject]]:
    """Return the rows that are parsed record by record, and the malformed records."""
    source, malformed = reparse(file, replace(THREE, file_format=file.file_format), folder / "reparsed.csv")
    with source.body.open(encoding="utf-8", newline="") as stream:
        return [row[1:] for row in csv.reader(stream)], malformed


@given(written_files())
@settings(max_examples=600, deadline=None)
def test_a_declared_file_is_read_as_it_was_written(file: Written) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = received(file.content, file.form, folder)
        assert found.content.size_bytes == len(file.content)
        rows, malformed = slow_rows(found, folder)
        assert (malformed, rows, found.rows_in) == ([], file.rows, len(file.rows))
        if found.is_regular:
            fast = fast_rows(found, folder)
            has_line_ends = any(set(field) & {"\r", "\n"} for row in file.rows for field in row)
            may_fail = file.form.escape is not None or has_line_ends
            assert fast == file.rows or (may_fail and len(fast or []) != len(file.rows)), "a load then reads it anew"


def in_chunks(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


@given(written_files(), st.integers(1, 30))
@settings(max_examples=300, deadline=None)
def test_chunks_may_end_anywhere(file: Written, size: int) -> None:
    assume("\r" not in file.text or file.form.line_end or "\n" in file.text)
    syntax, encoding = syntax_of(file.form.dialect), file.form.encoding
    counter = RecordCounter(3, syntax)
    for chunk in transcode("file", in_chunks(file.content, size), encoding):
        counter.feed(chunk)
    counter.finish()
    text = [*transcode("file", in_chunks(file.content, size), encoding)]
    records = [*split_records(text, 3, syntax)]
    assert b"".join(text).decode().removeprefix("\ufeff") == file.text
    assert counter.rows == len(records) == len(file.rows) + 1
    assert all(well_formed for _, well_formed in records)
    assert [syntax.fields(record.decode().removeprefix("\ufeff")) for record, _ in records] == [[*NAMES], *file.rows]
