"""Headers among the rows, and the rows of a table behind the first, are distinguished from the rows of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.files.spellings import normalise
from waybill.intake.repeated_headers import RepeatedHeaders

HEADER = ["Order Id", "Order Date", "City", "Ship-Mode", "Price"]
KNOWN = {normalise(name) for name in [*HEADER, "order", "ordered on", "region"]}
ROW = ["1", "2026-03-01", "Leeds", "First Class", "9.00"]


def reasons(*records: list[str]) -> list[str | None]:
    headers = RepeatedHeaders(HEADER, KNOWN)
    return [headers.reason(record) for record in records]


@pytest.mark.parametrize(
    "repeated",
    [
        HEADER,
        ["\ufeffOrder Id", *HEADER[1:]],
        [name.upper() for name in HEADER],
        [f" {name}\u00a0" for name in HEADER],
        ["order_id", "order-date", "city", "ship.mode", "price"],
        ["orderId", "OrderDate", "City", "ShipMode", "price"],
        ["ORDERID", "ORDERDATE", "CITY", "SHIPMODE", "PRICE"],
        [*HEADER, "", ""],
    ],
)
def test_the_header_again_is_a_header_and_the_rows_after_it_are_rows(repeated: list[str]) -> None:
    assert reasons(ROW, repeated, ROW, repeated, ROW) == [None, "header", None, "header", None]


@pytest.mark.parametrize(
    "other",
    [
        [HEADER[1], HEADER[0], *HEADER[2:]],
        ["orderDate", "orderId", "shipMode"],
        HEADER[:-1],
        [*HEADER, "col1"],
        [*HEADER[:-1], "Amount"],
        ["region", "city"],
        ["Order", "Ordered on"],
    ],
    ids=str,
)
def test_after_another_header_everything_belongs_to_another_table(other: list[str]) -> None:
    found = reasons(ROW, other, ROW, ["x"], HEADER, ROW)
    assert found == [None, "header", "second_table", "second_table", "header", None]


@pytest.mark.parametrize(
    "row",
    [
        ["City"],
        ["1", "2026-03-01", "City", "Price", "9.00"],
        ["City", "City", "City", "City", "City"],
        ["Region", "City", "Price", "Order", "5"],
        ["Order Id", "2026-03-01", "City", "Region", "Price"],
        ["Total", "", "", "", "Price"],
        ["", "", "", "", ""],
    ],
    ids=str,
)
def test_a_row_with_names_of_columns_among_its_values_is_a_row(row: list[str]) -> None:
    assert reasons(row, ROW) == [None, None]


VALUES = st.one_of(st.text(max_size=8), st.sampled_from([*HEADER, "region", "order"]))


@given(st.lists(st.lists(VALUES, min_size=5, max_size=5), max_size=8))
def test_a_row_with_two_values_that_are_no_names_is_a_row(rows: list[list[str]]) -> None:
    for row in rows:
        row[1:3] = ["2026-03-01", "Leeds"]
    assert reasons(*rows) == [None] * len(rows)
