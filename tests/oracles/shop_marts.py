"""The shop's marts computed a second time, in plain Python from the base tables' rows.

Written from the definitions alone: it looks neither at the SQL nor at the star's tables. Amounts are exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

from oracles.shop import ONE_DAY, STEPS, Row, Shop, Version, dim_customer, dim_product, sessions, version_at

UNKNOWN = "Unknown"


def rounded(value: Fraction, decimals: int) -> Decimal:
    """Round half away from zero."""
    scaled = abs(value) * 10**decimals
    whole = int(scaled + Fraction(1, 2))
    return Decimal(whole if value >= 0 else -whole).scaleb(-decimals)


def percent(part: Any, whole: Any, decimals: int = 4) -> Decimal | None:
    """Return `part` of `whole` in percent, or None if `whole` is zero."""
    return rounded(100 * Fraction(part) / Fraction(whole), decimals) if whole else None


def amount(rows: Iterable[Row]) -> Decimal:
    return sum((row["total_amount"] for row in rows), Decimal(0))


def pieces(rows: Iterable[Row]) -> int:
    return sum(row["quantity"] for row in rows)


def average(rows: list[Row]) -> Decimal | None:
    return rounded(Fraction(amount(rows)) / len(rows), 2) if rows else None


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def competition_ranks(values: Iterable[Any]) -> dict[Any, int]:
    """Return the rank by value: 1 plus the number of larger values."""
    found = list(values)
    return {value: 1 + sum(other > value for other in found) for value in found}


class Marts:
    """All answers about one shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.customer_versions, self.product_versions = dim_customer(shop), dim_product(shop)
        self.sales = [
            {
                **row,
                "day": shop.day_of(row["transaction_ts"]),
                "customer": version_at(self.customer_versions, row["customer_id"], row["transaction_ts"]),
                "product": version_at(self.product_versions, row["product_id"], row["transaction_ts"]),
            }
            for row in shop.transactions
        ]
        self.sessions = sessions(shop)

    def between(self, first: date | None, end: date) -> list[Row]:
        return [row for row in self.sales if (first is None or first <= row["day"]) and row["day"] < end]

    def kept(self, first: date | None, end: date) -> list[Row]:
        return [row for row in self.between(first, end) if row["status"] == "completed"]

    def expected(self, mart: str, cadence: str, start: date, end: date) -> list[Row]:
        """Return the mart's rows for a period, in its order."""
        if mart == "revenue_trend":
            return self.revenue_trend(cadence, start, end)
        rows: list[Row] = getattr(self, mart)(start, end)
        return [{cadence: start, **row} for row in rows]

    def revenue_trend(self, cadence: str, start: date, end: date) -> list[Row]:
        before = {"day": start - ONE_DAY, "week": start - 7 * ONE_DAY, "month": (start - ONE_DAY).replace(day=1)}[
            cadence
        ]
        if not self.between(before, end):
            return []
        previous, now = amount(self.kept(before, start)), self.kept(start, end)
        return [
            {
                "period": start,
                "cadence": cadence,
                "orders_count": len(now),
                "net_units": pieces(now),
                **self._revenues(start, end),
                "previous_net_revenue": previous,
                "change_pct": percent(amount(now) - previous, previous, 2),
            }
        ]

    def _revenues(self, start: date | None, end: date) -> Row:
        gross, net = amount(self.between(start, end)), amount(self.kept(start, end))
        return {"gross_revenue": gross, "returned_revenue": gross - net, "net_revenue": net}

    def daily_kpis(self, start: date, end: date) -> list[Row]:
        kept, visits = self.kept(start, end), [row for row in self.sessions if row["session_date"] == start]
        ratings = [row["rating"] for row in self.shop.reviews if row["review_date"] == start]
        if not (self.between(start, end) or visits or ratings):
            return []
        bought = sum(row["steps"] == len(STEPS) for row in visits)
        return [
            {
                "orders_count": len(kept),
                "returned_orders_count": len(self.between(start, end)) - len(kept),
                "net_units": pieces(kept),
                **self._revenues(start, end),
                "customers_count": len({row["customer_id"] for row in kept}),
                "sessions_count": len(visits),
                "signed_in_sessions_count": sum(row["customer_id"] is not None for row in visits),
                "purchase_sessions_count": bought,
                "events_count": sum(row["events"] for row in visits),
                "reviews_count": len(ratings),
                "average_order_value": average(kept),
                "conversion_pct": percent(bought, len(visits)),
                "average_rating": rounded(Fraction(sum(ratings), len(ratings)), 2) if ratings else None,
            }
        ]

    def conversion_funnel(self, start: date, end: date) -> list[Row]:
        depths = [row["steps"] for row in self.sessions if start <= row["session_date"] < end]
        counts = [sum(depth >= step for depth in depths) for step in range(len(STEPS) + 1)]
        return [
            {
                "step_number": number + 1,
                "step": ("session", *STEPS)[number],
                "sessions_count": count,
                "lost_sessions_count": counts[max(number - 1, 0)] - count,
                "share_of_sessions_pct": percent(count, len(depths)),
                "share_of_previous_step_pct": percent(count, counts[max(number - 1, 0)]),
            }
            for number, count in enumerate(counts)
            if depths
        ]

    @staticmethod
    def _last_product(rows: list[Row]) -> Version:
        """Return the product as it was when it was sold last."""
        last: Version = max(rows, key=lambda row: row["transaction_ts"])["product"]
        return last

    def _name_before(self, product: int, end: date) -> Any:
        """Return the name of a product just before a day begins."""
        last = self.shop.midnight(end) - timedelta(microseconds=1)
        return version_at(self.product_versions, product, last).attributes[0]

    def _by_category(self, start: date, end: date, measure: Callable[[list[Row]], Any]) -> list[Row]:
        found = []
        by_category = grouped(self.kept(start, end), lambda row: row["product"].attributes[1] or UNKNOWN)
        for category, of_category in sorted(by_category.items()):
            products = grouped(of_category, lambda row: row["product_id"])
            values = {product: measure(rows) for product, rows in products.items()}
            ranks = competition_ranks(values.values())
            listed = sorted((ranks[value], product) for product, value in values.items())
            found += [
                {
                    "category": category,
                    "category_rank": rank,
                    "product_id": product,
                    "product_name": self._last_product(products[product]).attributes[0],
                    "net_units": pieces(products[product]),
                    "net_revenue": amount(products[product]),
                    "category_share_pct": percent(values[product], measure(of_category)),
                }
                for rank, product in listed
                if rank <= 10
            ]
        return found

    def top_products_by_category(self, start: date, end: date) -> list[Row]:
        return self._by_category(start, end, amount)

    def best_sellers_by_category(self, start: date, end: date) -> list[Row]:
        return self._by_category(start, end, pieces)

    def top_products_30_days(self, _: date, end: date) -> list[Row]:
        products = grouped(self.kept(end - timedelta(days=30), end), lambda row: row["product_id"])
        ranks = competition_ranks(amount(rows) for rows in products.values())
        listed = sorted((ranks[amount(rows)], product) for product, rows in products.items())
        return [
            {
                "product_rank": rank,
                "product_id": product,
                "product_name": self._last_product(products[product]).attributes[0],
                "category": self._last_product(products[product]).attributes[1] or UNKNOWN,
                "net_units": pieces(products[product]),
                "net_revenue": amount(products[product]),
            }
            for rank, product in listed
            if rank <= 10
        ]

    def customer_lifetime_value(self, _: date, end: date) -> list[Row]:
        found = []
        for customer, rows in sorted(grouped(self.between(None, end), lambda row: row["customer_id"]).items()):
            kept = [row for row in rows if row["status"] == "completed"]
            days = sorted(row["day"] for row in kept)
            found.append(
                {
                    "customer_id": customer,
                    "orders_count": len(kept),
                    "returned_orders_count": len(rows) - len(kept),
                    "gross_revenue": amount(rows),
                    "returned_revenue": amount(rows) - amount(kept),
                    "net_revenue": amount(kept),
                    "first_purchase_date": days[0] if days else None,
                    "last_purchase_date": days[-1] if days else None,
                    "average_order_value": average(kept),
                }
            )
        return found

    def cohort_retention(self, start: date, end: date) -> list[Row]:
        firsts = {
            customer: min(row["day"] for row in rows).replace(day=1)
            for customer, rows in grouped(self.kept(None, end), lambda row: row["customer_id"]).items()
        }
        buyers = {row["customer_id"] for row in self.kept(start, end)}
        found = []
        for cohort in sorted(set(firsts.values())):
            members = {customer for customer, first in firsts.items() if first == cohort}
            found.append(
                {
                    "cohort_month": cohort,
                    "customers_count": len(members),
                    "retained_count": len(members & buyers),
                    "months_since": (start.year - cohort.year) * 12 + start.month - cohort.month,
                    "retention_pct": percent(len(members & buyers), len(members)),
                }
            )
        return found

    def average_order_value_by_country(self, start: date, end: date) -> list[Row]:
        kept = self.kept(start, end)
        return [
            {
                "country": country,
                "customers_count": len({row["customer_id"] for row in rows}),
                "orders_count": len(rows),
                "net_revenue": amount(rows),
                "average_order_value": average(rows),
                "revenue_share_pct": percent(amount(rows), amount(kept)),
            }
            for country, rows in sorted(grouped(kept, lambda row: row["customer"].attributes[3] or UNKNOWN).items())
        ]

    def top_buyers(self, start: date, end: date) -> list[Row]:
        kept = self.kept(start, end)
        customers = grouped(kept, lambda row: row["customer_id"])
        ranks = competition_ranks(amount(rows) for rows in customers.values())
        listed = sorted((ranks[amount(rows)], customer) for customer, rows in customers.items())
        return [
            {
                "buyer_rank": rank,
                "customer_id": customer,
                "country": max(customers[customer], key=lambda row: row["transaction_ts"])["customer"].attributes[3]
                or UNKNOWN,
                "orders_count": len(customers[customer]),
                "net_revenue": amount(customers[customer]),
                "revenue_share_pct": percent(amount(customers[customer]), amount(kept)),
                "last_purchase_date": max(row["day"] for row in customers[customer]),
            }
            for rank, customer in listed
            if rank <= 10
        ]

    def rfm_segments(self, _: date, end: date) -> list[Row]:
        customers = grouped(self.kept(None, end), lambda row: row["customer_id"])
        latest = {customer: max(row["day"] for row in rows) for customer, rows in customers.items()}
        measures: list[dict[int, Any]] = [
            {customer: day.toordinal() for customer, day in latest.items()},
            {customer: len(rows) for customer, rows in customers.items()},
            {customer: amount(rows) for customer, rows in customers.items()},
        ]
        scores = [fifths(measure) for measure in measures]
        is_degenerate = len(customers) < 5 or any(len(set(measure.values())) == 1 for measure in measures)
        return [
            {
                "customer_id": customer,
                "last_purchase_date": latest[customer],
                "recency_days": (end - ONE_DAY - latest[customer]).days,
                "orders_count": len(rows),
                "net_revenue": amount(rows),
                "recency_score": scores[0][customer],
                "frequency_score": scores[1][customer],
                "money_score": scores[2][customer],
                "is_degenerate": is_degenerate,
                "segment": segment(*(score[customer] for score in scores)),
            }
            for customer, rows in sorted(customers.items())
        ]

    def return_rate(self, start: date, end: date) -> list[Row]:
        found = []
        later = {row["day"] for row in self.sales if end + 30 * ONE_DAY <= row["day"] < end + 37 * ONE_DAY}
        by_category = grouped(self.between(start, end), lambda row: row["product"].attributes[1] or UNKNOWN)
        for category, rows in sorted(by_category.items()):
            back = [row for row in rows if row["status"] != "completed"]
            found.append(
                {
                    "category": category,
                    "units_sold": pieces(rows),
                    "units_returned": pieces(back),
                    "gross_revenue": amount(rows),
                    "returned_revenue": amount(back),
                    "is_immature": not later,
                    "return_rate_pct": percent(pieces(back), pieces(rows)),
                }
            )
        return found

    def co_purchases(self, start: date, end: date) -> list[Row]:
        first = (start - ONE_DAY).replace(day=1)
        first = (first - ONE_DAY).replace(day=1)
        by_basket = grouped(self.kept(first, end), lambda row: (row["day"], row["customer_id"]))
        baskets = [{row["product_id"] for row in rows} for rows in by_basket.values()]
        single = Counter(product for basket in baskets for product in basket)
        both = Counter(frozenset(pair) for basket in baskets for pair in combinations(basket, 2))
        recommendations: dict[int, list[tuple[Fraction, int, int]]] = defaultdict(list)
        for pair, common in both.items():
            lift = Fraction(common * len(baskets), 1)
            for product in pair:
                lift /= single[product]
            if common >= 3 and rounded(lift, 6) > 1:
                for product in pair:
                    (other,) = pair - {product}
                    recommendations[product].append((lift, other, common))
        found = []
        for product in sorted(recommendations):
            best = sorted(recommendations[product], key=lambda item: (-item[0], item[1]))
            for rank, (lift, other, common) in enumerate(best[:5], start=1):
                found.append(
                    {
                        "product_id": product,
                        "product_name": self._name_before(product, end),
                        "recommendation_rank": rank,
                        "recommended_product_id": other,
                        "recommended_product_name": self._name_before(other, end),
                        "baskets_count": single[product],
                        "recommended_baskets_count": single[other],
                        "common_baskets_count": common,
                        "support_pct": percent(common, len(baskets)),
                        "confidence_pct": percent(common, single[product]),
                        "lift": rounded(lift, 6),
                    }
                )
        return found


def fifths(measure: dict[int, Any]) -> dict[int, int]:
    """Return 1 plus the number of cut points below each value; cut points interpolate between sorted values."""
    values = sorted(measure.values())
    if len(values) < 5 or values[0] == values[-1]:
        return dict.fromkeys(measure, 3)
    cuts = []
    for fifth in range(1, 5):
        place = Fraction(fifth * (len(values) - 1), 5)
        below = values[int(place)]
        above = values[min(int(place) + 1, len(values) - 1)]
        cuts.append(Fraction(below) + (place - int(place)) * (Fraction(above) - Fraction(below)))
    return {member: 1 + sum(Fraction(value) > cut for cut in cuts) for member, value in measure.items()}


def segment(recency: int, frequency: int, money: int) -> str:
    if min(recency, frequency, money) >= 4:
        return "Champions"
    if frequency >= 3:
        return "Loyal" if recency >= 3 else "At risk"
    return ["Lost", "Lost", "Needs attention", "New", "New"][recency - 1]
