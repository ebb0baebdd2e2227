"""Records that are no rows are reported, and the rows around them are loaded."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from psycopg import Connection

from support.messaging_months import RUN
from support.order_files import CONTRACTS, HEADER, LINES, Line, Orders
from waybill.errors import DataError
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books

FIELD = Path(__file__).parents[1] / "field"
DAY = "2026-11-02"
ROW = str(Line())


class Arrivals(Orders):
    """Files of one day, the outcome of their records, and the reasons of rejected files."""

    def load(self, text: bytes, name: str = "orders.csv", *, strict: bool = False) -> Books:
        contract = CONTRACTS["lines"] if strict else LINES
        books = ingest_file(self.connection, self.bucket, self.land(DAY, name, text), contract, CONTRACTS, RUN)
        assert books
        return books

    def load_field(self, case: str, *, strict: bool = True) -> Books:
        return self.load((FIELD / case).read_bytes(), case.rsplit("/", 1)[1], strict=strict)

    def reject(self, text: bytes, name: str = "orders.csv") -> str:
        with pytest.raises(DataError) as caught:
            self.load(text, name, strict=True)
        assert self.connection.execute("select count(*) from waybill.load_file").fetchone() == (0,)
        return str(caught.value)

    def reject_field(self, case: str) -> str:
        return self.reject((FIELD / case).read_bytes(), case.rsplit("/", 1)[1])

    def rejects(self) -> dict[int, list[str]]:
        return dict(
            self.connection.execute("select record, reasons from waybill.quarantine order by record").fetchall()
        )

    def rejects_of(self, name: str) -> dict[int, list[str]]:
        """Return the rejects of the current version of a file."""
        query = (
            "select record, reasons from waybill.quarantine inner join waybill.load_file using (file_id) "
            "where object_key like %s and status = 'loaded'"
        )
        return dict(self.connection.execute(query, (f"%/{name}",)).fetchall())

    def warnings_of(self, name: str) -> set[str]:
        query = (
            "select kind from waybill.file_warning inner join waybill.load_file using (file_id) "
            "where object_key like %s and status = 'loaded'"
        )
        return {kind for (kind,) in self.connection.execute(query, (f"%/{name}",)).fetchall()}

    def warnings(self) -> dict[str, str]:
        return dict(self.connection.execute("select kind, message from waybill.file_warning").fetchall())

    def orders(self) -> list[str]:
        return [key for (key,) in self.connection.execute("select order_id from orders.lines order by 1").fetchall()]


@pytest.fixture
def arrivals(empty_connection: Connection) -> Arrivals:
    return Arrivals(empty_connection)


def lines(*rows: str | Line) -> bytes:
    return "".join(f"{row}\n" for row in (HEADER, *rows)).encode()


# --- quotes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("city", ['Round 48"', '48""', 'a"b"', 'a"b""', '"Seattle"x', ' "Seattle"', '$7"A, 4"""'])
def test_a_quote_within_an_unquoted_field_costs_its_record(city: str, arrivals: Arrivals) -> None:
    bad = ROW.replace("Seattle", city)
    books = arrivals.load(lines(Line("1"), bad, Line("3")))
    assert arrivals.rejects() == {2: ["quote"]}
    assert (books.rows_in, books.inserted, arrivals.orders()) == (3, 2, ["1", "3"])


def test_lines_that_may_be_the_rest_of_a_quoted_field_are_no_rows(arrivals: Arrivals) -> None:
    inside = str(Line("2"))
    bad = ROW.replace("Seattle", f'Seattle","x\n{inside}\ny"')
    books = arrivals.load(lines(Line("0"), bad, Line("3")))
    assert arrivals.rejects() == {2: ["quote"], 3: ["quote"], 4: ["quote"]}
    assert (books.rows_in, arrivals.orders()) == (5, ["0", "3"])


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("malformed", ["", "x,y"], ids=["regular", "with a malformed record"])
def test_rows_between_two_stray_quotes_are_reported(malformed: str, ending: str, arrivals: Arrivals) -> None:
    first, last = str(Line("1")).replace("Seattle", '"Seattle'), str(Line("2")).replace("Seattle", 'Seattle"')
    rows = [Line("0"), first, last, Line("3"), *filter(None, [malformed])]
    books = arrivals.load(lines(*rows).replace(b"\n", ending.encode()))
    assert (books.inserted, arrivals.orders()) == (3, ["0", "1", "3"]), "a field may have lines: this is a record"
    assert arrivals.warnings() == {
        "quotes": f"1 of {3 + bool(malformed)} records (first: record 2) has a quoted field whose lines look like "
        "records. Quotes may be missing, and rows may be hidden in the field. Compare the file with the export. If "
        "rows are missing, send it again."
    }


def test_texts_of_several_lines_are_no_rows_between_stray_quotes(arrivals: Arrivals) -> None:
    texts = ['"Seattle\nNorth"', '"Seattle, WA\nUnited States, America"', '"a,b,c\n\nd,e,f"']
    arrivals.load(lines(*(str(Line(f"{n}")).replace("Seattle", text) for n, text in enumerate(texts))))
    assert (arrivals.warnings(), arrivals.orders()) == ({}, ["0", "1", "2"])


# --- headers and other tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("malformed", ["", "x,y"], ids=["regular", "with a malformed record"])
@pytest.mark.parametrize(
    "again",
    [HEADER, "\ufeff" + HEADER, HEADER.upper(), "\ufeff" + ",".join(f'"{name}"' for name in HEADER.split(","))],
    ids=["as it is", "with BOM", "upper case", "quoted with BOM"],
)
def test_a_header_among_the_rows_costs_one_record(again: str, malformed: str, arrivals: Arrivals) -> None:
    rows = [Line("1"), again, Line("2"), *filter(None, [malformed]), again, again, Line("3")]
    arrivals.load(lines(*rows))
    expected = {place: ["header"] for place, row in enumerate(rows, 1) if row == again}
    expected |= {place: ["ragged"] for place, row in enumerate(rows, 1) if row == malformed}
    assert (arrivals.rejects(), arrivals.orders()) == (expected, ["1", "2", "3"])


def test_a_second_header_line_is_not_loaded(arrivals: Arrivals) -> None:
    arrivals.load(lines(HEADER, HEADER, Line("1")))
    assert (arrivals.rejects(), arrivals.orders()) == ({1: ["header"], 2: ["header"]}, ["1"])


@pytest.mark.parametrize(
    ("order", "width"), [([1, 0, *range(2, 16)], 16), (range(15), 15), ([*range(16), 0], 17), ([0, 1, 2], 3)]
)
def test_a_table_behind_the_first_is_not_loaded(order: list[int], width: int, arrivals: Arrivals) -> None:
    names, cells = [*HEADER.split(","), "Remark"], [*str(Line("9")).split(","), ""]
    other = ",".join(names[place] if number < 16 else "Remark" for number, place in enumerate(order))
    row = ",".join(cells[place] for place in order)
    assert len(row.split(",")) == width
    arrivals.load(lines(Line("1"), "", other, row, Line("2"), HEADER, Line("3")))
    expected = {2: ["header"], 3: ["second_table"], 4: ["second_table"], 5: ["header"]}
    assert (arrivals.rejects(), arrivals.orders()) == (expected, ["1", "3"])


@pytest.mark.parametrize("file_is_camel", [False, True])
def test_a_table_with_its_header_in_camel_case_is_not_loaded(file_is_camel: bool, arrivals: Arrivals) -> None:
    camel = [name.title().replace(" ", "") for name in HEADER.split(",")]
    order = [11, *range(1, 11), 0, *range(12, 16)]  # order and product change places: both are text
    other = HEADER.split(",") if file_is_camel else camel
    cells = str(Line("2")).split(",")
    text = lines(Line("1"), ",".join(other[place] for place in order), ",".join(cells[place] for place in order))
    arrivals.load(text.replace(HEADER.encode(), ",".join(camel).encode(), 1) if file_is_camel else text)
    assert (arrivals.rejects(), arrivals.orders()) == ({2: ["header"], 3: ["second_table"]}, ["1"])


def test_concatenated_files_are_loaded_but_for_the_header_between_them(arrivals: Arrivals) -> None:
    books = arrivals.load_field("25_concatenated/cat.csv")
    assert (books.rows_in, books.inserted, arrivals.rejects()) == (61, 60, {31: ["header"]})


# --- records without values ---------------------------------------------------------------------------------


def test_records_of_commas_are_none_and_a_total_is_rejected(arrivals: Arrivals) -> None:
    books = arrivals.load_field("11_totals_and_blank_rows/totals.csv")
    assert (books.rows_in, books.inserted, books.rejected) == (41, 40, 1)
    assert "required:order_date" in arrivals.rejects()[41]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_records_of_commas_may_occur_anywhere(ending: str, arrivals: Arrivals) -> None:
    commas = "," * 15
    text = lines(commas, Line("1"), ",", commas, Line("2"), f'{ROW},"', commas).replace(b"\n", ending.encode())
    books = arrivals.load(commas.encode() + b"\n" + text)
    assert (books.rows_in, arrivals.orders(), arrivals.rejects()) == (3, ["1", "2"], {3: ["quote"]})


def test_records_with_more_fields_than_the_header_are_no_rows(arrivals: Arrivals) -> None:
    assert "ragged" in arrivals.reject_field("11_totals_and_blank_rows/wide.csv")


# --- files that were cut off --------------------------------------------------------------------------------


def test_a_last_record_without_line_end_is_loaded_with_a_warning(arrivals: Arrivals) -> None:
    books = arrivals.load_field("20_truncated/cut.csv")
    assert (books.rejected, books.inserted) == (0, books.rows_in)
    assert arrivals.warnings() == {
        "truncated": f"record {books.rows_in}, the last one, has no line end: the file may be truncated. Check "
        "the value of its last column, Discount Percent. If the file is incomplete, send it again."
    }


@pytest.mark.parametrize("form", ["regular", "gzip", "with a malformed record"])
def test_every_cut_of_a_file_is_reported(form: str, arrivals: Arrivals) -> None:
    first = "x,y" if form == "with a malformed record" else str(Line("0"))
    whole = lines(first, Line("1"), str(Line("2")).replace("Seattle", '"Seattle, north"'))
    start = whole.index(b"\n2,") + 1
    for length in (*range(start + 1, len(whole) - 3, 11), *range(len(whole) - 3, len(whole))):
        text = whole[:length]
        arrivals.load(gzip.compress(text, mtime=0) if form == "gzip" else text, "orders.csv")
        found = arrivals.rejects_of("orders.csv").get(3)
        is_whole = length == len(whole) - 1
        lacks_value = ["required:discount_percent"] if text.endswith(b"1,") else None
        assert found is None if is_whole else found == lacks_value or "truncated" in (found or []), text[start:]
        assert "truncated" in arrivals.warnings_of("orders.csv")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", "\n,,,\n", "\n,,,"])
def test_a_file_that_ends_with_a_line_end_has_no_warning(ending: str, arrivals: Arrivals) -> None:
    arrivals.load(lines(Line("1"), Line("2")).removesuffix(b"\n") + ending.encode())
    assert (arrivals.warnings(), arrivals.orders()) == ({}, ["1", "2"])


def test_json_lines_that_were_cut_are_reported(arrivals: Arrivals) -> None:
    text = (FIELD / "17_json_shapes/float.jsonl").read_bytes().replace(b"2.0", b"2").strip()
    arrivals.load(text + b"\n" + text[:-5], "cut.jsonl")
    assert arrivals.rejects_of("cut.jsonl") == {2: ["json", "truncated"]}
    arrivals.load(text + b"\n" + text, "whole.jsonl")
    assert arrivals.rejects_of("whole.jsonl") == {}


# --- formats, headers and encodings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "10_european/semicolon.csv",
            ': it appears that semicolons separate the fields. Declare `delimiter: ";"` in the server',
        ),
        (
            "12_encodings/cp1252.csv",
            " Bytes that are not valid UTF-8 look like cp1252: declare `encoding: cp1252` in the server",
        ),
        ("12_encodings/utf16.csv", "it appears that the text is in utf-16. Declare `encoding: utf-16` in the server"),
        ("16_packed/table.parquet", "it is a Parquet file. Declare `format: parquet`"),
        ("16_packed/garbage.csv.gz", "other bytes follow the end of the gzip stream. Send the file again"),
        ("17_json_shapes/wrapped.json", "the records are nested under `orders` of an object"),
        ("17_json_shapes/pretty.json", "the records are nested under `orders` of an object"),
        ("17_json_shapes/nan.json", "element 1 of the array is not valid JSON: NaN is not JSON"),
        ("18_empty/zero.csv", "the file is empty (0 bytes)"),
        ("18_empty/spaces.csv", "the file is empty (5 bytes)"),
        ("24_header_forms/synonym.csv", "the header has discount_percent more than once"),
        ("24_header_forms/title.csv", ": it appears that the header is line 3. Declare `skipLines: 2` in the server"),
    ],
)
def test_a_file_that_cannot_be_read_is_rejected_with_the_reason(case: str, message: str, arrivals: Arrivals) -> None:
    assert message in arrivals.reject_field(case)


@pytest.mark.parametrize(
    ("case", "orders"),
    [
        ("10_european/sep.csv", ["C10d"]),
        ("12_encodings/bom.csv", ["C12", "C12b"]),
        ("12_encodings/twobom.csv", ["C12", "C12b"]),
        ("16_packed/members.csv.gz", ["C16a", "C16b"]),
        ("16_packed/padded.csv.gz", ["C16p"]),
        ("16_packed/UPPER.CSV.GZ", ["C16u"]),
        ("16_packed/packed.zip", ["C16z"]),
        ("16_packed/book.csv", ["C16z"]),  # a zip archive by its bytes
        ("16_packed/book.xlsx", ["C16z"]),
        ("17_json_shapes/UPPER.JSON", ["C17i"]),
        ("17_json_shapes/camel.jsonl", ["C17h"]),
        ("17_json_shapes/firehose.json", ["C17d", "C17e"]),
        ("17_json_shapes/one.json", ["C17l"]),
        ("17_json_shapes/nested.jsonl", ["C17j", "C17k"]),
        ("18_empty/header.csv", []),
        ("24_header_forms/break.csv", ["C24b"]),
        ("24_header_forms/trailing.csv", ["C24c"]),
    ],
)
def test_an_odd_file_that_can_be_read_is_loaded(case: str, orders: list[str], arrivals: Arrivals) -> None:
    books = arrivals.load_field(case)
    assert (books.rejected, arrivals.orders()) == (0, orders)


def test_text_of_another_encoding_is_rejected_and_reported(arrivals: Arrivals) -> None:
    books = arrivals.load_field("12_encodings/cp1252_big.csv")
    assert (books.rows_in, arrivals.rejects()) == (61, {61: ["encoding"]})
    assert arrivals.warnings() == {
        "encoding": "1 of 61 records (first: record 61) is not valid UTF-8 and rejected. Bytes that are not "
        "valid UTF-8 look like cp1252: declare `encoding: cp1252` in the server of the contract, or export the file as "
        "UTF-8."
    }


def test_decimal_commas_are_rejected_and_reported(arrivals: Arrivals) -> None:
    books = arrivals.load_field("10_european/quotedcomma.csv")
    assert (books.rows_in, books.rejected) == (42, 2)
    assert arrivals.warnings() == {
        "decimal_comma": "1 of 42 records (first: record 41) is rejected because of a decimal comma in list_price. "
        "Other numbers may have one, too. Declare a `numberFormat` in the contract, or export numbers with a decimal "
        "point and without thousands separators."
    }


@pytest.mark.parametrize(
    ("price", "is_told"),
    [
        ('"0,5"', True),
        ('"80,00"', True),
        ('"1.234,567"', True),
        ('"1,234"', False),
        ('"1,234.50"', False),
        ("x", False),
    ],
)
def test_a_comma_between_thousands_is_no_decimal_comma(price: str, is_told: bool, arrivals: Arrivals) -> None:
    arrivals.load(lines(Line("1", list_price=price), Line("2")))
    assert (arrivals.orders(), set(arrivals.warnings())) == (["2"], {"decimal_comma"} if is_told else set())


def test_a_line_of_types_below_the_header_is_rejected(arrivals: Arrivals) -> None:
    books = arrivals.load_field("24_header_forms/twoheaders.csv")
    assert (books.rejected, books.inserted) == (1, books.rows_in - 1)
    assert "type:order_date" in arrivals.rejects()[1]


@pytest.mark.parametrize(
    ("city", "expected"),
    [
        ("K\ufffdln", "the file has the character U+FFFD, "),
        ("K\u00c3\u00b6ln", "the file has text that appears to be encoded in UTF-8 twice, "),
        ("it\u00e2\u20ac\u2122s", "the file has text that appears to be encoded in UTF-8 twice, "),
        ("K\u00f6ln, S\u00c3O PAULO, \u00c2NGELA, \u20ac 5", None),
    ],
)
@pytest.mark.parametrize("row", [0, 40_000])
def test_text_that_the_sender_damaged_is_reported(
    city: str, expected: str | None, row: int, arrivals: Arrivals
) -> None:
    lines = [str(Line(order=str(number))) for number in range(40_002)]
    lines[row] = str(Line(order="X", region=f'"{city}"'))
    arrivals.load("\n".join([HEADER, *lines, ""]).encode(), "damaged.csv")
    messages = [
        message for (message,) in arrivals.connection.execute("select message from waybill.file_warning").fetchall()
    ]
    assert len(messages) == (expected is not None)
    assert all(message.startswith(expected or "") for message in messages)


def test_a_record_like_a_header_of_another_table_is_reported(arrivals: Arrivals) -> None:
    header = ",".join(f"Spalte {number}" for number in range(HEADER.count(",") + 1))
    lines = [str(Line(order=str(number))) for number in range(40)]
    arrivals.load("\n".join([HEADER, *lines[:39], header, lines[39], ""]).encode(), "two.csv")
    assert arrivals.warnings_of("two.csv") == {"header"}
    arrivals.load("\n".join([HEADER, *lines, header, ""]).encode(), "last.csv")
    assert "header" not in arrivals.warnings_of("last.csv")


def test_a_large_file_of_lines_that_end_in_carriage_returns_is_read_whole(arrivals: Arrivals) -> None:
    """Also beyond the first megabyte, where quoted fields hold line feeds."""
    lines = [str(Line(order=str(number), region='"a\nb"' if number > 15_000 else "a")) for number in range(20_000)]
    books = arrivals.load("\r".join([HEADER, *lines, ""]).encode(), "mac.csv")
    assert (books.rows_in, books.inserted, arrivals.warnings_of("mac.csv")) == (20_000, 20_000, set())
    found = arrivals.connection.execute("select region, count(*) from orders.lines group by region order by region")
    assert found.fetchall() == [("a", 15_001), ("a\nb", 4_999)]
