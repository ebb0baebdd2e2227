"""Files of any declared dialect and encoding are read like Python's csv module reads them, with equal counts."""

from __future__ import annotations

import codecs
import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from support.landing import MONTH, MemoryBucket
from waybill.contracts import Column, Contract
from waybill.contracts.file_format import FileFormat, encoding_named
from waybill.files.csv_syntax import syntax_of
from waybill.files.ignored_lines import IgnoredLines
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.files.records import RecordCounter, split_records
from waybill.files.transcoding import transcode
from waybill.intake.row_source import as_received, reparse
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
    """A file, how it is declared, its rows, and the number of its comments."""

    form: FileFormat
    text: str
    rows: list[Row]
    content: bytes
    comments: int
    header: list[Row]


def declared(**properties: object) -> FileFormat:
    encoding = encoding_named(str(properties.pop("encoding", "utf-8")))
    return replace(FileFormat(name="csv"), encoding=encoding, **properties)  # type: ignore[arg-type]


@st.composite
def written_files(draw: st.DrawFn, *, most_skipped: int = 0) -> Written:
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
    header = draw(st.sampled_from([[], [[*NAMES]], [["first", "", "third"], ["", "second", ""]]]))
    skipped = [f"Report {quote}of" for _ in range(draw(st.integers(0, most_skipped)))]
    comment = f"## it{quote}s{delimiter}odd"
    lines, kept, comments = [*skipped], [], 0
    for row in [*header, *rows, None]:
        for extra in draw(st.lists(st.sampled_from([comment, "", "  ", 2 * delimiter, f" {delimiter}\t"]), max_size=2)):
            lines.append(extra)
            comments += extra == comment
        if row is None:
            break
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
        assume(not line.startswith("##"))
        lines.append(line)
        if set(line) - {*delimiter, " ", "\t"}:
            kept.append(row)
    text = line_end.join(lines) + draw(st.sampled_from([line_end, ""]))
    form = declared(
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        skip_lines=len(skipped),
        header_lines=len(header),
        ignored_lines=("^##",),
        line_end=own_line_end,
    )
    assume(len(kept) > len(header) or header)  # an empty file without a header is rejected
    content = text.encode(encoding)
    if encoding == "utf-16-be" and draw(st.booleans()):
        form = replace(form, encoding="utf-16")  # without a byte order mark
    return Written(form, text, kept[len(header) :], content, comments, header)


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


@given(written_files(most_skipped=2))
@settings(max_examples=600, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_declared_file_is_read_as_it_was_written(file: Written) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = received(file.content, file.form, folder)
        assert found.content.size_bytes == len(file.content)
        assert found.ignored_lines == {"^##": file.comments}
        rows, malformed = slow_rows(found, folder)
        assert (malformed, rows, found.rows_in) == ([], file.rows, len(file.rows))
        if found.is_regular:
            fast = fast_rows(found, folder)
            is_read_anew = fast is None or len(fast) != found.rows_in
            has_line_ends = any(set(field) & {"\r", "\n"} for row in file.rows for field in row)
            may_fail = file.form.escape is not None or has_line_ends or "\r" in file.text
            assert fast == file.rows or (may_fail and is_read_anew)


def in_chunks(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


@given(written_files(), st.integers(1, 30))
@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
def test_chunks_may_end_anywhere(file: Written, size: int) -> None:
    syntax, encoding = syntax_of(file.form.dialect), file.form.encoding
    text = [*transcode("file", in_chunks(file.content, size), encoding)]
    body = b"".join(text).removeprefix(codecs.BOM_UTF8)
    assert body.decode() == file.text
    ignored = IgnoredLines(file.form.ignored_lines, syntax)
    counter = RecordCounter(3, syntax, ignored)
    kept = [*map(counter.feed, in_chunks(body, size)), counter.finish()]
    records = [*split_records(kept, 3, syntax)]
    assert ignored.counts == {"^##": file.comments}
    assert counter.rows == len(records) == len(file.rows) + len(file.header)
    assert all(well_formed for _, well_formed in records)
    assert [syntax.fields(record.decode()) for record, _ in records] == [*file.header, *file.rows]


@st.composite
def any_files(draw: st.DrawFn) -> tuple[FileFormat, str]:
    """Return text of the characters that matter in a dialect, mostly malformed."""
    delimiter = draw(st.sampled_from([",", ";", "\t", " ", "||", ", "]))
    quote, escape = draw(st.sampled_from([('"', None), ("'", None), ("", None), ('"', "\\"), ("", "\\"), ("'", '"')]))
    line_end = draw(st.sampled_from([None, None, "\n", "\r\n", "\x1e"]))
    pieces = [
        "a",
        "b",
        "\n",
        "\r",
        " ",
        delimiter,
        quote,
        escape or "\\",
        line_end or "\n",
        f"{quote}a{quote}{delimiter}",
    ]
    lines = draw(st.lists(st.lists(st.sampled_from(pieces), max_size=10).map("".join), max_size=5))
    form = declared(delimiter=delimiter, quote=quote, escape=escape, line_end=line_end)
    return form, (line_end or "\n").join([delimiter.join(NAMES), *lines])


@given(any_files())
@example((declared(delimiter=";", escape="\\"), 'first;second;third\n"C:\\new";a;b\n'))
@example((declared(delimiter=";", escape="\\"), 'first;second;third\n"a""b";a;b\n'))
@example((declared(delimiter=" ", quote=""), "first second third\n a b\n"))
@example((declared(escape="\\", line_end="\r\n"), "first,second,third\r\n\n\\\r\na"))
@settings(max_examples=600)
def test_both_readers_agree_in_every_dialect(file: tuple[FileFormat, str]) -> None:
    form, text = file
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = received(text.encode(), form, folder)
        rows, malformed = slow_rows(found, folder)
        assert len(rows) + len(malformed) == found.rows_in
        assert all(len(row) == len(NAMES) for row in rows)
        if found.is_regular:
            fast = fast_rows(found, folder)
            is_read_anew = fast is None or len(fast) != found.rows_in
            assert is_read_anew or (fast == rows and not malformed)
