"""The change log lists changed days, and the checkpoint the progress of a dataset."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import CUSTOMERS, MONTH, TRAFFIC, Landing, csv_body, customer_rows, traffic_rows
from support.shop_landing import Shop, day
from waybill.intake.replay import replay
from waybill.run import Run

PRODUCTS = "product_id,name,category,brand,supplier,price,stock"
DAYS = ["2026-03-01", "2026-03-02", "2026-03-05"]
SNAPSHOT = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=3, unique_by=lambda row: row[0]
)
ARRIVALS = st.lists(
    st.tuples(st.sampled_from(DAYS), st.sampled_from(["a.csv", "b.csv"]), SNAPSHOT), min_size=1, max_size=8
)


@given(ARRIVALS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_snapshot_changes_its_first_day_if_it_changes_anything(
    empty_connection: Connection, arrivals: list[tuple[str, str, list[tuple[int, int]]]]
) -> None:
    with empty_connection.transaction(force_rollback=True):
        shop = Shop(empty_connection)
        newest = datetime(2026, 1, 1, tzinfo=UTC)
        known: list[Any] = []
        for key_day, name, rows in arrivals:
            end = day(key_day).end
            as_of = f"select * from shop.products_as_of('{end}') order by 1"
            known = shop.all(as_of) if shop.all("select to_regclass('shop.products')") != [(None,)] else []
            shop.load("products", key_day, csv_body(PRODUCTS, (f"{n},P,C,B,S,{price}.00,1" for n, price in rows)), name)
            changed = [("shop.products", day(key_day).start)] if shop.all(as_of) != known else []
            assert shop.new_changes() == changed
            newest = max(newest, datetime(end.year, end.month, end.day, tzinfo=UTC))
            assert shop.all("select dataset, newest from waybill.checkpoint") == [("shop.products", newest)]


def changed_days(landing: Landing) -> list[date]:
    return landing.column(
        "select day from waybill.change where table_name = 'messaging.traffic' "
        "and change_id > (select coalesce(max(change_id), 0) from waybill.change where day = '1999-01-01') order by day"
    )


def start_anew(landing: Landing) -> None:
    landing.connection.execute(
        "insert into waybill.change (table_name, day) values ('messaging.traffic', '1999-01-01')"
    )


def test_rows_of_a_new_partition_and_late_rows_of_an_older_month_are_recorded(landing: Landing) -> None:
    """Rows that stream into a new partition, repeats among them, and late rows of an older month."""
    rows = traffic_rows(40)
    start_anew(landing)
    landing.load("traffic", csv_body(TRAFFIC, [*rows[:3], rows[1], *traffic_rows(2, first_day="2026-02-01")]))
    assert changed_days(landing) == [date(2026, 2, 1), date(2026, 2, 2), *(date(2026, 3, n) for n in (1, 2, 3))]
    file_id = landing.ledger(f"raw/messaging/traffic/month={MONTH}/part-1.csv")["file_id"]
    checkpoint = "select newest, file_id from waybill.checkpoint where dataset = 'messaging.traffic'"
    assert landing.all(checkpoint) == [(datetime(2026, 3, 3, tzinfo=UTC), file_id)]
    start_anew(landing)
    landing.load("traffic", csv_body(TRAFFIC, rows[:2]), "part-2.csv")
    assert changed_days(landing) == [], "the same rows in another file are no change"
    assert landing.all(checkpoint) == [(datetime(2026, 3, 3, tzinfo=UTC), file_id)]


def test_a_rejected_file_records_no_change(landing: Landing) -> None:
    landing.load("traffic", csv_body(TRAFFIC, traffic_rows(3)))
    before = landing.all("select * from waybill.change"), landing.all("select * from waybill.checkpoint")
    landing.reject("traffic", csv_body(TRAFFIC, ["bad"]))
    assert (landing.all("select * from waybill.change"), landing.all("select * from waybill.checkpoint")) == before


def test_rows_that_a_replay_admits_are_recorded(landing: Landing) -> None:
    late = [row.replace(",1,1,1,", ",1,10,1,", 1) for row in traffic_rows(2)]
    landing.load("traffic", csv_body(TRAFFIC, [*traffic_rows(40), *late]))
    landing.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    start_anew(landing)
    replay(landing.connection, landing.contracts["traffic"], landing.contracts, Run("replay", "abc123"))
    assert changed_days(landing) == [date(2026, 3, 1), date(2026, 3, 2)]


def test_readers_may_read_the_log(landing: Landing) -> None:
    may_read = "select has_table_privilege('waybill_reader', %s, 'select')"
    assert landing.column(may_read, ("waybill.change",)) == landing.column(may_read, ("waybill.checkpoint",)) == [True]
