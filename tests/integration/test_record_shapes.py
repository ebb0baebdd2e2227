"""Files whose records are not what they seem: what is no row is told, and the rows around it are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import Connection

from messaging_months import RUN
from order_files import CONTRACTS, HEADER, LINES, Line, Orders
from waybill.errors import DataError
from waybill.intake.ledger import Books
from waybill.intake.run import take_in_file

FIELD = Path(__file__).parents[1] / "field"
DAY = "2026-11-02"
ROW = str(Line())


class Arrivals(Orders):
    """Files of one day, what became of their records, and why files are refused."""

    def load(self, text: bytes, name: str = "orders.csv", *, strict: bool = False) -> Books:
        contract = CONTRACTS["lines"] if strict else LINES
        books = take_in_file(self.connection, self.bucket, self.land(DAY, name, text), contract, CONTRACTS, RUN)
        assert books
        return books

    def load_field(self, case: str, *, strict: bool = True) -> Books:
        return self.load((FIELD / case).read_bytes(), case.rsplit("/", 1)[1], strict=strict)

    def refuse(self, text: bytes, name: str = "orders.csv") -> str:
        with pytest.raises(DataError) as caught:
            self.load(text, name, strict=True)
        assert self.connection.execute("select count(*) from waybill.load_file").fetchone() == (0,)
        return str(caught.value)

    def refuse_field(self, case: str) -> str:
        return self.refuse((FIELD / case).read_bytes(), case.rsplit("/", 1)[1])

    def rejects(self) -> dict[int, list[str]]:
        return dict(
            self.connection.execute("select record, reasons from waybill.quarantine order by record").fetchall()
        )

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


def test_a_second_header_line_is_no_row(arrivals: Arrivals) -> None:
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


def test_concatenated_files_are_loaded_but_for_the_header_between_them(arrivals: Arrivals) -> None:
    books = arrivals.load_field("25_concatenated/cat.csv")
    assert (books.rows_in, books.inserted, arrivals.rejects()) == (61, 60, {31: ["header"]})


# --- records without values ---------------------------------------------------------------------------------


def test_records_of_commas_are_none_and_a_total_is_rejected(arrivals: Arrivals) -> None:
    books = arrivals.load_field("11_totals_and_blank_rows/totals.csv")
    assert (books.rows_in, books.inserted, books.rejected) == (41, 40, 1)
    assert "required:order_date" in arrivals.rejects()[41]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_records_of_commas_stand_anywhere(ending: str, arrivals: Arrivals) -> None:
    commas = "," * 15
    text = lines(commas, Line("1"), ",", commas, Line("2"), f'{ROW},"', commas).replace(b"\n", ending.encode())
    books = arrivals.load(commas.encode() + b"\n" + text)
    assert (books.rows_in, arrivals.orders(), arrivals.rejects()) == (3, ["1", "2"], {3: ["quote"]})


def test_records_with_more_fields_than_the_header_are_no_rows(arrivals: Arrivals) -> None:
    assert "ragged" in arrivals.refuse_field("11_totals_and_blank_rows/wide.csv")
