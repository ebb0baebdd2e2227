"""The shop's feature views computed a second time, in plain Python from the base tables' rows.

Written from the definitions alone: it looks neither at the SQL nor at the star's tables. Amounts are exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, pairwise

from oracles.shop import ONE_DAY, STEPS, Row, Shop
from oracles.shop_marts import Marts, amount, grouped, percent, pieces, rounded


def mean(values: list[int], decimals: int = 2) -> Decimal | None:
    return rounded(Fraction(sum(values), len(values)), decimals) if values else None


class Features:
    """The rows of all feature views of one shop, by day."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.marts = shop, Marts(shop)

    def expected(self, view: str, day: date) -> list[Row]:
        """Return the rows of a view for a day, in its order."""
        views: dict[str, Callable[[date], list[Row]]] = {
            "customer_orders_v1": self.customer_orders,
            "customer_sessions_v1": self.customer_sessions,
            "product_sales_v1": self.product_sales,
            "product_neighbours_v1": self.product_neighbours,
        }
        held = {"day": day, "event_ts": self.shop.midnight(day + ONE_DAY)}
        return [held | row for row in views[view](day)]

    def _last(self, days: int, day: date) -> list[Row]:
        return self.marts.between(day - timedelta(days=days - 1), day + ONE_DAY)

    def _kept(self, days: int, day: date) -> list[Row]:
        return [row for row in self._last(days, day) if row["status"] == "completed"]

    def _ratings(self, days: int, day: date, member: str) -> dict[int, list[int]]:
        found = defaultdict(list)
        for row in self.shop.reviews:
            if timedelta(0) <= day - row["review_date"] < timedelta(days=days):
                found[row[member]].append(row["rating"])
        return dict(found)

    def customer_orders(self, day: date) -> list[Row]:
        ratings = self._ratings(90, day, "customer_id")
        sales = grouped(self._last(90, day), lambda row: row["customer_id"])
        found = []
        for customer in sorted(ratings.keys() | sales.keys()):
            of_customer = sales.get(customer, [])
            orders = {
                days: [row for row in self._kept(days, day) if row["customer_id"] == customer] for days in (7, 30, 90)
            }
            on = sorted({row["day"] for row in orders[90]})
            gaps = [(later - earlier).days for earlier, later in pairwise(on)]
            spend: Counter[str] = Counter()
            for row in orders[90]:
                if category := self._product(row["product_id"], row["day"]).get("category"):
                    spend[category] += row["total_amount"]
            found.append(
                {
                    "customer_id": customer,
                    "days_since_order": (day - on[-1]).days if on else None,
                    "days_between_orders": mean(gaps),
                    **{f"orders_{days}_days": len(rows) for days, rows in orders.items()},
                    **{f"spend_{days}_days": amount(rows) for days, rows in orders.items()},
                    "return_share_90_days_pct": percent(len(of_customer) - len(orders[90]), len(of_customer)),
                    "preferred_category": min(spend, key=lambda one: (-spend[one], one)) if spend else None,
                    "mean_rating_90_days": mean(ratings.get(customer, [])),
                }
            )
        return found

    def customer_sessions(self, day: date) -> list[Row]:
        """Sessions are cut after the day that follows their first one, so those of earlier days are complete."""
        before = [row for row in self.marts.sessions if 1 <= (day - row["session_date"]).days <= 30]
        found = []
        by_customer = grouped(before, lambda row: row["customer_id"] or 0)
        for customer in sorted(by_customer.keys() - {0}):
            sessions = by_customer[customer]
            carts = [row for row in sessions if row["steps"] > STEPS.index("add_to_cart")]
            bought = [row for row in sessions if row["steps"] == len(STEPS)]
            last = max(sessions, key=lambda row: (row["started_at"], row["session_id"]))
            ages = [(day - row["session_date"]).days for row in sessions]
            found.append(
                {
                    "customer_id": customer,
                    "days_since_session": min(ages),
                    "sessions_7_days": sum(age <= 7 for age in ages),
                    "sessions_30_days": len(ages),
                    "events_per_session_30_days": mean([row["events"] for row in sessions]),
                    "cart_share_30_days_pct": percent(len(carts), len(sessions)),
                    "conversion_30_days_pct": percent(len(bought), len(sessions)),
                    "last_device": last["device"],
                }
            )
        return found

    def _product(self, product: int, day: date) -> Row:
        """Return the product in the file of a day; empty if it does not have the product."""
        for row in self.shop.products:
            if row["product_id"] == product and row["valid_from"] <= day < (row["valid_to"] or date.max):
                return row
        return {}

    def _price(self, product: int, day: date) -> Decimal | None:
        price: Decimal | None = self._product(product, day).get("price")
        return price

    def product_sales(self, day: date) -> list[Row]:
        ratings = self._ratings(30, day, "product_id")
        sales = grouped(self._last(30, day), lambda row: row["product_id"])
        kept = {days: grouped(self._kept(days, day), lambda row: row["product_id"]) for days in (7, 30)}
        found = []
        for product in sorted(ratings.keys() | sales.keys()):
            units = {days: pieces(by_product.get(product, [])) for days, by_product in kept.items()}
            sold = pieces(sales.get(product, []))
            price, before = self._price(product, day), self._price(product, day - timedelta(days=30))
            found.append(
                {
                    "product_id": product,
                    **{f"units_per_day_{days}_days": rounded(Fraction(n, days), 4) for days, n in units.items()},
                    "return_rate_30_days_pct": percent(sold - units[30], sold),
                    "price": price,
                    "price_change_30_days_pct": percent(price - before, before, 2) if price and before else None,
                    "reviews_30_days": len(ratings.get(product, [])),
                    "mean_rating_30_days": mean(ratings.get(product, [])),
                }
            )
        return found

    def product_neighbours(self, day: date) -> list[Row]:
        by_basket = grouped(self._kept(30, day), lambda row: (row["day"], row["customer_id"]))
        baskets = [{row["product_id"] for row in rows} for rows in by_basket.values()]
        single = Counter(product for basket in baskets for product in basket)
        both = Counter(frozenset(pair) for basket in baskets for pair in combinations(basket, 2))
        found = []
        for product in sorted(single):
            others = [
                (-common, single[other], other)
                for pair, common in both.items()
                if product in pair and common >= 3
                for other in pair - {product}
            ]
            common, of_other, neighbour = min(others) if others else (0, 0, None)
            lift = Fraction(-common * len(baskets), single[product] * of_other) if neighbour else None
            found.append(
                {
                    "product_id": product,
                    "baskets_30_days": single[product],
                    "neighbour_product_id": neighbour,
                    "common_baskets_30_days": -common,
                    "confidence_30_days_pct": percent(-common, single[product]),
                    "lift_30_days": None if lift is None else rounded(lift, 6),
                }
            )
        return found
