"""The shop's feature views: each against a second computation, without knowledge of the future, and their checks."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import ClientCursor, sql

from oracles.shop import ONE_DAY, Row, Shop
from oracles.shop_features import Features
from support.shop_fixtures import (
    FEATURES,
    FIRST,
    INCLUDE,
    LAST,
    SHOP_DAYS,
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
from waybill.checks.quality import query_of

CHECKS = {
    check.name: (name, check)
    for name, contract in FEATURES.items()
    for check in contract.checks
    if check.metric != "drift"
}
OPERATORS = {"=": operator.eq, ">=": operator.ge, "<=": operator.le}
DAYS = [FIRST - ONE_DAY, *SHOP_DAYS[::6], LAST, *(LAST + timedelta(days=later) for later in (1, 2, 30, 31, 89, 90, 91))]


def days_of(shop: Shop) -> set[date]:
    days = {shop.day_of(row["transaction_ts"]) for row in shop.transactions}
    days |= {shop.day_of(row["ts"]) for row in shop.clickstream}
    return days | {row["review_date"] for row in shop.reviews}


def answer(warehouse: ShopWarehouse, shop: Shop, name: str, on: str) -> list[Row]:
    """Return the rows of a view over a star that is built for the days with rows, compared with the oracle."""
    with warehouse.connection.transaction(force_rollback=True):
        warehouse.load(shop)
        warehouse.build_star(days_of(shop))
        found = warehouse.ask(name, day(on))
    assert found == Features(shop).expected(name, day(on).start)
    return found


def columns(rows: Iterable[Row], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


# Every view


def test_every_view_has_a_question_and_a_contract() -> None:
    assert sorted(path.stem for path in (INCLUDE / "sql" / "shop_feature").glob("*.sql")) == sorted(FEATURES)
    assert len(FEATURES) == 4


@pytest.mark.parametrize("name", FEATURES)
def test_question_selects_the_columns_and_types_of_its_contract(warehouse_of_shop: ShopWarehouse, name: str) -> None:
    contract, text = question(name)
    assert warehouse_of_shop.ask(name, day("2026-06-01")) == []
    with ClientCursor(warehouse_of_shop.connection) as cursor:
        cursor.execute("create temp table selected as " + text, day("2026-03-05").parameters("UTC"))
        selected = cursor.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = 'selected'::regclass and attnum > 0 order by attnum"
        ).fetchall()
    kinds = {"timestamp with time zone": "timestamptz"}
    assert [(name, kinds.get(kind, kind)) for name, kind in selected] == [
        (column.name, column.physical_type) for column in contract.columns
    ]


@pytest.mark.parametrize("name", FEATURES)
def test_contract_describes_every_feature(name: str) -> None:
    contract = FEATURES[name]
    assert all(column.business_name and column.description for column in contract.columns)
    assert {check.severity for check in contract.checks if check.metric != "drift"} == {"error", "warning"}
    for column in contract.columns:
        if column.logical_type in ("integer", "number"):
            assert column.options.keys() & {"minimum", "exclusiveMinimum"}, column.name


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin"])
def test_features_equal_an_independent_computation(warehouse_of_shop: ShopWarehouse, timezone: str) -> None:
    shop = random_shop(21, timezone)
    warehouse_of_shop.load(shop)
    warehouse_of_shop.build_star(days_of(shop))
    oracle = Features(shop)
    for name in FEATURES:
        rows = 0
        for on in DAYS:
            expected = oracle.expected(name, on)
            assert warehouse_of_shop.ask(name, Period("day", on)) == expected, f"{name} of {on}"
            rows += len(expected)
        assert rows > 100


def until(shop: Shop, end: date) -> Shop:
    """Return the shop as it is before a day begins."""
    return Shop(
        shop.timezone,
        [row for row in shop.customers if row["updated_at"] < shop.midnight(end)],
        [row for row in shop.products if row["valid_from"] < end],
        [row for row in shop.transactions if row["transaction_ts"] < shop.midnight(end)],
        [row for row in shop.clickstream if row["ts"] < shop.midnight(end)],
        [row for row in shop.reviews if row["review_date"] < end],
    )


@pytest.mark.parametrize("on", ["2026-01-31", "2026-03-28"])
def test_row_of_a_day_does_not_know_the_next_day(warehouse_of_shop: ShopWarehouse, on: str) -> None:
    """What happens after the day, such as the rest of a session over midnight, changes nothing."""
    shop, found = random_shop(22, "Europe/Berlin"), []
    for world in (shop, until(shop, day(on).end)):
        with warehouse_of_shop.connection.transaction(force_rollback=True):
            warehouse_of_shop.load(world)
            warehouse_of_shop.build_star(days_of(world))
            found.append({name: warehouse_of_shop.ask(name, day(on)) for name in FEATURES})
    assert found[0] == found[1]
    assert all(found[0].values())


def test_view_reads_only_the_days_that_its_contract_names(warehouse_of_shop: ShopWarehouse) -> None:
    """Rows outside of the window are removed, and nothing changes."""
    shop, on = random_shop(23), day("2026-04-01")
    warehouse_of_shop.load(shop)
    warehouse_of_shop.build_star(days_of(shop))
    for name, contract in FEATURES.items():
        before = warehouse_of_shop.ask(name, on)
        assert before
        assert contract.days_before
        with warehouse_of_shop.connection.transaction(force_rollback=True):
            for table, column in [("sales", "sale_date"), ("sessions", "session_date"), ("reviews", "review_date")]:
                warehouse_of_shop.connection.execute(
                    sql.SQL("delete from {} where {column} < %s or {column} >= %s").format(
                        sql.Identifier("shop_star", f"fact_{table}"), column=sql.Identifier(column)
                    ),
                    (on.start - timedelta(days=contract.days_before), on.end),
                )
            assert warehouse_of_shop.ask(name, on) == before, name


SALES = st.lists(
    st.tuples(
        st.sampled_from(["2025-12-31", "2026-01-01", "2026-03-02", "2026-03-03", "2026-03-25", "2026-03-31"]),
        st.sampled_from(["5.00", "9.99"]),
        st.integers(1, 4),
        st.integers(1, 4),
        st.integers(1, 3),
        st.sampled_from(["completed", "completed", "completed", "returned", "refunded"]),
    ),
    max_size=25,
)
REVIEWS = st.lists(
    st.tuples(st.sampled_from(["2025-12-31", "2026-01-01", "2026-03-31"]), st.integers(1, 5), st.integers(1, 6)),
    max_size=5,
)
PRICES = st.lists(st.sampled_from(["5.00", "7.77", "10.00", None]), min_size=3, max_size=3)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SALES, REVIEWS, PRICES)
def test_features_of_any_sales_equal_an_independent_computation(
    warehouse_of_shop: ShopWarehouse,
    sales: list[tuple[str, str, int, int, int, str]],
    reviews: list[tuple[str, int, int]],
    prices: list[str | None],
) -> None:
    spans = [("2026-01-01", "2026-03-01"), ("2026-03-01", "2026-03-31"), ("2026-03-31", None)]
    priced = [(span, price) for span, price in zip(spans, prices, strict=True) if price]
    shop = Shop(
        customers=[customer(number, "2026-01-01") for number in range(1, 5)],
        products=[
            *(product(2, *span, price=price, category="Toys") for span, price in priced),
            *(product(number, category=["Books", "Toys"][number % 2]) for number in (1, 3)),
        ],
        transactions=[
            sale(number, on, Decimal(amount) * quantity, by=by, of=of, quantity=quantity, status=status)
            for number, (on, amount, by, of, quantity, status) in enumerate(sales, start=1)
        ],
        reviews=[review(number, on, rating, by=by, of=by) for number, (on, rating, by) in enumerate(reviews, start=1)],
    )
    oracle = Features(shop)
    with warehouse_of_shop.connection.transaction(force_rollback=True):
        warehouse_of_shop.load(shop)
        for name in ("dim_customer", "dim_product"):
            warehouse_of_shop.build(name, day("2026-03-31"))
        for name in ("fact_sales", "fact_reviews"):
            warehouse_of_shop.build(name, *(Period("day", on) for on in days_of(shop)))
        for name in FEATURES:
            assert warehouse_of_shop.ask(name, day("2026-03-31")) == oracle.expected(name, date(2026, 3, 31)), name


# By hand


def test_customers_who_only_returned_or_reviewed_have_no_orders(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        transactions=[sale(1, "2026-03-05", 10, by=1, status="returned")], reviews=[review(1, "2026-01-01", 4, by=2)]
    )
    names = ("customer_id", "days_since_order", "orders_90_days", "spend_90_days", "return_share_90_days_pct")
    rows = answer(warehouse_of_shop, shop, "customer_orders_v1", "2026-03-31")
    assert columns(rows, *names) == [(1, None, 0, 0, 100), (2, None, 0, 0, None)]
    assert columns(rows, "preferred_category", "mean_rating_90_days") == [(None, None), (None, 4)]
    (row,) = answer(warehouse_of_shop, shop, "customer_orders_v1", "2026-04-01")
    assert row["customer_id"] == 1


def test_windows_of_a_customer(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        customers=[customer(1, "2025-01-01")],
        products=[product(1, category="Toys"), product(2, category="Books"), product(3, category="Books")],
        transactions=[
            sale(1, "2026-01-01 00:00", 100),  # the first of ninety days
            sale(2, "2026-03-02 00:00", 20, of=2),
            sale(3, "2026-03-25 23:59:59", 80, of=3),
            sale(4, "2026-03-31 23:59:59", "0.5", of=9),
            sale(5, "2026-04-01 00:00", 7000),
        ],
    )
    (row,) = answer(warehouse_of_shop, shop, "customer_orders_v1", "2026-03-31")
    assert [row[f"orders_{days}_days"] for days in (7, 30, 90)] == [2, 3, 4]
    assert [row[f"spend_{days}_days"] for days in (7, 30, 90)] == [Decimal("80.5"), Decimal("100.5"), Decimal("200.5")]
    assert (row["days_since_order"], row["days_between_orders"]) == (0, Decimal("29.67"))
    assert row["preferred_category"] == "Books"  # ties with toys
    assert row["event_ts"] == at("2026-04-01")


def test_product_sold_before_its_first_file_has_no_category(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        customers=[customer(1, "2025-01-01")],
        products=[
            product(1, "2026-03-11", category="Toys"),
            product(2, "2026-03-01", "2026-03-10", category="Books"),
            product(2, "2026-03-10", category="Games"),
        ],
        transactions=[
            sale(1, "2026-03-10", 100),
            sale(2, "2026-03-09", 20, of=2),
            sale(3, "2026-03-10", 5, of=2),
        ],
    )
    for on in ("2026-03-10", "2026-03-12"):  # the second one knows the file of March 11
        (row,) = answer(warehouse_of_shop, shop, "customer_orders_v1", on)
        assert row["preferred_category"] == "Books"


def test_session_over_midnight_counts_from_the_day_on_which_it_is_over(warehouse_of_shop: ShopWarehouse) -> None:
    steps = [
        ("2026-03-05 23:50", "product_view", None),
        ("2026-03-06 00:05", "add_to_cart", None),
        ("2026-03-06 00:06", "checkout", 1),
        ("2026-03-06 00:07", "purchase", 1),
    ]
    shop = Shop(clickstream=[click(1, ts, step, by=by, device="tablet") for ts, step, by in steps])
    assert answer(warehouse_of_shop, shop, "customer_sessions_v1", "2026-03-05") == []
    (row,) = answer(warehouse_of_shop, shop, "customer_sessions_v1", "2026-03-06")
    assert (row["days_since_session"], row["sessions_7_days"], row["conversion_30_days_pct"]) == (1, 1, 100)
    assert (row["last_device"], row["events_per_session_30_days"]) == ("tablet", 4)
    (row,) = answer(warehouse_of_shop, shop, "customer_sessions_v1", "2026-04-04")
    assert (row["days_since_session"], row["sessions_7_days"], row["sessions_30_days"]) == (30, 0, 1)
    assert answer(warehouse_of_shop, shop, "customer_sessions_v1", "2026-04-05") == []


def test_price_changes_with_the_file_of_the_day(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        products=[
            product(1, "2026-02-01", "2026-03-10", price="10.00"),
            product(1, "2026-03-10", "2026-03-20", price="7.50"),
            product(1, "2026-04-10", None, price="15.00"),
        ],
        transactions=[
            sale(1, "2026-03-09", 60, quantity=6),
            sale(2, "2026-03-09", 30, quantity=3, status="refunded"),
            sale(3, "2026-03-09", 30, quantity=3, status="returned"),
        ],
    )
    names = ("price", "price_change_30_days_pct", "units_per_day_7_days", "units_per_day_30_days")
    for on, *expected in [
        ("2026-03-09", 10, 0, Decimal("0.8571"), Decimal("0.2")),
        ("2026-03-10", Decimal("7.5"), -25, Decimal("0.8571"), Decimal("0.2")),
        ("2026-03-20", None, None, 0, Decimal("0.2")),
        ("2026-04-07", None, None, 0, Decimal("0.2")),
    ]:
        rows = answer(warehouse_of_shop, shop, "product_sales_v1", on)
        assert columns(rows, *names) == [tuple(expected)]
        assert columns(rows, "return_rate_30_days_pct", "mean_rating_30_days") == [(50, None)]
    assert answer(warehouse_of_shop, shop, "product_sales_v1", "2026-04-08") == []


def test_neighbour_needs_three_baskets_and_the_rarer_one_goes_first(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(transactions=[sale(number, "2026-03-05", by=number, of=1) for number in (1, 2, 3, 4)])
    for customer_id in (1, 2, 3):
        shop.transactions += [sale(10 + customer_id, "2026-03-05", by=customer_id, of=2)]
        shop.transactions += [sale(20 + customer_id, "2026-03-05 13:00", by=customer_id, of=3)]
    shop.transactions += [sale(30, "2026-03-06", by=9, of=2), sale(31, "2026-03-05", by=1, of=4)]
    rows = answer(warehouse_of_shop, shop, "product_neighbours_v1", "2026-03-06")
    names = ("product_id", "baskets_30_days", "neighbour_product_id", "common_baskets_30_days", "lift_30_days")
    assert columns(rows, *names) == [
        (1, 4, 3, 3, Decimal("1.25")),  # 3 * 5 / (4 * 3); the product 2 is in four baskets
        (2, 4, 3, 3, Decimal("1.25")),
        (3, 3, 1, 3, Decimal("1.25")),
        (4, 1, None, 0, None),
    ]


# Checks


def passes(warehouse: ShopWarehouse, name: str) -> bool:
    table, check = CHECKS[name]
    query = query_of(FEATURES[table], check)
    ((observed,),) = warehouse.connection.execute(query, day("2026-03-31").parameters("UTC")).fetchall()
    return observed is not None and bool(OPERATORS[check.operator](observed, check.threshold))


def fill(warehouse: ShopWarehouse) -> None:
    """Insert inputs that give every view rows, and the views of the day."""
    customers = range(1, 9)
    shop = Shop(
        customers=[customer(number, "2026-01-01") for number in customers],
        products=[product(number) for number in range(1, 5)],
    )
    for number in customers:
        shop.transactions += [
            sale(10 * number + of, f"2026-03-{28 + number % 4} 12:00", by=number, of=of) for of in range(1, 5)
        ]
        shop.clickstream += [
            click(number, f"2026-03-30 10:{minute}", step, by=number)
            for minute, step in [("10", "product_view"), ("20", "add_to_cart"), ("30", "checkout")]
        ]
    warehouse.load(shop)
    warehouse.build_star(days_of(shop))
    for name in FEATURES:
        warehouse.build(name, day("2026-03-31"))


def test_checks_pass_on_views_that_are_right_and_without_any_rows(warehouse_of_shop: ShopWarehouse) -> None:
    assert [name for name in CHECKS if not passes(warehouse_of_shop, name)] == []
    fill(warehouse_of_shop)
    for name in FEATURES:
        query = sql.SQL("select from {}").format(sql.Identifier("shop_feature", name))
        assert warehouse_of_shop.connection.execute(query).fetchone() is not None, name
    assert [name for name in CHECKS if not passes(warehouse_of_shop, name)] == []


SPOILERS = {
    "customer_orders_v1_contradictions": "update {} set orders_7_days = orders_90_days + 1",
    "customer_orders_v1_customers_difference": "delete from {} where customer_id = 1",
    "customer_orders_v1_days_since_order_null_pct": "update {} set days_since_order = null",
    "customer_orders_v1_input_age_days": "delete from shop_star.fact_sales where sale_date > '2026-03-29'",
    "customer_orders_v1_preferred_category_null_pct": "update {} set preferred_category = null where customer_id < 6",
    "customer_orders_v1_spend_difference": "update {} set spend_90_days = spend_90_days + 0.01",
    "customer_sessions_v1_contradictions": "update {} set conversion_30_days_pct = 100, cart_share_30_days_pct = 99",
    "customer_sessions_v1_customers_difference": "delete from {} where customer_id = 1",
    "customer_sessions_v1_input_age_days": "update shop_star.fact_sessions set session_date = '2026-03-28'",
    "customer_sessions_v1_sessions_difference": "update {} set sessions_30_days = sessions_30_days + 1",
    "customer_sessions_v1_signed_in_pct":
        "update shop_star.fact_sessions set customer_id = null, customer_key = null",
    "product_neighbours_v1_contradictions": "update {} set neighbour_product_id = product_id",
    "product_neighbours_v1_input_age_days": "delete from shop_star.fact_sales where sale_date > '2026-03-29'",
    "product_neighbours_v1_neighbour_product_id_null_pct": "update {} set neighbour_product_id = null",
    "product_neighbours_v1_products_difference": "delete from {} where product_id = 1",
    "product_sales_v1_input_age_days": "delete from shop_star.fact_sales where sale_date > '2026-03-29'",
    "product_sales_v1_price_null_pct": "update {} set price = null where product_id = 1",
    "product_sales_v1_price_outliers": "update {} set price_change_30_days_pct = 401 where product_id = 1",
    "product_sales_v1_products_difference": "delete from {} where product_id = 1",
    "product_sales_v1_units_difference": "update {} set units_per_day_30_days = units_per_day_30_days + 0.001",
}  # fmt: skip


def test_every_check_fails_on_a_view_that_is_wrong(warehouse_of_shop: ShopWarehouse) -> None:
    assert SPOILERS.keys() == CHECKS.keys()
    fill(warehouse_of_shop)
    blind = []
    for name, (table, _) in CHECKS.items():
        with warehouse_of_shop.connection.transaction(force_rollback=True):
            warehouse_of_shop.connection.execute(sql.SQL(SPOILERS[name]).format(sql.Identifier("shop_feature", table)))
            if passes(warehouse_of_shop, name):
                blind.append(name)
    assert blind == []
