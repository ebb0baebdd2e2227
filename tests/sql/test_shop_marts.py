"""The marts of the shop: every one against a second computation, the definitions' edges by hand, and their checks."""

from __future__ import annotations

import operator
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import ClientCursor, sql

from oracles.shop import ONE_DAY, Row, Shop
from oracles.shop_marts import Marts
from support.shop_fixtures import (
    FIRST,
    INCLUDE,
    LAST,
    MARTS,
    SHOP_DAYS,
    STAR,
    Period,
    ShopWarehouse,
    at,
    click,
    customer,
    day,
    month,
    product,
    question,
    random_shop,
    review,
    sale,
)

BERLIN = "Europe/Berlin"
CHECKS = {check.name: (name, check) for name, contract in {**STAR, **MARTS}.items() for check in contract.checks}
OPERATORS = {"=": operator.eq, ">=": operator.ge, "<=": operator.le}
MONTHS = [month(text) for text in ("2025-11", "2025-12", "2026-01", "2026-02", "2026-03", "2026-04", "2026-05")]
DAYS = [Period("day", on) for on in (FIRST - ONE_DAY, *SHOP_DAYS, LAST + ONE_DAY)]
WEEKS = [Period("week", date(2025, 12, 8) + 7 * ONE_DAY * index) for index in range(18)]
MARCH = month("2026-03")
CENT = Decimal("0.01")


def periods(name: str) -> list[Period]:
    every = {"day": DAYS, "week": WEEKS, "month": MONTHS}
    return [period for cadence in MARTS[name].cadences for period in every[cadence]]


def days_of(shop: Shop) -> set[date]:
    days = {shop.day_of(row["transaction_ts"]) for row in shop.transactions}
    days |= {shop.day_of(row["ts"]) for row in shop.clickstream}
    return days | {row["review_date"] for row in shop.reviews}


def answer(warehouse: ShopWarehouse, shop: Shop, name: str, period: Period) -> list[Row]:
    """Return the rows of a mart over a star that is built for the days with rows, compared with the oracle."""
    with warehouse.connection.transaction(force_rollback=True):
        warehouse.load(shop)
        warehouse.build_star(days_of(shop))
        found = warehouse.ask(name, period)
    assert found == Marts(shop).expected(name, period.cadence, period.start, period.end)
    return found


def columns(rows: list[Row], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


# Every mart


def test_every_mart_has_a_question_and_a_contract() -> None:
    assert sorted(path.stem for path in (INCLUDE / "sql" / "shop").glob("*.sql")) == sorted(MARTS)
    names = Counter(path.stem for path in (INCLUDE / "contracts").glob("*_report/*.yaml"))
    assert max(names.values()) == 1
    assert len(MARTS) == 13


@pytest.mark.parametrize("name", MARTS)
def test_mart_without_any_input_is_empty(warehouse_of_shop: ShopWarehouse, name: str) -> None:
    for cadence in MARTS[name].cadences:
        assert warehouse_of_shop.ask(name, Period(cadence, date(2026, 6, 1))) == []


@pytest.mark.parametrize("name", MARTS)
def test_question_selects_the_columns_and_types_of_its_contract(warehouse_of_shop: ShopWarehouse, name: str) -> None:
    contract, text = question(name)
    with ClientCursor(warehouse_of_shop.connection) as cursor:
        cursor.execute("create temp table selected as " + text, MARCH.parameters("UTC"))
        selected = cursor.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = 'selected'::regclass and attnum > 0 order by attnum"
        ).fetchall()
    assert selected == [(column.name, column.physical_type) for column in contract.columns]


@pytest.mark.parametrize("timezone", ["UTC", BERLIN])
def test_marts_equal_an_independent_computation(warehouse_of_shop: ShopWarehouse, timezone: str) -> None:
    shop = random_shop(11, timezone)
    warehouse_of_shop.load(shop)
    warehouse_of_shop.build_star(days_of(shop))
    oracle, rows = Marts(shop), Counter[str]()
    for name in MARTS:
        for period in periods(name):
            expected = oracle.expected(name, period.cadence, period.start, period.end)
            assert warehouse_of_shop.ask(name, period) == expected, f"{name} of {period}"
            rows[name] += len(expected)
        assert rows[name] > 10


@pytest.mark.parametrize("name", MARTS)
def test_mart_reads_only_the_days_that_its_contract_names(warehouse_of_shop: ShopWarehouse, name: str) -> None:
    """Rows outside of the window are removed, and nothing changes."""
    shop, contract = random_shop(12), MARTS[name]
    warehouse_of_shop.load(shop)
    warehouse_of_shop.build_star(days_of(shop))
    for period in [period for period in periods(name) if period.start in (date(2026, 2, 1), date(2026, 2, 2))]:
        before = warehouse_of_shop.ask(name, period)
        assert before
        end = period.end + timedelta(days=contract.days_after)
        first = date.min if contract.days_before is None else period.start - timedelta(days=contract.days_before)
        with warehouse_of_shop.connection.transaction(force_rollback=True):
            for table, column in [("sales", "sale_date"), ("sessions", "session_date"), ("reviews", "review_date")]:
                warehouse_of_shop.connection.execute(
                    sql.SQL("delete from {} where {column} < %s or {column} >= %s").format(
                        sql.Identifier("shop_star", f"fact_{table}"), column=sql.Identifier(column)
                    ),
                    (first, end),
                )
            assert warehouse_of_shop.ask(name, period) == before


AMOUNTS = st.sampled_from(["5.00", "5.00", "10.00", "9.99"])
SALES = st.lists(
    st.tuples(
        st.sampled_from(["2026-02-28", "2026-03-01", "2026-03-02", "2026-03-31", "2026-04-01", "2026-05-01"]),
        AMOUNTS,
        st.integers(1, 7),
        st.integers(1, 4),
        st.integers(1, 3),
        st.sampled_from(["completed", "completed", "completed", "returned", "refunded"]),
    ),
    max_size=25,
)
SMALL_WORLD = {
    "customers": [customer(number, "2026-01-01", country=["DE", "FR"][number % 2]) for number in range(1, 7)],
    "products": [product(number, category=["Books", "Toys"][number % 2]) for number in range(1, 4)],
}
BY_SALES = [name for name in MARTS if name != "conversion_funnel"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SALES)
def test_marts_of_any_sales_equal_an_independent_computation(
    warehouse_of_shop: ShopWarehouse, rows: list[tuple[str, str, int, int, int, str]]
) -> None:
    shop = Shop(
        **SMALL_WORLD,
        transactions=[
            sale(number, on, Decimal(amount) * quantity, by=by, of=of, quantity=quantity, status=status)
            for number, (on, amount, by, of, quantity, status) in enumerate(rows, start=1)
        ],
    )
    oracle = Marts(shop)
    with warehouse_of_shop.connection.transaction(force_rollback=True):
        warehouse_of_shop.load(shop)
        for name in ("dim_customer", "dim_product"):
            warehouse_of_shop.build(name, MARCH)
        warehouse_of_shop.build("fact_sales", *{day(row[0]) for row in rows})
        for name in BY_SALES:
            cadence = MARTS[name].cadences[-1]
            period = Period(cadence, date(2026, 3, 31 if cadence == "day" else 1))
            found = warehouse_of_shop.ask(name, period)
            assert found == oracle.expected(name, cadence, period.start, period.end), name
            for row in found:
                shares = [value for column, value in row.items() if column.endswith("_pct") and column != "change_pct"]
                assert all(value is None or 0 <= value <= 100 for value in shares)
        countries = warehouse_of_shop.ask("average_order_value_by_country", MARCH)
        if countries:
            assert abs(sum(row["revenue_share_pct"] for row in countries) - 100) <= len(countries) * CENT / 100


# Revenue trend and daily numbers


def test_trend_compares_days_weeks_and_months(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        transactions=[
            sale(1, "2026-02-28", 100),
            sale(2, "2026-03-01", 40),  # a Sunday: the week of 23 February
            sale(3, "2026-03-02", 50),
            sale(4, "2026-03-02", 70, status="refunded"),
        ]
    )
    names = ("gross_revenue", "returned_revenue", "net_revenue", "previous_net_revenue", "change_pct")
    for period, expected in [
        (day("2026-03-01"), (40, 0, 40, 100, -60)),
        (day("2026-03-02"), (120, 70, 50, 40, 25)),
        (day("2026-03-03"), (0, 0, 0, 50, -100)),
        (Period("week", date(2026, 2, 23)), (140, 0, 140, 0, None)),
        (Period("week", date(2026, 3, 2)), (120, 70, 50, 140, Decimal("-64.29"))),
        (MARCH, (160, 70, 90, 100, -10)),
    ]:
        assert columns(answer(warehouse_of_shop, shop, "revenue_trend", period), *names) == [expected]
    assert answer(warehouse_of_shop, shop, "revenue_trend", day("2026-03-04")) == []


def test_trend_of_a_month_after_a_long_one_compares_with_all_of_it(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(transactions=[sale(1, "2025-12-31", 7), sale(2, "2026-01-01", 100), sale(3, "2026-02-01", 50)])
    (row,) = answer(warehouse_of_shop, shop, "revenue_trend", month("2026-02"))
    assert (row["net_revenue"], row["previous_net_revenue"]) == (50, 100)


def test_day_with_only_a_session_or_a_review_has_its_numbers(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        clickstream=[click(1, "2026-03-01 10:00")], reviews=[review(1, "2026-03-02", 4), review(2, "2026-03-02")]
    )
    (session,) = answer(warehouse_of_shop, shop, "daily_kpis", day("2026-03-01"))
    assert (session["net_revenue"], session["average_order_value"], session["conversion_pct"]) == (0, None, 0)
    (reviews,) = answer(warehouse_of_shop, shop, "daily_kpis", day("2026-03-02"))
    assert (reviews["conversion_pct"], reviews["average_rating"], reviews["events_count"]) == (None, Decimal("4.5"), 0)


# Funnel


def test_funnel_of_sessions(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(clickstream=[click(number, "2026-03-01 10:00") for number in range(1, 5)])
    shop.clickstream += [click(number, "2026-03-01 10:01", "product_view") for number in range(1, 4)]
    shop.clickstream += [click(1, "2026-03-02 00:00", "add_to_cart"), click(4, "2026-03-01 10:02", "purchase")]
    rows = answer(warehouse_of_shop, shop, "conversion_funnel", day("2026-03-01"))
    assert columns(rows, "step", "sessions_count", "lost_sessions_count", "share_of_sessions_pct") == [
        ("session", 4, 0, 100),
        ("product_view", 3, 1, 75),
        ("add_to_cart", 1, 2, 25),
        ("checkout", 0, 1, 0),
        ("purchase", 0, 0, 0),
    ]
    assert [row["share_of_previous_step_pct"] for row in rows] == [100, 75, Decimal("33.3333"), 0, None]
    assert answer(warehouse_of_shop, shop, "conversion_funnel", day("2026-03-02")) == []


# Products


def test_products_keep_ties_at_rank_10_and_skip_ranks_after_a_tie(warehouse_of_shop: ShopWarehouse) -> None:
    amounts = [100, 90, 80, 80, 80, 50, 40, 30, 20, 10, 10, 10, 9]
    sales = [sale(number, "2026-03-05", value, of=14 - number) for number, value in enumerate(amounts, start=1)]
    shop = Shop(products=[product(number) for number in range(1, 14)], transactions=sales)
    expected = [(1, 13), (2, 12), (3, 9), (3, 10), (3, 11), (6, 8), (7, 7), (8, 6), (9, 5), (10, 2), (10, 3), (10, 4)]
    rows = answer(warehouse_of_shop, shop, "top_products_by_category", MARCH)
    assert columns(rows, "category_rank", "product_id") == expected
    rows = answer(warehouse_of_shop, shop, "top_products_30_days", day("2026-03-05"))
    assert columns(rows, "product_rank", "product_id") == expected
    rows = answer(warehouse_of_shop, shop, "best_sellers_by_category", MARCH)
    assert columns(rows, "category_rank", "product_id") == [(1, number) for number in range(1, 14)]


def test_thirty_days_are_thirty(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(transactions=[sale(1, "2026-02-01", 1), sale(2, "2026-03-02 23:59:59", 20), sale(3, "2026-03-03", 300)])
    for on, revenue in [("2026-03-02", 21), ("2026-03-03", 320), ("2026-04-01", 300), ("2026-03-01", 1)]:
        rows = answer(warehouse_of_shop, shop, "top_products_30_days", day(on))
        assert [row["net_revenue"] for row in rows] == [revenue]


def test_product_that_moved_counts_where_it_was_and_has_its_last_name(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        products=[
            product(1, "2026-01-01", "2026-03-10", category="Books", name="Old"),
            product(1, "2026-03-10", "2026-03-20", category="Toys", name="New"),
            product(1, "2026-03-20", None, category="Books", name="Newest"),
        ],
        transactions=[
            sale(1, "2026-03-09 23:59", 10),
            sale(2, "2026-03-10 00:00", 20),
            sale(3, "2026-03-25", 30, quantity=3),
            sale(4, "2026-03-25", 7, of=2),
            sale(5, "2026-03-26", 1000, status="returned"),
        ],
    )
    rows = answer(warehouse_of_shop, shop, "top_products_by_category", MARCH)
    assert columns(rows, "category", "product_id", "product_name", "net_revenue", "net_units") == [
        ("Books", 1, "Newest", 40, 4),
        ("Toys", 1, "New", 20, 1),
        ("Unknown", 2, None, 7, 1),
    ]
    rows = answer(warehouse_of_shop, shop, "top_products_30_days", day("2026-03-24"))
    assert columns(rows, "product_name", "category", "net_revenue") == [("New", "Toys", 30)]


# Customers


def test_lifetime_value_of_one_purchase_and_of_only_refunds(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        transactions=[
            sale(1, "2026-01-31", "19.99", by=1),
            sale(2, "2026-02-01", 50, by=2, status="refunded"),
            sale(3, "2026-02-02", 30, by=2, status="returned"),
            sale(4, "2026-03-01", 10, by=3),
            sale(5, "2026-03-31", 5, by=3),
            sale(6, "2026-03-15", 99, by=3, status="returned"),
            sale(7, "2026-04-01", 1000, by=1),
            sale(8, "2026-04-01", 1000, by=4),
        ]
    )
    rows = answer(warehouse_of_shop, shop, "customer_lifetime_value", MARCH)
    assert [tuple(row.values())[1:] for row in rows] == [
        (1, 1, 0, *map(Decimal, ("19.99", "0", "19.99")), date(2026, 1, 31), date(2026, 1, 31), Decimal("19.99")),
        (2, 0, 2, 80, 80, 0, None, None, None),
        (3, 2, 1, 114, 99, 15, date(2026, 3, 1), date(2026, 3, 31), Decimal("7.50")),
    ]
    assert [
        row["customer_id"] for row in answer(warehouse_of_shop, shop, "customer_lifetime_value", month("2026-01"))
    ] == [1]


def test_a_cohort_is_of_the_first_purchase_that_was_kept_and_retained_by_any_in_the_month(
    warehouse_of_shop: ShopWarehouse,
) -> None:
    shop = Shop(
        transactions=[
            sale(1, "2025-12-31", 10, by=1),
            sale(2, "2026-03-31", 10, by=1),
            sale(3, "2026-01-01", 10, by=2),
            sale(4, "2026-02-01", 10, by=2),
            sale(5, "2025-12-01", 10, by=3, status="returned"),
            sale(6, "2026-03-01", 10, by=3),
            sale(7, "2025-12-15", 10, by=4),
            sale(8, "2026-03-15", 10, by=4, status="refunded"),
            sale(9, "2026-04-01", 10, by=4),
        ]
    )
    rows = answer(warehouse_of_shop, shop, "cohort_retention", MARCH)
    assert [tuple(row.values())[1:] for row in rows] == [
        (date(2025, 12, 1), 2, 1, 3, Decimal(50)),
        (date(2026, 1, 1), 1, 0, 2, Decimal(0)),
        (date(2026, 3, 1), 1, 1, 0, Decimal(100)),
    ]


def test_average_order_value_counts_the_country_of_the_time(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        customers=[customer(1, "2026-01-01", country="DE"), customer(1, "2026-03-10", country="AT")],
        transactions=[
            sale(1, "2026-03-09", 10),
            sale(2, "2026-03-09", "10.01"),
            sale(3, "2026-03-10", 20),
            sale(4, "2026-03-11", 40, by=9),
            sale(5, "2026-03-11", 500, status="refunded"),
        ],
    )
    rows = answer(warehouse_of_shop, shop, "average_order_value_by_country", MARCH)
    assert columns(rows, "country", "customers_count", "orders_count", "average_order_value") == [
        ("AT", 1, 1, 20),
        ("DE", 1, 2, Decimal("10.01")),  # 10.005
        ("Unknown", 1, 1, 40),
    ]


def test_top_buyers_keep_ties_at_rank_10(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(transactions=[sale(number, "2026-03-05", max(100 - number, 90), by=number) for number in range(1, 13)])
    shop.customers = [customer(1, "2026-03-05", country="DE"), customer(1, "2026-03-06", country="FR")]
    shop.transactions += [sale(20, "2026-03-31 12:00", 1), sale(21, "2026-04-01", 9), sale(22, "2026-02-28", 9)]
    rows = answer(warehouse_of_shop, shop, "top_buyers", MARCH)
    assert columns(rows, "buyer_rank", "customer_id") == [
        *((number, number) for number in range(1, 10)),
        *((10, number) for number in range(10, 13)),
    ]
    assert columns(rows[:2], "country", "net_revenue", "last_purchase_date") == [
        ("FR", 100, date(2026, 3, 31)),
        ("Unknown", 98, date(2026, 3, 5)),
    ]


def rfm(warehouse: ShopWarehouse, sales: list[Row]) -> list[tuple[Any, ...]]:
    rows = answer(warehouse, Shop(transactions=sales), "rfm_segments", MARCH)
    return columns(rows, "customer_id", "recency_score", "frequency_score", "money_score", "segment", "is_degenerate")


def test_rfm_of_a_single_customer_is_degenerate(warehouse_of_shop: ShopWarehouse) -> None:
    assert rfm(warehouse_of_shop, [sale(1, "2026-03-01")]) == [(1, 3, 3, 3, "Loyal", True)]


def test_rfm_of_four_customers_is_degenerate(warehouse_of_shop: ShopWarehouse) -> None:
    sales = [sale(by, f"2026-03-0{by}", by, by=by) for by in range(1, 5)]
    assert rfm(warehouse_of_shop, [*sales, sale(9, "2026-03-09", 9)]) == [
        (by, 3, 3, 3, "Loyal", True) for by in range(1, 5)
    ]


def test_rfm_leaves_out_later_sales_and_returned_sales(warehouse_of_shop: ShopWarehouse) -> None:
    sales = [
        sale(1, "2026-03-01", by=1),
        sale(2, "2026-04-01", by=1),
        sale(3, "2026-04-01", by=2),
        sale(4, "2026-03-02", by=3, status="refunded"),
        sale(5, "2026-03-02", by=1, status="returned"),
    ]
    rows = answer(warehouse_of_shop, Shop(transactions=sales), "rfm_segments", MARCH)
    assert columns(rows, "customer_id", "orders_count", "recency_days") == [(1, 1, 30)]


def test_rfm_of_five_has_every_score_and_the_latest_is_best(warehouse_of_shop: ShopWarehouse) -> None:
    sales = []
    for by in range(1, 6):
        sales += [sale(10 * by + number, f"2026-03-0{by}", by, by=by) for number in range(by)]
    assert rfm(warehouse_of_shop, sales) == [
        (1, 1, 1, 1, "Lost", False),
        (2, 2, 2, 2, "Lost", False),
        (3, 3, 3, 3, "Loyal", False),
        (4, 4, 4, 4, "Champions", False),
        (5, 5, 5, 5, "Champions", False),
    ]


def test_rfm_of_equal_values_is_equal(warehouse_of_shop: ShopWarehouse) -> None:
    # Four of six bought last on the same day: 5 r / 5 with r = 0, 1, 2, 2, 2, 2. Frequency is the same for all.
    days = ["2026-03-01", "2026-03-02"] + ["2026-03-03"] * 4
    sales = [sale(by, on, 7 if by < 3 else 5, by=by) for by, on in enumerate(days, start=1)]
    assert rfm(warehouse_of_shop, sales) == [
        (1, 1, 3, 4, "At risk", True),
        (2, 1, 3, 4, "At risk", True),
        *((by, 2, 3, 1, "At risk", True) for by in range(3, 7)),
    ]


@pytest.mark.parametrize(
    ("on", "orders", "amount", "segment"),
    [
        ("2026-03-20", 1, 1, "New"),
        ("2026-03-20", 9, 1, "Loyal"),
        ("2026-03-20", 9, 1000, "Champions"),
        ("2026-01-01", 9, 1, "At risk"),
        ("2026-01-01", 1, 1, "Lost"),
        ("2026-03-04", 1, 1, "Needs attention"),
    ],
)
def test_rfm_segment_of_the_sixth_customer(
    warehouse_of_shop: ShopWarehouse, on: str, orders: int, amount: int, segment: str
) -> None:
    sales = []
    for by in range(1, 6):
        sales += [sale(100 * by + number, f"2026-03-0{by}", 10 * by, by=by) for number in range(by)]
    sales += [sale(1000 + number, on, amount, by=6) for number in range(orders)]
    assert rfm(warehouse_of_shop, sales)[-1][4] == segment


# Returns


def test_return_rate_counts_pieces_of_whole_sales(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        products=[product(1), product(2, category="Toys")],
        transactions=[
            sale(1, "2026-03-01", 10, quantity=3),
            sale(2, "2026-03-02", 20, quantity=1, status="returned"),
            sale(3, "2026-03-31", 30, quantity=2, status="refunded"),
            sale(4, "2026-03-31", 5, of=2),
            sale(5, "2026-04-01", 9, quantity=9, status="returned"),
            sale(6, "2026-03-05", 8, of=3, status="returned"),
        ],
    )
    rows = answer(warehouse_of_shop, shop, "return_rate", MARCH)
    assert columns(rows, "category", "units_sold", "units_returned", "return_rate_pct", "returned_revenue") == [
        ("Books", 6, 3, 50, 50),
        ("Toys", 1, 0, 0, 0),
        ("Unknown", 1, 1, 100, 8),
    ]


@pytest.mark.parametrize(
    ("later", "is_immature"),
    [
        (None, True),
        ("2026-04-30 23:59", True),
        ("2026-05-01", False),
        ("2026-05-07 23:59", False),
        ("2026-05-08", True),
    ],
)
def test_cohort_is_immature_for_thirty_days(
    warehouse_of_shop: ShopWarehouse, later: str | None, is_immature: bool
) -> None:
    shop = Shop(transactions=[sale(1, "2026-03-31"), *([sale(2, later)] if later else [])])
    (row,) = answer(warehouse_of_shop, shop, "return_rate", MARCH)
    assert row["is_immature"] is is_immature


# Recommendations


def baskets(*products: str, status: str = "completed", first: int = 1) -> list[Row]:
    """Return a basket of a separate customer for each text, such as `112`: product 1 twice and product 2."""
    return [
        sale(100 * by + number, at("2026-03-05") + timedelta(hours=number), by=by, of=int(one), status=status)
        for by, basket in enumerate(products, start=first)
        for number, one in enumerate(basket)
    ]


def lifts(warehouse: ShopWarehouse, sales: list[Row], timezone: str = "UTC") -> list[tuple[Any, ...]]:
    rows = answer(warehouse, Shop(timezone, transactions=sales), "co_purchases", MARCH)
    return columns(rows, "product_id", "recommendation_rank", "recommended_product_id", "lift")


def test_lift_is_the_same_both_ways_and_counts_baskets_once(warehouse_of_shop: ShopWarehouse) -> None:
    sales = baskets("112", "12", "21", "1", "3", "3")
    # P(1, 2) = 3/6, P(1) = 4/6, P(2) = 3/6
    assert lifts(warehouse_of_shop, sales) == [(1, 1, 2, Decimal("1.5")), (2, 1, 1, Decimal("1.5"))]


def test_recommended_products_have_their_names_of_the_end_of_the_month(warehouse_of_shop: ShopWarehouse) -> None:
    shop = Shop(
        "America/New_York",
        products=[
            product(1, "2026-01-01", "2026-03-31", name="Old"),
            product(1, "2026-03-31", "2026-04-01", name="Of March"),
            product(1, "2026-04-01", name="Of April"),
        ],
        transactions=baskets("12", "12", "12", "3"),
    )
    rows = answer(warehouse_of_shop, shop, "co_purchases", MARCH)
    found = columns(rows, "product_id", "product_name", "recommended_product_id", "recommended_product_name")
    assert found == [(1, "Of March", 2, None), (2, None, 1, "Of March")], "no file describes product 2"


def test_pair_needs_three_baskets_and_a_lift_above_one(warehouse_of_shop: ShopWarehouse) -> None:
    assert lifts(warehouse_of_shop, baskets("12", "12", "3")) == []
    assert lifts(warehouse_of_shop, baskets("12", "12", "12")) == []  # lift 1: all baskets are alike


def test_a_returned_sale_is_in_no_basket(warehouse_of_shop: ShopWarehouse) -> None:
    sales = baskets("12", "12", "3", "3")
    assert lifts(warehouse_of_shop, sales + baskets("12", status="returned", first=50)) == []
    assert len(lifts(warehouse_of_shop, sales + baskets("12", first=50))) == 2


def test_equal_lifts_come_in_the_order_of_product_ids(warehouse_of_shop: ShopWarehouse) -> None:
    rows = lifts(warehouse_of_shop, baskets(*["1234567"] * 3, "8", "8"))
    of_one = [row[2] for row in rows if row[0] == 1]
    assert of_one == [2, 3, 4, 5, 6]  # the five best of six that are equal
    assert {row[3] for row in rows} == {Decimal("1.666667")}


def test_basket_is_of_one_customer_and_one_business_day(warehouse_of_shop: ShopWarehouse) -> None:
    sales = baskets("3", "3")
    for by in range(10, 13):
        sales += [sale(1000 + by, "2026-03-05 22:30", by=by, of=1), sale(2000 + by, "2026-03-05 23:30", by=by, of=2)]
    assert len(lifts(warehouse_of_shop, sales)) == 2
    assert lifts(warehouse_of_shop, sales, BERLIN) == []  # there midnight lies between the two


def test_baskets_of_the_month_and_the_two_before_count(warehouse_of_shop: ShopWarehouse) -> None:
    sales = [
        sale(10 * by + of, on, by=by, of=of)
        for by, on in enumerate(["2026-01-01", "2026-02-10", "2026-03-31"], start=1)
        for of in (1, 2)
    ] + [sale(100, "2026-03-01", of=3, by=9)]
    assert len(lifts(warehouse_of_shop, sales)) == 2
    for early_or_late in ("2025-12-31", "2026-04-01"):
        moved = [sale(row["transaction_id"], early_or_late, by=1, of=row["product_id"]) for row in sales[:2]]
        assert lifts(warehouse_of_shop, moved + sales[2:]) == []


# Checks


def fill(warehouse: ShopWarehouse) -> None:
    """Build all tables of a shop without unknown members and odd values for its March or its 5 March."""
    shop = Shop(
        customers=[customer(number, "2026-01-01", country=["DE", "FR"][number % 2]) for number in range(1, 31)],
        products=[
            *(product(number, "2026-01-01", "2026-02-01", category="Books") for number in range(1, 16)),
            *(product(number, "2026-02-01", category=["Books", "Toys"][number % 2]) for number in range(1, 16)),
        ],
    )
    number = 0
    for by in range(1, 31):
        for of in range(by % 3 + 1, 16, 3):
            number += 1
            status = "returned" if number % 10 == 0 else "completed"
            on = f"2026-03-{5 if by < 20 else by - 10:02} 12:00"
            shop.transactions.append(sale(number, on, 10 * of, by=by, of=of, quantity=of, status=status))
    shop.transactions += [sale(900, "2026-03-04", 500), sale(901, "2026-05-02")]
    for session in range(1, 9):
        steps = ["page_view", "product_view", "add_to_cart", "checkout", "purchase"][: session // 2 + 1]
        shop.clickstream += [
            click(session, f"2026-03-05 10:0{index}", step, by=session) for index, step in enumerate(steps)
        ]
        shop.clickstream.append(click(session, "2026-03-05 11:00", by=session))
    shop.reviews = [review(number, "2026-03-05", by=number, of=number) for number in range(1, 6)]
    warehouse.load(shop)
    warehouse.build_star(days_of(shop))
    for name in MARTS:
        warehouse.build(name, of_checks(name))


def of_checks(name: str) -> Period:
    """Return the period of the checks."""
    cadences = {**STAR, **MARTS}[name].cadences
    return day("2026-03-05") if "day" in cadences or not cadences else MARCH


def passes(warehouse: ShopWarehouse, name: str) -> bool:
    table, check = CHECKS[name]
    assert check.query
    ((observed,),) = warehouse.all(check.query, of_checks(table).parameters("UTC"))
    return observed is not None and bool(OPERATORS[check.operator](observed, check.threshold))


def test_checks_pass_on_tables_that_are_right(warehouse_of_shop: ShopWarehouse) -> None:
    fill(warehouse_of_shop)
    for name, contract in {**STAR, **MARTS}.items():
        query = sql.SQL("select from {}").format(sql.Identifier(contract.domain, name))
        assert warehouse_of_shop.connection.execute(query).fetchone() is not None, name
    assert [name for name in CHECKS if not passes(warehouse_of_shop, name)] == []


def test_checks_pass_without_any_rows(warehouse_of_shop: ShopWarehouse) -> None:
    assert [name for name in CHECKS if not passes(warehouse_of_shop, name)] == []


@pytest.mark.parametrize("name", MARTS)
def test_mart_has_two_to_four_checks_and_one_that_stops(name: str) -> None:
    checks = MARTS[name].checks
    assert 2 <= len(checks) <= 4
    assert {check.severity for check in checks} == {"error", "warning"}


SPOILERS = {
    "average_order_value_by_country_contradictions": "update {} set average_order_value = average_order_value + 0.02",
    "average_order_value_by_country_revenue_difference": "delete from {} where country = 'DE'",
    "average_order_value_by_country_unknown_pct": "update {} set country = 'Unknown' where country = 'DE'",
    "best_sellers_by_category_ranks_wrong": "update {} set category_rank = category_rank + 1 where category = 'Toys'",
    "best_sellers_by_category_unknown_pct": "update {} set category = 'Unknown' where category = 'Toys'",
    "best_sellers_by_category_wrong": "delete from {} where category = 'Toys' and category_rank = 1",
    "co_purchases_asymmetric": "update {} set lift = lift + 1 where product_id < recommended_product_id",
    "co_purchases_contradictions": "update {} set common_baskets_count = baskets_count + 1",
    "co_purchases_weak_pct": "update {} set common_baskets_count = 3",
    "cohort_retention_contradictions": "update {} set retained_count = customers_count + 1",
    "cohort_retention_customers_difference": "delete from {} where months_since = 0",
    "cohort_retention_returning_pct": "update {} set months_since = 1, retained_count = 0",
    "conversion_funnel_dead_steps":
        "update {} set sessions_count = case when step_number < 5 then 1000 else 0 end",
    "conversion_funnel_rising": "update {} set sessions_count = 9 where step = 'purchase'",
    "conversion_funnel_sessions_difference": "delete from {} where step_number = 1",
    "customer_lifetime_value_contradictions": "update {} set last_purchase_date = first_purchase_date - 1",
    "customer_lifetime_value_only_returns_pct": "update {} set orders_count = 0 where customer_id > 10",
    "customer_lifetime_value_revenue_difference": "update {} set net_revenue = 0.01 where customer_id = 1",
    "daily_kpis_contradictions": "update {} set events_count = 0",
    "daily_kpis_returned_pct": "update {} set returned_orders_count = 1000",
    "daily_kpis_revenue_difference": "delete from {}",
    "daily_kpis_sessions_difference": "update {} set sessions_count = sessions_count - 1",
    "dim_customer_gaps": "update {} set valid_to = '2026-06-01' where customer_id = 1",
    "dim_customer_inferred_pct": "update {} set is_inferred = true where customer_id < 4",
    "dim_date_contradictions": "update {} set is_weekend = not is_weekend where calendar_date = '2026-03-05'",
    "dim_date_missing": "delete from {} where calendar_date = '2026-12-31'",
    "dim_product_inferred_pct": "update {} set is_inferred = true",
    "dim_product_overlaps": "update {} set valid_to = valid_from where product_id = 1 and valid_from > '-infinity'",
    "fact_reviews_inferred_pct": "update shop_star.dim_product set is_inferred = true",
    "fact_reviews_rows_difference": "delete from {} where review_id = 1",
    "fact_sales_amount_difference": "update {} set total_amount = total_amount + 0.01",
    "fact_sales_inferred_pct": "update shop_star.dim_customer set is_inferred = true",
    "fact_sales_rows_difference": "delete from {} where transaction_id = 1",
    "fact_sessions_contradictions": "update {} set customer_key = null",
    "fact_sessions_rows_difference": "delete from {}",
    "fact_sessions_single_event_pct": "update {} set events = 1",
    "return_rate_contradictions": "update {} set units_returned = 0",
    "return_rate_largest_pct": "update {} set return_rate_pct = 50",
    "return_rate_units_difference": "update {} set units_sold = units_sold + 1 where category = 'Toys'",
    "revenue_trend_change_pct": "update {} set change_pct = -81",
    "revenue_trend_contradictions": "update {} set returned_revenue = returned_revenue + 1",
    "revenue_trend_revenue_difference": "update {} set net_revenue = net_revenue + 1",
    "rfm_segments_customers_difference": "delete from {} where customer_id = 30",
    "rfm_segments_disordered": "update {} set money_score = 6 - money_score",
    "rfm_segments_lost_pct": "update {} set segment = 'Lost'",
    "top_buyers_largest_share_pct": "update {} set revenue_share_pct = 51 where buyer_rank = 1",
    "top_buyers_ranks_wrong": "update {} set buyer_rank = buyer_rank + 1",
    "top_buyers_wrong": "delete from {} where buyer_rank = 1",
    "top_products_30_days_ranks_wrong": "update {} set product_rank = product_rank + 1",
    "top_products_30_days_unknown_pct": "update {} set category = 'Unknown' where category = 'Toys'",
    "top_products_30_days_wrong": "delete from {} where product_rank = 1",
    "top_products_by_category_ranks_wrong": "update {} set category_rank = category_rank + 1 where category = 'Toys'",
    "top_products_by_category_unknown_pct": "update {} set category = 'Unknown' where category = 'Toys'",
    "top_products_by_category_wrong": "delete from {} where category = 'Toys' and category_rank = 1",
}  # fmt: skip


def test_every_check_fails_on_a_table_that_is_wrong(warehouse_of_shop: ShopWarehouse) -> None:
    assert SPOILERS.keys() == CHECKS.keys()
    fill(warehouse_of_shop)
    blind = []
    for name, (table, _) in CHECKS.items():
        relation = sql.Identifier({**STAR, **MARTS}[table].domain, table)
        with warehouse_of_shop.connection.transaction(force_rollback=True):
            warehouse_of_shop.connection.execute(sql.SQL(SPOILERS[name]).format(relation))
            if passes(warehouse_of_shop, name):
                blind.append(name)
    assert blind == []
