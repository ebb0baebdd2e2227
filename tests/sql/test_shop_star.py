"""The star of the shop: every dimension and fact against a second computation, and each rule by hand."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import ClientCursor, errors

from oracles import shop as oracle_shop
from oracles.shop import ONE_DAY, STEPS, Shop, Version
from support.shop_fixtures import (
    DIMENSIONS,
    FACTS,
    INCLUDE,
    SHOP_DAYS,
    STAR,
    Period,
    ShopWarehouse,
    at,
    click,
    customer,
    day,
    product,
    question,
    random_shop,
    review,
    sale,
)

ANY = day("2026-03-01")
MARCH_DAYS = [Period("day", date(2026, 3, 1) + ONE_DAY * index) for index in range(5)]
BERLIN = "Europe/Berlin"
BOTH_ZONES = pytest.mark.parametrize("timezone", ["UTC", BERLIN])


def versions(warehouse: ShopWarehouse, name: str) -> list[Version]:
    """Return the stored versions of a dimension; infinities are read as None, and each key is checked."""
    member = name.removeprefix("dim_")
    attributes = STAR[name].names[2:-3]
    rows = warehouse.all(
        f"select {member}_key, hashtextextended({member}_id::text || '|' || (valid_from at time zone 'UTC')::text, 0), "
        f"{member}_id, {', '.join(attributes)}, nullif(valid_from, '-infinity'), nullif(valid_to, 'infinity'), "
        f"is_inferred from shop_star.{name} order by {member}_id, valid_from"
    )
    found = [Version(row[2], tuple(row[3:-3]), *row[-3:]) for row in rows]
    for version, row in zip(found, rows, strict=True):
        ((expected,),) = warehouse.all("select hashtextextended(%s, 0)", (version.key_text,))
        assert row[0] == expected
    return found


def fact(warehouse: ShopWarehouse, name: str, period: Period) -> list[dict[str, Any]]:
    """Return a day of a stored fact, with the start of each version in place of its key."""
    keys = [column for column in STAR[name].names if column.endswith("_key")]
    names = [column for column in STAR[name].names if column not in keys]
    begins = [f"nullif({key[:-4]}.valid_from, '-infinity') as {key[:-4]}_from" for key in keys]
    joins = [f"left join shop_star.dim_{key[:-4]} as {key[:-4]} using ({key})" for key in keys]
    rows = warehouse.all(
        f"select {', '.join([f'f.{column}' for column in names] + begins)} from shop_star.{name} as f "
        f"{' '.join(joins)} where f.{STAR[name].key[0]} = %s order by f.{STAR[name].key[1]}",
        (period.start,),
    )
    return [dict(zip([*names, *(f"{key[:-4]}_from" for key in keys)], row, strict=True)) for row in rows]


def dimension(warehouse: ShopWarehouse, shop: Shop, name: str) -> list[Version]:
    """Load a shop into empty tables and build one dimension, then take all back."""
    with warehouse.connection.transaction(force_rollback=True):
        warehouse.load(shop)
        warehouse.build(name, ANY)
        return versions(warehouse, name)


# Every table


def test_every_table_has_a_question_and_a_contract() -> None:
    assert sorted(path.stem for path in (INCLUDE / "sql" / "shop_star").glob("*.sql")) == sorted(STAR)
    assert sorted([*DIMENSIONS, *FACTS]) == sorted(STAR)
    assert len(DIMENSIONS) == len(FACTS) == 3


@pytest.mark.parametrize("name", STAR)
def test_table_without_any_input_is_empty(warehouse_of_shop: ShopWarehouse, name: str) -> None:
    assert warehouse_of_shop.ask(name, ANY) == []


@pytest.mark.parametrize("name", STAR)
def test_question_selects_the_columns_and_types_of_its_contract(warehouse_of_shop: ShopWarehouse, name: str) -> None:
    contract, text = question(name)
    with ClientCursor(warehouse_of_shop.connection) as cursor:
        cursor.execute("create temp table selected as " + text, ANY.parameters("UTC"))
        selected = cursor.execute(
            "select attname, replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz') "
            "from pg_attribute where attrelid = 'selected'::regclass and attnum > 0 order by attnum"
        ).fetchall()
    assert selected == [(column.name, column.physical_type) for column in contract.columns]


@BOTH_ZONES
@pytest.mark.parametrize("seed", [1, 2])
def test_star_equals_an_independent_computation(warehouse_of_shop: ShopWarehouse, seed: int, timezone: str) -> None:
    shop = random_shop(seed, timezone)
    warehouse_of_shop.load(shop)
    warehouse_of_shop.build_star(SHOP_DAYS)
    for name in ("dim_customer", "dim_product"):
        assert versions(warehouse_of_shop, name) == getattr(oracle_shop, name)(shop)
    assert warehouse_of_shop.ask("dim_date", ANY) == oracle_shop.dim_date(shop)
    rows = Counter[str]()
    for on in SHOP_DAYS:
        for name in FACTS:
            expected = getattr(oracle_shop, name)(shop, on)
            rows[name] += len(expected)
            assert fact(warehouse_of_shop, name, Period("day", on)) == expected, f"{name} of {on}"
    assert rows["fact_sales"] == len(shop.transactions)
    assert rows["fact_reviews"] == len(shop.reviews)
    assert rows["fact_sessions"] > 250


def test_star_does_not_depend_on_the_time_zone_of_the_session(warehouse_of_shop: ShopWarehouse) -> None:
    shop, on = random_shop(3, BERLIN, sales=300), date(2026, 3, 29)
    warehouse_of_shop.load(shop)
    contents = []
    for session_timezone in ("UTC", "America/New_York"):
        with warehouse_of_shop.connection.transaction(force_rollback=True):
            warehouse_of_shop.all("select set_config('timezone', %s, true)", (session_timezone,))
            warehouse_of_shop.build_star([on])
            warehouse_of_shop.all("select set_config('timezone', 'UTC', true)")
            contents.append(
                {name: sorted(warehouse_of_shop.all(f"select t::text from shop_star.{name} as t")) for name in STAR}
            )
    assert contents[0] == contents[1]
    assert all(contents[0].values())


# Type 2: customers

A, B = {"country": "DE"}, {"country": "FR"}
ANN = ("Ann", "Ann@example.com", date(2020, 1, 1))


def spans(found: list[Version]) -> list[tuple[Any, ...]]:
    return [(version.attributes[-1], version.valid_from, version.valid_to) for version in found]


def test_customer_who_changes_back_has_three_versions(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [customer(1, "2026-03-01", **A), customer(1, "2026-03-02", **B), customer(1, "2026-03-03", **A)]
    assert dimension(warehouse_of_shop, Shop(customers=rows), "dim_customer") == [
        Version(1, (*ANN, "DE"), None, at("2026-03-02")),
        Version(1, (*ANN, "FR"), at("2026-03-02"), at("2026-03-03")),
        Version(1, (*ANN, "DE"), at("2026-03-03"), None),
    ]


def test_change_that_changes_nothing_is_no_version(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [customer(1, f"2026-03-0{number}", **state) for number, state in enumerate([A, A, B, B, B], start=1)]
    assert spans(dimension(warehouse_of_shop, Shop(customers=rows), "dim_customer")) == [
        ("DE", None, at("2026-03-03")),
        ("FR", at("2026-03-03"), None),
    ]


def test_late_change_splits_the_version_that_covers_it(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [customer(1, "2026-03-01", **A), customer(1, "2026-03-09", name="Bob", **A)]
    late = customer(1, "2026-03-05", **B)
    assert spans(dimension(warehouse_of_shop, Shop(customers=[*rows, late]), "dim_customer")) == [
        ("DE", None, at("2026-03-05")),
        ("FR", at("2026-03-05"), at("2026-03-09")),
        ("DE", at("2026-03-09"), None),
    ]


def test_late_change_before_the_first_one_becomes_the_first_version(warehouse_of_shop: ShopWarehouse) -> None:
    known, late = customer(1, "2026-03-05", **A), customer(1, "2026-03-01", **B)
    assert spans(dimension(warehouse_of_shop, Shop(customers=[known]), "dim_customer")) == [("DE", None, None)]
    assert spans(dimension(warehouse_of_shop, Shop(customers=[known, late]), "dim_customer")) == [
        ("FR", None, at("2026-03-05")),
        ("DE", at("2026-03-05"), None),
    ]


def test_late_adjacent_duplicate_merges(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [customer(1, "2026-03-01", **A), customer(1, "2026-03-05", **B)]
    before = dimension(warehouse_of_shop, Shop(customers=rows), "dim_customer")
    late = customer(1, "2026-03-03", **A)
    assert dimension(warehouse_of_shop, Shop(customers=[*rows, late]), "dim_customer") == before


def test_simultaneous_changes_of_two_customers_make_separate_versions(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [customer(number, "2026-03-01", **state) for number, state in [(1, A), (2, B)]]
    assert spans(dimension(warehouse_of_shop, Shop(customers=rows), "dim_customer")) == [
        ("DE", None, None),
        ("FR", None, None),
    ]


def test_attributes_with_equal_concatenations_are_different(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [
        {**customer(1, "2026-03-01"), "name": "An", "email": "n@example.com"},
        {**customer(1, "2026-03-02"), "name": "Ann", "email": "@example.com"},
    ]
    assert len(dimension(warehouse_of_shop, Shop(customers=rows), "dim_customer")) == 2


@pytest.mark.parametrize("seen_in", ["transactions", "reviews", "clickstream"])
def test_unknown_members_are_inferred_and_keep_their_key(warehouse_of_shop: ShopWarehouse, seen_in: str) -> None:
    row = {
        "transactions": sale(1, "2026-03-01", by=7, of=8),
        "reviews": review(1, "2026-03-01", by=7, of=8),
        "clickstream": click(1, "2026-03-01", by=7, of=8),
    }[seen_in]
    shop = Shop(**{seen_in: [row]})
    for name, member, width, arriving in [
        ("dim_customer", 7, 4, Shop(customers=[customer(7, "2026-03-09")])),
        ("dim_product", 8, 5, Shop(products=[product(8, "2026-03-09")])),
    ]:
        inferred = dimension(warehouse_of_shop, shop, name)
        assert inferred == [Version(member, (None,) * width, None, None, True)]
        completed = dimension(warehouse_of_shop, Shop(**{**vars(arriving), seen_in: [row]}), name)
        assert [version.key_text for version in completed] == [inferred[0].key_text]
        assert not completed[0].is_inferred


def test_anonymous_events_infer_no_customer(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(clickstream=[click(1, "2026-03-01")])
    assert dimension(warehouse_of_shop, shop, "dim_customer") == []
    assert dimension(warehouse_of_shop, shop, "dim_product") == []


# Type 2: products


def test_a_change_of_stock_makes_no_version(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [
        product(1, "2026-03-01", "2026-03-02", stock=3),
        product(1, "2026-03-02", "2026-03-04", stock=2),
        product(1, "2026-03-04", None, stock=9),
    ]
    assert spans(dimension(warehouse_of_shop, Shop(products=rows), "dim_product")) == [(rows[0]["price"], None, None)]


def test_product_that_is_deleted_and_returns_has_two_versions(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [product(1, "2026-03-01", "2026-03-05"), product(1, "2026-03-08", None)]
    price = rows[0]["price"]
    assert spans(dimension(warehouse_of_shop, Shop(products=rows), "dim_product")) == [
        (price, None, at("2026-03-05")),
        (price, at("2026-03-08"), None),
    ]


def test_product_that_changes_back_has_three_versions(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [
        product(1, "2026-03-01", "2026-03-02", price="1.00"),
        product(1, "2026-03-02", "2026-03-03", price="2.00"),
        product(1, "2026-03-03", None, price="1.00"),
    ]
    found = dimension(warehouse_of_shop, Shop(products=rows), "dim_product")
    assert [str(version.attributes[-1]) for version in found] == ["1.00", "2.00", "1.00"]


def test_day_of_a_product_begins_at_the_business_midnight(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [product(1, "2026-03-01", "2026-03-29"), product(1, "2026-03-29", "2026-03-30", price="2.00")]
    found = dimension(warehouse_of_shop, Shop(BERLIN, products=rows), "dim_product")
    # On 29 March summer time begins, so that day has 23 hours.
    assert [span[1:] for span in spans(found)] == [
        (None, at("2026-03-28 23:00")),
        (at("2026-03-28 23:00"), at("2026-03-29 22:00")),
    ]


INSTANTS = st.integers(0, 12).map(lambda number: at("2026-03-01") + timedelta(hours=8 * number))
CUSTOMER_ROWS = st.lists(
    st.tuples(st.integers(1, 2), INSTANTS, st.sampled_from(["DE", "FR"])), max_size=8, unique_by=lambda row: row[:2]
)
DAYS = st.integers(0, 6).map(lambda number: date(2026, 3, 1) + ONE_DAY * number)
# By product the snapshot of each day: a price, or None if the product is absent.
PRODUCT_DAYS = st.lists(st.lists(st.sampled_from(["1.00", "2.00", None]), min_size=6, max_size=6), max_size=2)
SALES = st.lists(st.tuples(INSTANTS, st.integers(1, 3), st.integers(1, 3)), max_size=6)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CUSTOMER_ROWS, PRODUCT_DAYS, SALES)
def test_versions_never_overlap_and_each_sale_finds_exactly_one(
    warehouse_of_shop: ShopWarehouse,
    customer_rows: list[tuple[int, Any, str]],
    product_days: list[list[str | None]],
    sale_rows: list[tuple[Any, int, int]],
) -> None:
    shop = Shop(
        customers=[customer(number, instant, country=country) for number, instant, country in customer_rows],
        products=[
            product(number, first, first + ONE_DAY, price=price)
            for number, prices in enumerate(product_days, start=1)
            for first, price in zip([date(2026, 3, 1) + ONE_DAY * index for index in range(6)], prices, strict=True)
            if price
        ],
        transactions=[
            sale(number, instant, by=by, of=of) for number, (instant, by, of) in enumerate(sale_rows, start=1)
        ],
    )
    with warehouse_of_shop.connection.transaction(force_rollback=True):
        warehouse_of_shop.load(shop)
        for name in ("dim_customer", "dim_product"):
            warehouse_of_shop.build(name, ANY)  # the tables reject overlaps and, of facts, empty keys
        warehouse_of_shop.build(
            "fact_sales", *(Period("day", date(2026, 3, 1) + ONE_DAY * index) for index in range(5))
        )
        assert versions(warehouse_of_shop, "dim_customer") == oracle_shop.dim_customer(shop)
        assert versions(warehouse_of_shop, "dim_product") == oracle_shop.dim_product(shop)
        found = warehouse_of_shop.all(
            "select transaction_id, count(*), bool_and(transaction_ts >= c.valid_from and transaction_ts < c.valid_to) "
            "from shop_star.fact_sales as f inner join shop_star.dim_customer as c using (customer_key) "
            "inner join shop_star.dim_product as p using (product_key) "
            "where f.customer_id = c.customer_id and f.product_id = p.product_id group by 1 order by 1"
        )
    assert found == [(number, 1, True) for number in range(1, len(sale_rows) + 1)]


# Calendar


def test_calendar_covers_whole_years(warehouse_of_shop: ShopWarehouse) -> None:
    warehouse_of_shop.load(Shop(transactions=[sale(1, "2024-02-29")], reviews=[review(1, "2025-01-01")]))
    rows = warehouse_of_shop.ask("dim_date", ANY)
    assert (rows[0]["calendar_date"], rows[-1]["calendar_date"], len(rows)) == (
        date(2024, 1, 1),
        date(2025, 12, 31),
        731,
    )
    by_day = {row["calendar_date"]: row for row in rows}
    assert by_day[date(2024, 12, 30)]["iso_year"] == 2025
    assert by_day[date(2024, 12, 30)]["iso_week"] == 1
    assert by_day[date(2025, 1, 4)]["is_weekend"]


def test_calendar_sorts_instants_by_the_business_day(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(BERLIN, transactions=[sale(1, "2025-12-31 23:30")])
    warehouse_of_shop.load(shop)
    assert warehouse_of_shop.ask("dim_date", ANY)[0]["calendar_date"] == date(2026, 1, 1)


def test_calendar_covers_the_day_on_which_a_product_was_deleted(warehouse_of_shop: ShopWarehouse) -> None:
    warehouse_of_shop.load(Shop(products=[product(1, "2025-12-31", "2026-01-01")]))
    assert warehouse_of_shop.ask("dim_date", ANY)[-1]["calendar_date"] == date(2026, 12, 31)


# Facts


def build(warehouse: ShopWarehouse, shop: Shop, name: str, period: Period) -> list[dict[str, Any]]:
    with warehouse.connection.transaction(force_rollback=True):
        warehouse.load(shop)
        for one in DIMENSIONS:
            warehouse.build(one, period)
        warehouse.build(name, period)
        return fact(warehouse, name, period)


def test_sale_at_the_instant_of_a_change_has_the_new_version(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        customers=[customer(1, "2026-02-01", **A), customer(1, "2026-03-01 12:00", **B)],
        transactions=[sale(1, "2026-03-01 12:00"), sale(2, at("2026-03-01 12:00") - timedelta(microseconds=1))],
    )
    assert [row["customer_from"] for row in build(warehouse_of_shop, shop, "fact_sales", day("2026-03-01"))] == [
        at("2026-03-01 12:00"),
        None,
    ]


def test_sale_of_a_deleted_product_has_its_last_version(warehouse_of_shop: ShopWarehouse) -> None:
    rows = [
        product(1, "2026-02-01", "2026-02-10"),
        product(1, "2026-02-10", "2026-02-20", price="2.00"),
        product(1, "2026-03-05"),
    ]
    shop = Shop(products=rows, transactions=[sale(1, "2026-03-04 23:59")], reviews=[review(1, "2026-03-04")])
    for name in ("fact_sales", "fact_reviews"):
        (row,) = build(warehouse_of_shop, shop, name, day("2026-03-04"))
        assert row["product_from"] == at("2026-02-10")


def test_review_has_the_customer_as_of_the_begin_of_its_day(warehouse_of_shop: ShopWarehouse) -> None:
    changes = [customer(1, "2026-02-01", **A), customer(1, "2026-03-01", **B), customer(1, "2026-03-01 08:00", **A)]
    shop = Shop(customers=changes, reviews=[review(1, "2026-03-01")])
    (row,) = build(warehouse_of_shop, shop, "fact_reviews", day("2026-03-01"))
    assert row["customer_from"] == at("2026-03-01")


def test_sale_whose_member_has_no_version_is_rejected(warehouse_of_shop: ShopWarehouse) -> None:
    warehouse_of_shop.load(Shop(transactions=[sale(1, "2026-03-01")]))
    with pytest.raises(errors.NotNullViolation, match="customer_key"):
        warehouse_of_shop.build("fact_sales", day("2026-03-01"))


@BOTH_ZONES
def test_fact_holds_the_rows_of_its_business_day(warehouse_of_shop: ShopWarehouse, timezone: str) -> None:
    shop = Shop(timezone)
    first, end = shop.midnight(date(2026, 3, 29)), shop.midnight(date(2026, 3, 30))
    instants = [first - timedelta(microseconds=1), first, end - timedelta(microseconds=1), end]
    shop.transactions = [sale(number, instant) for number, instant in enumerate(instants)]
    shop.clickstream = [click(number, instant) for number, instant in enumerate(instants)]
    sales = build(warehouse_of_shop, shop, "fact_sales", day("2026-03-29"))
    assert [row["transaction_id"] for row in sales] == [1, 2]
    sessions = build(warehouse_of_shop, shop, "fact_sessions", day("2026-03-29"))
    assert [row["session_id"].int for row in sessions] == [1, 2]


# Sessions: the funnel


def reached(warehouse: ShopWarehouse, *events: tuple[str, str]) -> int:
    """Return the number of funnel steps of a session with these (time, event type), by default on 1 March."""
    rows = [
        click(1, ts if "-" in ts else f"2026-03-01 {ts}", kind, number=index)
        for index, (ts, kind) in enumerate(events, start=1)
    ]
    (row,) = build(warehouse, Shop(clickstream=rows), "fact_sessions", day("2026-03-01"))
    steps = [row[f"reached_{step}"] for step in STEPS]
    assert steps == sorted(steps, reverse=True)
    return sum(steps)


VIEW, CART, CHECKOUT, PURCHASE = STEPS


def test_session_passes_the_funnel_in_order(warehouse_of_shop: ShopWarehouse) -> None:
    events = [("10:00", VIEW), ("10:01", CART), ("10:02", CHECKOUT), ("10:03", PURCHASE)]
    assert [reached(warehouse_of_shop, ("09:00", "page_view"), *events[:steps]) for steps in range(5)] == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_steps_out_of_order_do_not_count(warehouse_of_shop: ShopWarehouse) -> None:
    assert reached(warehouse_of_shop, ("10:00", PURCHASE), ("10:01", CHECKOUT), ("10:02", CART), ("10:03", VIEW)) == 1
    assert reached(warehouse_of_shop, ("10:00", CART), ("10:01", VIEW), ("10:02", CHECKOUT)) == 1
    assert reached(warehouse_of_shop, ("10:00", CHECKOUT), ("10:01", VIEW), ("10:02", CART), ("10:03", PURCHASE)) == 2


def test_step_that_was_too_early_counts_when_it_is_repeated(warehouse_of_shop: ShopWarehouse) -> None:
    events = [("10:00", CART), ("10:01", VIEW), ("10:02", VIEW), ("10:03", CART), ("10:04", CART)]
    assert reached(warehouse_of_shop, *events) == 2


def test_order_of_steps_at_one_instant_is_that_of_the_funnel(warehouse_of_shop: ShopWarehouse) -> None:
    assert reached(warehouse_of_shop, *[("10:00", kind) for kind in reversed(STEPS)]) == 4


def test_session_that_continues_over_midnight_is_counted_once(warehouse_of_shop: ShopWarehouse) -> None:
    events = [("2026-03-01 23:59", VIEW), ("2026-03-02 00:00", CART), ("2026-03-02 23:59", CHECKOUT)]
    assert reached(warehouse_of_shop, *events, ("2026-03-03 00:00", PURCHASE)) == 3
    rows = [click(1, ts, kind) for ts, kind in events]
    assert build(warehouse_of_shop, Shop(clickstream=rows), "fact_sessions", day("2026-03-02")) == []


def test_session_that_returns_after_a_day_without_events_is_another_visit(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(clickstream=[click(1, "2026-03-01 10:00"), click(1, "2026-03-03 10:00")])
    for number in (1, 3):
        assert len(build(warehouse_of_shop, shop, "fact_sessions", day(f"2026-03-0{number}"))) == 1


def test_a_late_sign_in_sets_the_customer_of_the_whole_session(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        customers=[customer(7, "2026-02-01"), customer(7, "2026-03-01 10:30", name="Bob")],
        clickstream=[
            click(1, "2026-03-01 10:00", device="tablet"),
            click(1, "2026-03-01 11:00", by=7),
            click(1, "2026-03-01 12:00", by=8),
            click(1, "2026-03-01 13:00"),
            click(2, "2026-03-01 10:00"),
        ],
    )
    signed_in, anonymous = build(warehouse_of_shop, shop, "fact_sessions", day("2026-03-01"))
    assert (signed_in["customer_id"], signed_in["customer_from"], signed_in["device"]) == (7, None, "tablet")
    assert (signed_in["events"], signed_in["ended_at"]) == (4, at("2026-03-01 13:00"))
    assert (anonymous["customer_id"], anonymous["events"]) == (None, 1)
    warehouse_of_shop.load(shop)
    warehouse_of_shop.build_star([date(2026, 3, 1)])
    assert warehouse_of_shop.all("select customer_key is null from shop_star.fact_sessions order by session_id") == [
        (False,),
        (True,),
    ]


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.sampled_from([at("2026-03-01") + timedelta(hours=12 * number) for number in range(7)]),
        st.sampled_from(["page_view", *STEPS]),
        st.sampled_from([None, 1, 2]),
    ),
    max_size=14,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_funnel_is_monotone_and_no_session_is_lost(
    warehouse_of_shop: ShopWarehouse, events: list[tuple[int, Any, str, int | None]]
) -> None:
    rows = [click(session, ts, kind, by=by, number=index) for index, (session, ts, kind, by) in enumerate(events, 1)]
    shop = Shop(clickstream=rows)
    with warehouse_of_shop.connection.transaction(force_rollback=True):
        warehouse_of_shop.load(shop)
        warehouse_of_shop.build("dim_customer", ANY)
        warehouse_of_shop.build("fact_sessions", *MARCH_DAYS)
        found = [row for period in MARCH_DAYS for row in fact(warehouse_of_shop, "fact_sessions", period)]
    assert found == [row for period in MARCH_DAYS for row in oracle_shop.fact_sessions(shop, period.start)]
    assert {row["session_id"] for row in found} == {row["session_id"] for row in rows}
    for row in found:
        steps = [row[f"reached_{step}"] for step in STEPS]
        assert steps == sorted(steps, reverse=True)
        assert 1 <= row["events"] <= len(rows)
