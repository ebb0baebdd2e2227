"""A file that repeats its lines is reported if the occurrence distinguishes rows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection

from support.messaging_months import RUN
from support.order_files import CONTRACTS, LINES, Line, Orders
from waybill.intake.ingest import ingest_file
from waybill.intake.repeated_lines import SHARE, describe
from waybill.settings import PROJECT_ROOT

FIELD = PROJECT_ROOT / "tests/field/23_duplicate_lines"
DAY = "2026-03-01"


@pytest.fixture
def orders(empty_connection: Connection) -> Orders:
    return Orders(empty_connection)


def warnings(orders: Orders) -> list[str]:
    rows = orders.connection.execute("select message from waybill.file_warning where kind = 'repeated'").fetchall()
    return [message for (message,) in rows]


def test_an_export_that_repeats_every_line_is_reported(orders: Orders) -> None:
    body = (FIELD / "double.csv").read_bytes()
    ingest_file(orders.connection, orders.bucket, orders.land(DAY, "double.csv", body), LINES, CONTRACTS, RUN)
    rows = len(body.splitlines()) - 1
    [message] = warnings(orders)
    assert message.startswith(f"every line occurs 2 times in the file ({rows} rows, {rows // 2} distinct lines)")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([Line(order=str(n)) for n in range(20)] * 3, "every line occurs 3 times in the file (60 rows, 20 distinct"),
        ([Line(order=str(n // 2)) for n in range(20)] * 2, "every line occurs 4 times"),
        ([*[Line(order=str(n)) for n in range(20)] * 2, Line(order="x")], "20 of 21 distinct lines occur 2 times"),
        ([Line(order=str(n)) for n in range(20)] * 2 + [Line(order="1", quantity="9")], "20 of 21 distinct lines"),
        ([Line(order=str(n), quantity=str(q)) for n in range(20) for q in (1, 2)], None),
        ([*[Line(order=str(n)) for n in range(20)], *[Line(order=str(n)) for n in range(15)]], None),
        ([Line(order=str(n)) for n in range(20)], None),
    ],
    ids=["three times", "of some that are twice", "nearly", "one differs", "two quantities", "three quarters", "once"],
)
def test_a_file_whose_lines_mostly_repeat_is_reported(lines: list[Line], expected: str | None, orders: Orders) -> None:
    books = orders.arrive(DAY, "a.csv", *lines)
    assert books
    assert (books.inserted, books.duplicate) == (len(lines), 0)
    assert [message.startswith(expected) for message in warnings(orders) if expected] == ([True] if expected else [])
    assert bool(warnings(orders)) == bool(expected)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=50))
def test_a_file_is_reported_if_and_only_if_enough_lines_occur_a_multiple_of_the_usual_times(times: list[int]) -> None:
    message = describe(Counter(times))
    usual = [one for one in sorted(set(times)) if one > 1]
    if not usual:
        assert message is None
        return
    most = max(usual, key=lambda one: (times.count(one), -one))
    alike = [one for one in times if one % most == 0]
    assert (message is not None) == (len(alike) >= SHARE * len(times))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=30), st.integers(2, 4))
def test_repeating_a_whole_file_of_different_lines_is_always_reported(times: list[int], copies: int) -> None:
    once = [1] * (10 * len(times)) + times  # nearly all lines differ
    assert describe(Counter(one * copies for one in once)) is not None
