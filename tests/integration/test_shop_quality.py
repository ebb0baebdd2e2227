"""The quality checks of the shop equal counts in plain Python, as known at the end of each day."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pytest
from psycopg import Connection

from support.landing import csv_body
from support.messaging_months import RUN
from support.shop_landing import LAYOUTS, SHOP, Shop, day
from waybill.checks.quality import check_datasets, evaluate
from waybill.contracts import Check
from waybill.errors import DataError
from waybill.settings import settings

SALES, CUSTOMERS, REVIEWS = (LAYOUTS[name].header for name in ("transactions", "customers", "reviews"))
PRODUCTS = "product_id,name,category,brand,supplier,price,stock"
FIRST = date(2026, 3, 20)
DAYS = [FIRST + timedelta(days=n) for n in range(14)]  # summer time ends in Sydney on April 5th, and begins on the way
Sale = tuple[datetime, int, int, int, Decimal]
"""(instant, customer, product, quantity, amount)"""


@pytest.fixture(params=["UTC", "Australia/Sydney"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    """The business time zone."""
    monkeypatch.setenv("WAYBILL_TIMEZONE", request.param)
    settings.cache_clear()
    yield ZoneInfo(request.param)
    settings.cache_clear()


def observed(shop: Shop, dataset: str, key_day: str) -> dict[str, tuple[Decimal | None, bool]]:
    """Return (number, whether it passed) by check."""
    results = evaluate(shop.connection, SHOP[dataset], day(key_day))
    return {result.check.name: (result.observed, result.passed) for result in results}


def rounded(value: Decimal | float) -> Decimal:
    return Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP)


def expected(sales: dict[int, Sale], of_day: date, zone: ZoneInfo) -> dict[str, Decimal]:
    """Return the expected numbers of the checks of the transactions for the known sales."""
    by_day: dict[date, list[Sale]] = {}
    for sale in sales.values():
        by_day.setdefault(sale[0].astimezone(zone).date(), []).append(sale)
    today = by_day.get(of_day, [])
    week = [len(by_day[d]) for n in range(1, 8) if (d := of_day - timedelta(days=n)) in by_day]
    means = {d: statistics.mean(sale[4] for sale in found) for d, found in by_day.items()}
    past = [means[d] for n in range(1, 29) if (d := of_day - timedelta(days=n)) in means]
    deviations = Decimal(0)
    if today and len(past) >= 7 and (deviation := statistics.stdev(past)):
        deviations = abs(means[of_day] - statistics.mean(past)) / deviation
    newest = max(sale[0] for sale in sales.values())
    end = datetime.combine(of_day + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)
    share = Decimal(100) / max(len(today), 1)
    return {
        "transactions_present": Decimal(len(today)),
        "transactions_rows_pct": rounded(100 * len(today) / statistics.mean(week)) if week else Decimal(100),
        "transactions_repeated_pct": share * (len(today) - len({(s[1], s[2], s[3], s[0]) for s in today})),
        "transactions_unknown_customers_pct": share * sum(sale[1] > 2 for sale in today),
        "transactions_unknown_products_pct": share * sum(sale[2] > 3 for sale in today),
        "transactions_mean_total_amount_deviations": deviations,
        "transactions_freshness": Decimal((end - newest).total_seconds()) / 3600,
    }


def test_checks_of_transactions_agree_with_python(empty_connection: Connection, zone: ZoneInfo) -> None:
    shop, draw = Shop(empty_connection), random.Random(7)
    at = "2026-03-19T12:00:00Z"
    customers = (f"{n},N,a@b.c,2020-01-31,DE,{at}" for n in (1, 2))
    shop.load("customers", "2026-03-20", csv_body(CUSTOMERS, customers))
    products = (f"{n},P,C,B,S,1.00,1" for n in (1, 2, 3))
    shop.load("products", "2026-03-20", csv_body(PRODUCTS, products))
    known: dict[int, Sale] = {}
    history: dict[date, dict[str, tuple[Decimal | None, bool]]] = {}
    for number, of_day in enumerate(DAYS):
        end = datetime.combine(of_day + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)
        lines = []
        for _ in range(0 if number == 9 else draw.randint(3, 30)):
            quantity, price = draw.randint(1, 3), Decimal(draw.randint(1, 9999)) / 100
            hours = draw.choice([1, 2, 23, 30, 100])
            sale = (end - timedelta(hours=hours), draw.randint(1, 3), draw.randint(1, 4), quantity, quantity * price)
            key = draw.randint(1, 500)
            if str(key) in {line.split(",")[0] for line in lines}:
                continue
            known[key] = sale
            lines.append(f"{key},{sale[1]},{sale[2]},{quantity},{price},{sale[4]},{sale[0].isoformat()},completed,card")
        shop.load("transactions", of_day.isoformat(), csv_body(SALES, lines))
        found = observed(shop, "transactions", of_day.isoformat())
        for name, number_expected in expected(known, of_day, zone).items():
            value, _ = found[name]
            assert value is not None
            assert abs(value - number_expected) <= Decimal("0.0051"), (of_day, name)
        assert found.keys() == expected(known, of_day, zone).keys()
        first = observed(shop, "transactions", FIRST.isoformat())
        assert first == history.setdefault(FIRST, first), "later files change nothing"


def test_a_day_without_sales_stops_and_an_odd_one_warns(empty_connection: Connection) -> None:
    shop = Shop(empty_connection)
    shop.load("customers", "2026-03-01", csv_body(CUSTOMERS, []))
    shop.load("products", "2026-03-01", csv_body(PRODUCTS, ["1,P,C,B,S,1.00,1"]))
    for number in range(1, 9):
        at = datetime(2026, 3, number, 23, tzinfo=UTC)
        rows = [(100 * number + n, at + timedelta(seconds=n), 1 + (n < 5 + number % 2)) for n in range(10)]
        shop.load_rows("transactions", f"2026-03-{number:02d}", rows)
    found = observed(shop, "transactions", "2026-03-01")
    assert found["transactions_rows_pct"] == (100, True), "there are no former days"
    assert found["transactions_unknown_customers_pct"] == (100, False)
    shop.load_rows("transactions", "2026-03-09", [(900, datetime(2026, 3, 9, 12, tzinfo=UTC), 9)])
    found = observed(shop, "transactions", "2026-03-09")
    assert found["transactions_rows_pct"] == (10, False)
    assert not found["transactions_mean_total_amount_deviations"][1]
    assert found["transactions_freshness"] == (12, True)
    results = check_datasets(shop.connection, [SHOP["transactions"]], [day("2026-03-09")], RUN)
    assert {result.check.severity for result in results if not result.passed} == {"warning"}
    with pytest.raises(DataError, match=r"shop.transactions 2026-03-10: transactions_present is 0, must be > 0"):
        check_datasets(shop.connection, [SHOP["transactions"]], [day("2026-03-10")], RUN)
    freshness = "check_name = 'transactions_freshness' and period = '2026-03-10'"
    assert shop.all(f"select observed, passed from waybill.check_result where {freshness}") == [(36, False)]
    fewer = replace(SHOP["transactions"], checks=SHOP["transactions"].checks[1:2])
    check_datasets(shop.connection, [fewer], [day("2026-03-10")], RUN)
    kept = shop.all("select check_name from waybill.check_result where period = '2026-03-10'")
    assert kept == [(fewer.checks[0].name,)], "results of checks that the contract no longer has are deleted"
    assert shop.all("select count(*) > 1 from waybill.check_result where period = '2026-03-09'") == [(True,)]


def test_metrics_of_the_library_count_the_rows_of_the_period(empty_connection: Connection) -> None:
    shop = Shop(empty_connection)
    rows = ["1,1,1,5,,2026-03-02", "2,1,1,4,x,2026-03-02", "3,1,2,4,x,2026-03-02", "4,1,2,4,,2026-03-01"]
    shop.load("reviews", "2026-03-02", csv_body(REVIEWS, rows))

    def number(dataset: str, **options: object) -> Decimal | None:
        check = replace(Check("x", "", None, ">", 0, "error"), **options)  # type: ignore[arg-type]
        [result] = evaluate(shop.connection, replace(SHOP[dataset], checks=(check,)), day("2026-03-02"))
        return result.observed

    assert number("reviews", metric="rowCount") == 3
    assert number("reviews", metric="nullValues", columns=("review_text",)) == 1
    assert number("reviews", metric="nullValues", columns=("review_text",), is_percent=True) == Decimal("33.3333")
    assert number("reviews", metric="duplicateValues", columns=("rating",)) == 1
    assert number("reviews", metric="duplicateValues", columns=("review_text",)) == 1
    assert number("reviews", metric="duplicateValues", columns=("rating", "customer_id")) == 0
    assert number("reviews", metric="duplicateValues", columns=("rating", "product_id", "review_text")) == 1
    shop.load("reviews", "2026-03-03", csv_body(REVIEWS, ["1,1,1,5,late,2026-03-02"]))
    assert number("reviews", metric="nullValues", columns=("review_text",)) == 1, "as known at the period's end"

    products = ["1,P,C,B,S,1.00,1", "2,P,C,B,S,1.00,1", "3,Q,C,B,S,1.00,1"]
    shop.load("products", "2026-03-01", csv_body(PRODUCTS, products))
    assert number("products") == 3
    share = number("products", metric="duplicateValues", columns=("name", "brand"), is_percent=True)
    assert share == Decimal("33.3333")


def test_a_dataset_of_which_no_file_came_has_no_rows(empty_connection: Connection) -> None:
    with pytest.raises(DataError, match=r"shop.transactions 2026-03-10: transactions_present is 0, must be > 0"):
        check_datasets(empty_connection, SHOP.values(), [day("2026-03-10")], RUN)


@pytest.mark.parametrize("dataset", SHOP)
def test_every_check_returns_a_number_or_null_without_rows(dataset: str, empty_connection: Connection) -> None:
    shop = Shop(empty_connection)
    shop.load("products", "2026-03-02", csv_body(PRODUCTS, ["1,P,C,B,S,1.00,1"]))
    for name in ("customers", "transactions", "clickstream", "reviews"):
        shop.load(name, "2026-03-02", b"[]", "a.json")
    results = evaluate(shop.connection, SHOP[dataset], day("2026-03-02"))
    assert results
    nothing_known = {result.check.name for result in results if result.observed is None}
    assert nothing_known == ({f"{dataset}_freshness"} if dataset != "products" else set())
