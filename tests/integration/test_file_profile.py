"""The profiles of loaded files against PostgreSQL's own aggregates over the rows of the files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import Connection

from support.landing import csv_body
from support.messaging_months import RUN
from support.shop_landing import LAYOUTS, Shop
from waybill.intake.replay import replay

DAY = "2026-03-02"


@pytest.fixture
def shop(empty_connection: Connection) -> Iterator[Shop]:
    return Shop(empty_connection)


def profiles(shop: Shop, column: str) -> list[dict[str, Any]]:
    """Return the profiles of a column of transactions, in the order of loading."""
    cursor = shop.connection.execute(
        "select p.*, f.status from waybill.file_profile as p inner join waybill.load_file as f using (file_id) "
        "where column_name = %s and dataset = 'shop.transactions' order by file_id",
        (column,),
    )
    names = [one.name for one in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def a_line(number: int, chosen: random.Random) -> str:
    at = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=chosen.randrange(86_400))
    quantity, cents = chosen.randint(1, 5), chosen.randint(1, 10**6)
    status, paid = chosen.choice(["completed", "returned"]), chosen.choice(["card", "cash", "voucher"])
    amount = f"{cents / 100:.2f},{quantity * cents / 100:.2f}"
    return f"{number},{chosen.randint(1, 40)},{chosen.randint(1, 9)},{quantity},{amount},{at:%FT%TZ},{status},{paid}"


def test_a_profile_equals_the_aggregates_of_the_loaded_rows(shop: Shop) -> None:
    chosen = random.Random(16)
    lines = [a_line(number, chosen) for number in range(1, 2001)]
    rejected = [line.replace("completed", "lost") for line in lines if "completed" in line][:7]
    shop.load("transactions", DAY, csv_body(LAYOUTS["transactions"].header, [*rejected, *lines[7:]]))
    for column, is_number in (("price", True), ("quantity", True), ("status", False), ("transaction_ts", False)):
        [found] = profiles(shop, column)
        expected = shop.all(
            f"select count(*), count(distinct {column}), min({column})::text, max({column})::text, "
            + (
                f"avg({column})::float8, percentile_cont(0.25) within group (order by {column}), "
                f"percentile_cont(0.5) within group (order by {column}), "
                f"percentile_cont(0.75) within group (order by {column})"
                if is_number
                else f"null, null, null, avg(length({column}::text)) filter (where '{column}' = 'status')::float8"
            )
            + " from shop.transactions"
        )[0]
        assert (found["rows"], found["distinct_values"]) == expected[:2]
        assert (found["nulls"], found["is_sampled"]) == (0, False)
        if is_number:
            assert (found["minimum"], found["maximum"]) == expected[2:4]
            assert [found[name] for name in ("mean", "quartile_1", "median", "quartile_3")] == pytest.approx(
                expected[4:]
            )
        if column == "status":
            assert found["mean_length"] == pytest.approx(expected[7])
    [(top, share)] = shop.all(
        "select payment_method, 1.0 * count(*) / sum(count(*)) over () from shop.transactions "
        "group by 1 order by count(*) desc limit 1"
    )
    [found] = profiles(shop, "payment_method")
    assert found["top_values"][0] == [top, pytest.approx(float(share), abs=1e-6)]


def test_a_replay_leaves_the_profile_and_a_new_version_replaces_it(shop: Shop) -> None:
    lines = [a_line(number, random.Random(number)) for number in range(1, 11)]
    late = "11,1,1,1,1.00,1.00,2026-01-01T00:00:00Z,completed,card"
    header = LAYOUTS["transactions"].header
    shop.load("transactions", DAY, csv_body(header, [*lines, late]))
    replayed = replay(shop.connection, shop.contracts["transactions"], shop.contracts, RUN, admit_late=True)
    assert [one.books.inserted for one in replayed] == [1]
    assert [one["rows"] for one in profiles(shop, "price")] == [10]
    shop.load("transactions", DAY, csv_body(header, lines[:4]))
    assert [(one["rows"], one["status"]) for one in profiles(shop, "price")] == [(4, "loaded")]
    shop.withdraw("transactions", DAY, "part-1.csv")
    assert profiles(shop, "price") == []


def test_a_rejected_file_leaves_no_profile(shop: Shop) -> None:
    from waybill.errors import DataError

    with pytest.raises(DataError):
        shop.load("transactions", DAY, b"nothing,known\n1,2\n")
    assert shop.all("select from waybill.file_profile") == []
