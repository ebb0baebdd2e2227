"""How a file is written is recognised by its first bytes. Python's csv module reads it equally with what was found."""

from __future__ import annotations

import codecs
import csv
import io
import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waybill.contracts.file_format import FileFormat
from waybill.files.recognise_format import HEAD_BYTES, Recognised, recognise

CSV = FileFormat("csv", delimiter=",")
TABLE = [
    ["id", "day", "name", "price", "note"],
    ["1", "2026-11-01", "Müller", "12.50", "first, with a comma"],
    ["2", "2026-11-02", "O'Neill", "3.00", 'a "quoted" word'],
    ["3", "2026-11-03", "Żółć", "1200.00", ""],
    ["4", "2026-11-04", "Ann Lee", "0.10", "two\nlines"],
    ["5", "2026-11-05", "Bob", "7.25", "a; b; c"],
    ["6", "2026-11-06", "Cid", "8.00", "don't"],
]


def written(table: list[list[str]], **dialect: Any) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, **({"lineterminator": "\n"} | dialect)).writerows(table)
    return stream.getvalue()


def read(content: bytes, found: FileFormat) -> list[list[str]]:
    """Return the records that Python's csv module reads below the preamble."""
    text = content.decode(found.encoding).lstrip("\ufeff")
    if found.line_end:
        text = text.replace(found.line_end, "\n")
    lines = text.splitlines(keepends=True)[found.skip_lines :]
    delimiter, quote, escape, _ = found.dialect
    reader = csv.reader(
        lines,
        delimiter=delimiter[0],
        skipinitialspace=delimiter == ", ",
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        doublequote=escape == quote,
        escapechar=escape if escape != quote else None,
    )
    return [record for record in reader if any(record)]


def found(content: str | bytes, name: str = "some.csv") -> FileFormat:
    recognised = recognise(content.encode() if isinstance(content, str) else content, name)
    assert recognised.format, recognised
    return recognised.format


@pytest.mark.parametrize("delimiter", list(",;\t|^~\x1f\x01"))
@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("escape", [None, "\\"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_dialect_of_a_table(delimiter: str, quote: str, escape: str | None, line_end: str) -> None:
    table = [[field.replace("\n", " ") for field in record] for record in TABLE]
    content = written(
        table,
        delimiter=delimiter,
        quotechar=quote,
        escapechar=escape,
        doublequote=escape is None,
        lineterminator=line_end,
        quoting=csv.QUOTE_NONNUMERIC if quote == "'" else csv.QUOTE_MINIMAL,
    )
    expected = replace(CSV, delimiter=delimiter, quote=quote)
    assert replace(found(content), escape=None) == expected
    assert read(content.encode(), found(content)) == table


CONTENTS: dict[str, tuple[str | bytes, FileFormat]] = {
    "commas": (written(TABLE), CSV),
    "carriage returns": (written(TABLE[:4], lineterminator="\r"), CSV),
    "record separators": (written(TABLE[:4], lineterminator="\x1e"), replace(CSV, line_end="\x1e")),
    "a comma and a blank": (
        "id, day, name, note\n" + '1, 2026-11-01, "Lee, Ann", x\n' * 3,
        replace(CSV, delimiter=", "),
    ),
    "two pipes": ("id||day||note\n" + "1||2026-11-01||a|b\n" * 3, replace(CSV, delimiter="||")),
    "blanks": ("id day name\n1 2026-11-01 Ann\n2 2026-11-02 'Bob B'\n", replace(CSV, delimiter=" ", quote="'")),
    "decimal commas": (
        "name;price;share\nA;1,50;2,5\nB;12,75;3,25\nC;1.200,00;1,00\n",
        replace(CSV, delimiter=";"),
    ),
    "a column of times": ("10:00:00\n10:05:00\n10:10:00\n", replace(CSV, header_lines=0)),
    "times and values": ("time,value\n2026-11-01 10:00:00,5\n2026-11-01 10:05:00,6\n", CSV),
    "no quotes": ('id,size\n1,48"\n2,24"\n3,7" x 9"\n', replace(CSV, quote="")),
    "a backslash before a comma": ("id,name\n1,Lee\\, Ann\n2,Ray\\, Bob\n", replace(CSV, escape="\\")),
    "paths": ('id,path\n1,"C:\\new\\"\n2,"D:\\"\n', CSV),
    "a title": ("Sales of November\n\n" + written(TABLE), replace(CSV, skip_lines=2)),
    "a title in a cell": ("Sales,,,,\n,,,,\n" + written(TABLE), replace(CSV, skip_lines=2)),
    "blank lines only": ("\n\n" + written(TABLE), CSV),
    "comments": (
        "# made by a program\n" + written(TABLE[:3]) + "# half\n" + written(TABLE[3:]),
        replace(CSV, ignored_lines=("^\\#",)),
    ),
    "a hash in the header": ("#id,day\n1,2026-11-01\n2,2026-11-02\n", CSV),
    "a total": (written(TABLE) + "Total,,,1231.85,\n", replace(CSV, ignored_lines=("^\\W*Total\\b",))),
    "a remark below": (
        written(TABLE) + "6 records selected\n",
        replace(CSV, ignored_lines=("^\\W*[\\d.,]+ records selected\\b",)),
    ),
    "no header": (written(TABLE[1:]), replace(CSV, header_lines=0)),
    "a header only": (written(TABLE[:1]), CSV),
    "two header lines": (written([TABLE[0], ["", "UTC", "", "EUR", ""], *TABLE[1:]]), replace(CSV, header_lines=2)),
    "a line of units": ("time,speed,height\ns,m/s,m\n0.1,5,9\n0.2,6,8\n0.3,7,7\n", replace(CSV, header_lines=2)),
    "a repeated header": (written([TABLE[0], *TABLE]), replace(CSV, header_lines=2)),
    "null words below the header": ("a,b\nn/a,NULL\n1,2\n3,4\n5,6\n7,8\n", CSV),
    "years as names": ("country,2024,2025\nAustria,17,18\nFrance,70,71\n", CSV),
    "a stray quote in the header": (
        'id,"day,name\n' + '1,2026-11-01,"Ann"\n' * 3,
        replace(CSV, skip_lines=1, header_lines=0),
    ),
    "texts only": ("name,city\nAnn,Oslo\nBob,Bergen\n", CSV),
    "texts without a header": ("Ann,Oslo\nBob,Oslo\nAnn,Bergen\n", replace(CSV, header_lines=0)),
    "a declared delimiter": ("sep=;\na;b\n1;2\n", replace(CSV, delimiter=";")),
    "one column": ("name\nAnn\nBob, the builder\n", CSV),
    "UTF-16": (written(TABLE).encode("utf-16"), replace(CSV, encoding="utf-16")),
    "UTF-16 without a mark": (written(TABLE).encode("utf-16-le"), replace(CSV, encoding="utf-16-le")),
    "UTF-16, big end first": (written(TABLE).encode("utf-16-be"), replace(CSV, encoding="utf-16-be")),
    "UTF-16 in Greek": ("λέξη,πόσα\nδέκα,1\nένδεκα,2\n".encode("utf-16-le"), replace(CSV, encoding="utf-16-le")),  # noqa: RUF001
    "UTF-32": (written(TABLE).encode("utf-32"), replace(CSV, encoding="utf-32")),
    "a mark": (codecs.BOM_UTF8 + written(TABLE).encode(), CSV),
    "two marks": (codecs.BOM_UTF8 * 2 + written(TABLE).encode(), CSV),
    "Windows-1252": ("name,price\nMüller,5 €\nFrançois © José,7 €\n".encode("cp1252"), replace(CSV, encoding="cp1252")),
    "Latin-9": ("name,price\nMüller,5\nCœur,7\nŒuvre,7\n".encode("iso-8859-15"), replace(CSV, encoding="iso-8859-15")),
    "Polish": ("name,n\nŁódź,5\nGdańsk,7\nŚwięta,8\n".encode("cp1250"), replace(CSV, encoding="cp1250")),
    "Polish in ISO": ("name,n\nŁódź,5\nGdańsk,7\nżółć,8\n".encode("iso-8859-2"), replace(CSV, encoding="iso-8859-2")),
    "Russian": ("люди,n\nЩукин,5\nЖдан,7\n".encode("cp1251"), replace(CSV, encoding="cp1251")),  # noqa: RUF001
    "JSON lines": ('{"a": 1, "b": [{"c": 2}]}\n{"a": 2, "b": []}\n', FileFormat("json")),
    "a JSON array": ('[{"a": 1}, {"a": 2}]', FileFormat("json")),
    "one JSON object": ('{"a": 1, "b": {"c": 2}}', FileFormat("json")),
    "JSON below members": (
        '{"meta": {"tags": ["x"]}, "data": {"orders": [{"id": 1, "lines": [{"n": 1}]}]}}',
        FileFormat("json", record_path=("data", "orders")),
    ),
    "Parquet": (b"PAR1\x15\x04\x15\x10rest", FileFormat("parquet")),
    "Excel": (b"PK\x03\x04\x14\x00\x06\x00\x08\x00[Content_Types].xml", FileFormat("xlsx")),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_formats(name: str) -> None:
    content, expected = CONTENTS[name]
    assert found(content) == expected


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"\n\n", "an empty file"),
        (b"%PDF-1.7\n", "a PDF document"),
        (bytes(range(256)) * 4, "not text"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"[]", "JSON without records: an empty array"),
        (b" [1, 2]\n", "JSON without records: an array of values"),
        (b"[1, 2]\n[3, 4]\n", "JSON without records: an array of values"),
        (b'["x"]', "JSON without records: an array of values"),
        (b"[[1, 2], [3, 4]]", "JSON without records: an array of arrays"),
        (b"[{}, {}]", "JSON without records: an array of empty objects"),
        (b"{}", "JSON without records: an empty object"),
        (b"[" + b"12345, " * 50_000 + b"1]", "JSON without records: an array of values"),
    ],
)
def test_files_that_cannot_be_loaded_are_named(content: bytes, what: str) -> None:
    recognised = recognise(content, "some.json" if what.startswith("JSON") else "some.csv")
    assert (recognised.format, recognised.what) == (None, what)
    assert recognised.doubts, "the next step"


@pytest.mark.parametrize("content", [b'"x"', b"17.5", b"null"])
def test_a_single_value_is_json_if_the_name_says_so(content: bytes) -> None:
    assert recognise(content, "some.json").what == "JSON without records: a single value"
    assert found(content).name == "csv"


@pytest.mark.parametrize(
    "content",
    ["[Id],[Name]\n1,Ann\n2,Bob\n", "{Id},n\n1,2\n3,4\n", "[a, b\n1, 2\n3, 4\n", "{'a': 1}, x\n1, 2\n", "[Id]\n1\n2\n"],
)
def test_a_header_may_begin_like_json(content: str) -> None:
    assert found(content).name == "csv"


def padded(rows: list[list[str]], widths: list[int]) -> str:
    return "".join(
        "".join(
            field.rjust(-width) if width < 0 else field.ljust(width) for field, width in zip(row, widths, strict=True)
        )
        + "\n"
        for row in rows
    )


FIXED_WIDTH = {
    "texts and amounts": ([[row[0], row[2], row[3]] for row in TABLE], [6, 20, -10]),
    "no header": ([[row[0], row[2], row[3]] for row in TABLE[1:]], [6, 20, -10]),
    "times": ([["day", "time", "price"], *([row[1], "12:30:00", row[3]] for row in TABLE[1:])], [12, 10, -10]),
    "values of equal widths": ([[row[0], row[1], row[3]] for row in TABLE[1:]], [4, 14, -9]),
    "commas in a text": ([[row[0], row[4].replace("\n", " "), row[3]] for row in TABLE], [6, 24, -10]),
    "a total": ([*([row[0], row[2], row[3]] for row in TABLE * 2), ["Total of all prices", "", "9"]], [6, 20, -10]),
    "two columns": ([[row[2], row[1]] for row in TABLE], [20, 10]),
}


@pytest.mark.parametrize("name", FIXED_WIDTH)
def test_fixed_width_text_is_named(name: str) -> None:
    recognised = recognise(padded(*FIXED_WIDTH[name]).encode(), "some.txt")
    assert (recognised.format, recognised.what) == (
        None,
        "most likely fixed-width text, which cannot be declared",
    )
    assert recognised.doubts == ("Export it as CSV.",)


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_delimited_values_may_be_padded(delimiter: str) -> None:
    rows = [[f"{field.strip()}{delimiter}" for field in row[:3]] + [row[3]] for row in TABLE]
    assert found(padded(rows, [5, 14, 12, -9])) == replace(CSV, delimiter=delimiter)


WORDS = ["a", "Bob", "New York", "1", "17.5", "2026-11-01", "12:30", "San Jose del Cabo"]


@settings(max_examples=50)
@given(table=st.lists(st.lists(st.sampled_from(WORDS), min_size=4, max_size=4), min_size=4, max_size=12))
def test_fixed_width_text_is_never_read_with_blanks_as_delimiter(table: list[list[str]]) -> None:
    recognised = recognise(padded(table, [28, 28, 28, 28]).encode(), "some.txt")
    assert recognised.format is None, recognised


def named(recognised: Recognised) -> str:
    return " ".join((*recognised.evidence, *recognised.doubts))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a;b\n1;2\n3;4\n", "Semicolons separate 2 fields in 3 of 3 records."),
        ("a,b\n1,'x, y'\n3,'z'\n", "Single quotes enclose 2 fields."),
        ('a,b\n1,"x \\" y"\n3,"z"\n', "Backslashes precede special characters."),
        (codecs.BOM_UTF8.decode() * 2 + "a,b\n1,2\n", "2 byte order marks are at the beginning; one is usual."),
        ('{"orders": [{"id": 1}], "lines": [{"n": 1}]}', "The records are under orders. Records are also under lines."),
        ("a,b\n1,'x, y'\n3,'5\"\"'\n", "Two double quotes in a row are in 1 value, first in line 3."),
        ('a|b\n1|say ""hi""\n3|4\n5|6\n', "Two double quotes in a row are in 1 value, first in line 2."),
        ("a,b\n1,x\n3,x\\\n4,y\n5,z\n", "A backslash precedes a quote or a delimiter in 1 value, first in line 3."),
        ("a,b\n1,\"x\"\n2,'x'\n3,\"z\"\n4,'y'\n", "Single quotes enclose 2 values, first in line 3."),
        ("a,b\n1,2\n3\n4,5\n", "1 of 4 records does not have 2 fields, first line 3."),
        ("id,,day,n\n1,2026-11-01,5\n2,2026-11-02,6\n3,2026-11-02,6\n", "Line 1 looks like a header with 4 fields"),
        ("id,,\n1,2,3\n2,3,4\n", "Line 1 has few values. It is read as a record."),
        ("x y,z w\nu v,k l\nr s,t q\n", "Blanks would also separate 3 fields."),
        ('id,remark\n1,a\n2,"\n3,"\n4,d\n', "Without quotes, there would be 5 records instead of 4."),
        ("id,remark\n1,'a'\n2,\"\n3,\"\n4,d\n", "With single quotes, there would be 5 records instead of 4."),
    ],
)
def test_evidence_and_doubts(content: str, sentence: str) -> None:
    assert sentence in named(recognise(content.encode(), "some.csv"))


STATEMENT = (
    "Umsätze\nKonto: DE12 5001 0517 5407 3249 31\nInhaber;Ann Lee;;\nKunde 40311298\nann.lee@example.com\n"
    "Stand 30.11.2026 08:00\n\n" + written([[one.replace(";", " ") for one in row] for row in TABLE], delimiter=";")
)


def test_skipped_lines_are_a_doubt_that_shows_no_personal_data() -> None:
    found = recognise(STATEMENT.encode(), "a.csv")
    assert found.format == replace(CSV, delimiter=";", skip_lines=7)
    [doubt] = [doubt for doubt in found.doubts if "skipped" in doubt]
    assert doubt == (
        "6 lines above the table are skipped, and their values are not loaded: Umsätze, Konto: …, Inhaber …, "
        "Kunde ########, …@…, and 1 more."
    )
    assert "DE12" not in str(found)
    assert "Lee" not in str(found)


def test_control_characters_of_skipped_lines_are_left_out() -> None:
    [doubt] = [
        one for one in recognise(b"A\x07b\x1b[0m\n\n" + written(TABLE).encode(), "a.csv").doubts if "skipped" in one
    ]
    assert doubt == "1 line above the table is skipped, and its values are not loaded: A b [0m."


def test_names_are_those_of_the_header() -> None:
    assert recognise(b"time,speed\ns,m/s\n0.1,5\n0.2,6\n", "a.csv").names == ("time s", "speed m/s")
    assert recognise(b'{"data": [{"id": 1, "day": 2}]}', "a.json").names == ("id", "day")
    assert recognise(b"id,,day,n\n1,2026-11-01,5\n2,2026-11-02,6\n3,2026-11-03,6\n", "a.csv").names == (
        "id",
        "day",
        "n",
    )


def test_a_header_with_a_stray_quote_is_skipped_with_a_doubt() -> None:
    found = recognise(b'id,"day,name\n' + b'1,2026-11-01,"Ann"\n' * 3, "a.csv")
    assert found.names == ("id", "day", "name")
    assert (
        "The header in line 1 has a quote that does not enclose a name. It is skipped; the columns are read in order, "
        "with its names." in named(found)
    )


def test_the_beginning_of_a_long_file_is_enough() -> None:
    content = written([TABLE[0], *TABLE[1:] * 5000], delimiter=";").encode()
    assert len(content) > HEAD_BYTES
    assert found(content[:HEAD_BYTES]) == found(content) == replace(CSV, delimiter=";")
    records = json.dumps({"meta": 1, "rows": [{"id": place} for place in range(50_000)]}).encode()
    assert found(records[:HEAD_BYTES]) == FileFormat("json", record_path=("rows",))


WORDS = st.text("abcdefghijklmnoöäéß ", min_size=1, max_size=12).map(str.strip).filter(bool)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "count": st.integers(0, 99_999).map(str),
    "price": st.decimals(0, 9999, places=2).map(str),
    "day": st.integers(0, 5000).map(lambda days: str(date(2020, 1, 1) + timedelta(days))),
    "name": WORDS,
    "remark": st.lists(st.one_of(WORDS, st.sampled_from([", ", "; ", "'s ", '"', "\n", " | "])), max_size=5).map(
        "".join
    ),
}


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    kinds = [
        draw(st.sampled_from(["count", "price", "day"])),
        *draw(st.lists(st.sampled_from([*VALUES]), min_size=1, max_size=5)),
    ]
    header = [f"{kind} {place}" for place, kind in enumerate(kinds)]
    return [header, *draw(st.lists(st.tuples(*(VALUES[kind] for kind in kinds)).map(list), min_size=4, max_size=20))]


@settings(max_examples=150)
@given(
    table=tables(),
    delimiter=st.sampled_from([*",;\t|^~"]),
    quote=st.sampled_from(['"', "'"]),
    escape=st.sampled_from([None, "\\"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    has_header=st.booleans(),
)
def test_any_table_is_read_as_it_was_written(
    table: list[list[str]],
    delimiter: str,
    quote: str,
    escape: str | None,
    line_end: str,
    encoding: str,
    quoting: int,
    has_header: bool,
) -> None:
    """Unless a doubt is named, Python's csv module reads the records that it wrote, and the header is found."""
    rows = table if has_header else table[1:]
    text = written(
        rows,
        delimiter=delimiter,
        quotechar=quote,
        escapechar=escape,
        doublequote=escape is None,
        lineterminator=line_end,
        quoting=quoting,
    )
    content = text.encode(encoding)
    recognised = recognise(content, "some.csv")
    assert recognised == recognise(content, "some.csv")
    assert recognised.format
    if not recognised.doubts:
        assert read(content, recognised.format) == rows
        assert recognised.format.header_lines == has_header
        if has_header:
            assert recognised.names == tuple(table[0])
