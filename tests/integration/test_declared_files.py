"""Files in a dialect or encoding that their contract declares reach the table with the right values."""

from __future__ import annotations

import csv
import io
import logging
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from psycopg import Connection

from support.messaging_months import RUN
from support.order_files import CONTRACTS, HEADER, LINES, Line, Orders
from waybill.contracts import Contract
from waybill.contracts.file_format import FileFormat
from waybill.contracts.number_format import NumberFormat
from waybill.errors import DataError
from waybill.intake.dry_run import try_contract
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.intake.replay import replay

FIELD = Path(__file__).parents[1] / "field"
DAY = "2026-11-02"


def declaring(contract: Contract = LINES, **properties: object) -> Contract:
    return replace(contract, file_format=replace(FileFormat("csv"), **properties))  # type: ignore[arg-type]


class Arrivals(Orders):
    """Files of one day under the contracts that declare them."""

    def load(self, text: bytes, contract: Contract, name: str = "orders.csv") -> Books:
        books = ingest_file(self.connection, self.bucket, self.land(DAY, name, text), contract, CONTRACTS, RUN)
        assert books
        return books

    def reject(self, text: bytes, contract: Contract) -> str:
        with pytest.raises(DataError) as caught:
            self.load(text, contract)
        return str(caught.value)

    def rows(self, *columns: str) -> list[tuple[object, ...]]:
        return self.connection.execute(f"select {', '.join(columns)} from orders.lines order by order_id").fetchall()

    def rejects(self) -> dict[int, list[str]]:
        found = self.connection.execute("select record, reasons from waybill.quarantine order by record")
        return dict(found.fetchall())

    def raw(self) -> list[str]:
        return [raw for (raw,) in self.connection.execute("select raw from waybill.quarantine order by record")]

    def warnings(self) -> dict[str, str]:
        return dict(self.connection.execute("select kind, message from waybill.file_warning").fetchall())

    def ignored(self) -> dict[str, int] | None:
        (found,) = self.connection.execute("select ignored_lines from waybill.load_file where status = 'loaded'")
        return found[0]  # type: ignore[no-any-return]


@pytest.fixture
def arrivals(empty_connection: Connection) -> Arrivals:
    return Arrivals(empty_connection)


def rows_of(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def lines(*rows: str | Line) -> str:
    return "".join(f"{row}\n" for row in (HEADER, *rows))


# --- files from the field -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "encoding", "delimiter", "properties"),
    [
        ("10_european/semicolon.csv", "utf-8", ";", {}),
        ("12_encodings/cp1252.csv", "cp1252", ",", {}),
        ("12_encodings/cp1252_big.csv", "cp1252", ",", {}),
        ("12_encodings/utf16.csv", "utf-16", ",", {}),
        ("12_encodings/utf16.csv", "utf-16-le", ",", {}),
        ("12_encodings/bom.csv", "utf-8", ",", {}),
        ("24_header_forms/title.csv", "utf-8", ",", {"skip_lines": 1}),
        ("24_header_forms/title.csv", "utf-8", ",", {"skip_lines": 2}),
        ("24_header_forms/title.csv", "utf-8", ",", {"ignored_lines": ("^Monthly export",)}),
        ("24_header_forms/twoheaders.csv", "utf-8", ",", {"ignored_lines": ("^text,date,",)}),
        ("11_totals_and_blank_rows/totals.csv", "utf-8", ",", {"ignored_lines": ("^Total", "^#")}),
    ],
)
def test_a_file_from_the_field_loads_as_declared(
    case: str, encoding: str, delimiter: str, properties: dict[str, object], arrivals: Arrivals
) -> None:
    contract = declaring(encoding=encoding, delimiter=delimiter, **properties)
    european = NumberFormat(decimal=",")
    prices = {"list_price": european} if "european" in case else {}
    columns = [replace(one, number_format=prices.get(one.name, one.number_format)) for one in contract.columns]
    content = (FIELD / case).read_bytes()
    books = arrivals.load(content, replace(contract, columns=tuple(columns), reject_threshold_pct=0))
    text = content.decode(encoding).removeprefix("\ufeff")
    table = rows_of(text[text.index("Order Id") :], delimiter)
    kept = [row for row in table if row["Order Date"] not in ("", "date")]
    assert (books.rows_in, books.inserted, arrivals.rejects()) == (len(kept), len(kept), {})
    assert arrivals.rows("order_id", "city", "list_price", "postal_code") == [
        (row["Order Id"], row["City"], Decimal(row["List Price"].replace(",", ".")), row["Postal Code"]) for row in kept
    ]


# --- headers ------------------------------------------------------------------------------------------------


def test_without_a_header_the_fields_are_the_columns_in_order(arrivals: Arrivals) -> None:
    names = [column.name for column in LINES.delivered_columns]
    fields = HEADER.lower().replace(" ", "_").split(",")
    given = dict(zip(fields, str(Line("1")).split(","), strict=True))
    row = "\t".join(given[name] for name in names)
    header = "\t".join(names)
    books = arrivals.load(f"{row}\n{row}\tmore\n{header}\n".encode(), declaring(delimiter="\t", header_lines=0))
    assert (books.rows_in, books.inserted, arrivals.rejects()) == (3, 1, {2: ["ragged"], 3: ["header"]})
    assert arrivals.rows("order_id", "city", "list_price") == [("1", "Seattle", Decimal("10.00"))]


def test_an_empty_file_without_a_header_is_rejected(arrivals: Arrivals) -> None:
    message = arrivals.reject(b"\n \n", declaring(header_lines=0))
    assert "the file is empty (3 bytes) and has no records. Send it again." in message


def test_names_of_several_header_lines_are_joined(arrivals: Arrivals) -> None:
    names = HEADER.split(",")
    first = ",".join(name.partition(" ")[0] for name in names)
    second = ",".join(name.partition(" ")[2] for name in names)
    text = f"{first}\n,,\n{second}\n{Line('1')}\n"
    assert arrivals.load(text.encode(), declaring(header_lines=2)).inserted == 1
    message = arrivals.reject(f"{first}\n".encode(), declaring(header_lines=2))
    assert "the file ends within its 2 header lines (headerLines)" in message


def test_a_file_with_fewer_lines_than_are_skipped_is_rejected(arrivals: Arrivals) -> None:
    message = arrivals.reject(b"a\nb\n", declaring(skip_lines=3))
    assert "the contract skips 3 lines (skipLines), but the file has only 2" in message


# --- ignored lines ------------------------------------------------------------------------------------------


def test_comments_and_footers_are_counted_and_told(arrivals: Arrivals, caplog: pytest.LogCaptureFixture) -> None:
    text = "# one\n" + lines("# it's \"odd", Line("1"), str(Line("2")).replace("Seattle", '"Sea\n# ttle"'), "Total,2")
    with caplog.at_level(logging.INFO):
        books = arrivals.load(text.removesuffix("\n").encode(), declaring(ignored_lines=("^#", "^Total", "^End")))
    assert (books.rows_in, books.inserted) == (2, 2)
    assert arrivals.ignored() == {"^#": 2, "^Total": 1, "^End": 0}
    assert arrivals.rows("city") == [("Seattle",), ("Sea\n# ttle",)]
    assert arrivals.warnings() == {}
    told = [message.partition(": ")[2] for message in caplog.messages if "ignored" in message]
    assert [one.rpartition("orders.csv: ")[2] for one in told] == [
        "2 lines ignored by the pattern ^#",
        "1 line ignored by the pattern ^Total",
        "0 lines ignored by the pattern ^End",
    ]


def test_a_pattern_that_ignores_rows_is_reported(arrivals: Arrivals) -> None:
    text = lines(*(Line(f"{number}") for number in range(100)))
    books = arrivals.load(text.encode(), declaring(ignored_lines=("^1", "^#")))
    assert (books.rows_in, arrivals.ignored()) == (89, {"^1": 11, "^#": 0})
    assert arrivals.warnings() == {
        "ignored_lines": "the pattern ^1 of ignoredLines left out 11 lines, many with all fields of a record; 89 "
        "records are left. If lines are rows, correct the pattern in the contract, and send the file again under "
        "another name."
    }


def test_a_license_of_comments_above_few_rows_is_not_reported(arrivals: Arrivals) -> None:
    text = "# a comment, with commas\n" * 40 + lines(Line("1"))
    assert arrivals.load(text.encode(), declaring(ignored_lines=("^#",))).inserted == 1
    assert (arrivals.ignored(), arrivals.warnings()) == ({"^#": 40}, {})


def test_repaired_records_are_loaded_and_reported(arrivals: Arrivals) -> None:
    first, second = f"{Line('1')}", f"{Line('2')}"
    text = lines(first, second + ",", f"{Line('3')}", first.replace("1,", '1",', 1))
    books = arrivals.load(text.encode(), declaring(repairs=("emptyFields", "strayQuotes")))
    assert (books.inserted, books.rejected, arrivals.rows("order_id")) == (4, 0, [("1",), ('1"',), ("2",), ("3",)])
    assert arrivals.warnings() == {
        "repaired": "2 of 4 records (first: record 2) are malformed and were read in the only way that meets the "
        "contract (repairs). Compare them with the export, and correct the export."
    }


# --- encodings ----------------------------------------------------------------------------------------------


def test_bytes_that_the_encoding_does_not_define_reject_their_record(arrivals: Arrivals) -> None:
    good, bad = str(Line("1")).replace("Seattle", "Zürich"), str(Line("2")).replace("Seattle", "Z\x81rich")
    pair = str(Line("3")).replace("Seattle", "Z\x9d\x81")
    books = arrivals.load(lines(good, bad, pair).encode("latin-1"), declaring(encoding="cp1252"))
    assert (books.inserted, arrivals.rejects()) == (1, {2: ["encoding"], 3: ["encoding"]})
    assert arrivals.rows("city") == [("Zürich",)]
    assert "Z\\\\x81rich" in arrivals.raw()[0]
    assert arrivals.warnings() == {
        "encoding": "2 of 3 records (first: record 2) are not valid cp1252 and rejected. The file has bytes that "
        "cp1252 does not define: correct `encoding` in the contract, or export the file as declared."
    }


def test_undefined_bytes_do_not_become_another_character(arrivals: Arrivals) -> None:
    """The bytes C3 BF are no characters of ISO 8859-8. Together they would be one of UTF-8."""
    bad = str(Line("1")).replace("Seattle", "X\xc3\xbfX")
    arrivals.load(lines(bad).encode("latin-1"), declaring(encoding="iso8859-8"))
    assert arrivals.rejects() == {1: ["encoding"]}
    assert "X\\\\xc3\\\\xbfX" in arrivals.raw()[0]


@pytest.mark.parametrize("encoding", ["cp1252", "iso8859-1", "utf-16-be", "utf-32", "ascii"])
def test_a_byte_order_mark_of_another_encoding_rejects_the_file(encoding: str, arrivals: Arrivals) -> None:
    message = arrivals.reject(b"\xff\xfe" + lines(Line("1")).encode("utf-16-le"), declaring(encoding=encoding))
    assert f"the contract declares the encoding {encoding}, but the file begins with the byte order mark of" in message


def test_utf_8_that_is_declared_as_another_encoding_is_reported(arrivals: Arrivals) -> None:
    arrivals.load(lines(str(Line("1")).replace("Seattle", "Zürich")).encode(), declaring(encoding="cp1252"))
    assert "encoded in UTF-8 twice" in arrivals.warnings()["encoding"]


def test_a_cut_character_rejects_its_record(arrivals: Arrivals) -> None:
    text = lines(Line("1"), Line("2")).encode("utf-16")
    arrivals.load(text[:-3], declaring(encoding="utf-16"))
    assert arrivals.rejects() == {2: ["encoding", "truncated"]}


# --- malformed records --------------------------------------------------------------------------------------

WHOLE = str(Line("1")).replace(",", ";")


@pytest.mark.parametrize(
    ("city", "properties", "reasons"),
    [
        ("'Seattle", {"quote": "'"}, ["quote"]),
        ("Sea'ttle", {"quote": "'"}, ["quote"]),
        ("'Sea'ttle'", {"quote": "'"}, ["quote"]),
        (" 'Seattle'", {"quote": "'"}, ["quote"]),
        ("Sea;ttle", {"quote": ""}, ["ragged"]),
        ('"Sea;ttle"', {"quote": ""}, ["ragged"]),
        ('"Sea\\";ttle', {"escape": "\\"}, ["quote"]),
        ("Sea\rttle", {"quote": ""}, ["line_end"]),
        ("Sea\\\\;ttle", {"quote": "", "escape": "\\"}, ["ragged"]),
    ],
)
def test_what_is_malformed_in_the_dialect_costs_its_record(
    city: str, properties: dict[str, object], reasons: list[str], arrivals: Arrivals
) -> None:
    bad = WHOLE.replace("1;", "2;", 1).replace("Seattle", city)
    text = "\n".join([HEADER.replace(",", ";"), WHOLE, bad, WHOLE.replace("1;", "3;", 1), ""])
    arrivals.load(text.encode(), declaring(delimiter=";", **properties))
    assert arrivals.rejects() == {2: reasons}
    assert arrivals.rows("order_id", "city") == [("1", "Seattle"), ("3", "Seattle")]


@pytest.mark.parametrize(
    ("city", "properties", "expected"),
    [
        ("'Sea;''ttle'''", {"quote": "'"}, "Sea;'ttle'"),
        ('Sea"ttle"', {"quote": "'"}, 'Sea"ttle"'),
        ('"Seattle"', {"quote": ""}, '"Seattle"'),
        ("Sea\\;tt\\\\le\\\nX", {"quote": "", "escape": "\\"}, "Sea;tt\\le\nX"),
        ("C:\\new\\table", {"quote": "", "escape": "\\"}, "C:\\new\\table"),
        ('"C:\\new;\\"x\\""', {"escape": "\\"}, 'C:\\new;"x"'),
        ('"a""b\\"c"', {"escape": "\\"}, 'a"b"c'),
        ('\\"a', {"escape": "\\"}, '"a'),
        ("Sea\nttle", {"line_end": "\r\n"}, "Sea\nttle"),
        ("Sea\nt\rtle", {"line_end": "\x1e"}, "Sea\nt\rtle"),
        ('"Sea|\nttle"', {"line_end": "|\n"}, "Sea|\nttle"),
    ],
)
def test_values_are_unescaped_by_the_dialect(
    city: str, properties: dict[str, object], expected: str, arrivals: Arrivals
) -> None:
    end = str(properties.get("line_end", "\n"))
    text = end.join([HEADER.replace(",", ";"), WHOLE, WHOLE.replace("1;", "2;", 1).replace("Seattle", city), ""])
    arrivals.load(text.encode(), declaring(delimiter=";", **properties))
    assert (arrivals.rows("city"), arrivals.rejects()) == ([("Seattle",), (expected,)], {})


# --- changed declarations -----------------------------------------------------------------------------------


def test_quarantined_rows_are_replayed_whatever_the_dialect_is_now(arrivals: Arrivals) -> None:
    """Fields are kept by name, so another delimiter does not misread them; a record without fields stays."""
    rows = [WHOLE, WHOLE.replace("1;", "2;", 1).replace("2026-03-01", "x"), "1;2;'3"]
    semicolons = declaring(delimiter=";", quote="'")
    arrivals.load("\n".join([HEADER.replace(",", ";"), *rows, ""]).encode(), semicolons)
    assert arrivals.rejects() == {2: ["type:order_date"], 3: ["quote"]}
    free = replace(LINES, columns=tuple(replace(one, null_words=("x",)) for one in LINES.columns))
    done = replay(arrivals.connection, free, CONTRACTS, RUN)
    assert [one.books.rows_in for one in done] == [1]
    assert arrivals.rejects()[3] == ["quote"]


def test_a_proposed_declaration_is_tried_on_files_that_the_present_one_rejects(arrivals: Arrivals) -> None:
    file = arrivals.land(DAY, "orders.csv", "\n".join([HEADER.replace(",", ";"), WHOLE, ""]).encode())
    proposed = declaring(delimiter=";")
    (found,) = try_contract(arrivals.connection, arrivals.bucket, LINES, proposed, CONTRACTS, [file])  # type: ignore[arg-type]
    assert (found.is_rejected_today, found.rejection, found.rows_newly_accepted) == (True, None, 1)
