"""The reports of orders, computed from lines as they are written, in plain Python with exact decimals."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from support.order_files import Line

CATEGORIES = {
    "Furniture": ["Chairs", "Tables"],
    "Technology": ["Phones"],
    "Office Supplies": ["Paper", "Art", "Binders"],
}
UNKNOWN = ("", "Not Available", "unknown")


def make_lines(seed: int, count: int) -> list[Line]:
    """Return random lines with repeated orders and products, ties and unknown shipping methods."""
    chance = random.Random(seed)
    lines = []
    for _ in range(count):
        category = chance.choice([*CATEGORIES])
        lines.append(
            Line(
                order=str(chance.randint(1, max(count // 3, 1))),
                product=f"P{chance.randint(1, 9)}",
                quantity=str(chance.randint(1, 14)),
                date=chance.choice(["2026-02-28", "2/28/2026"]),
                ship_mode=chance.choice(["First Class", "Same Day", "Second Class", *UNKNOWN]),
                region=chance.choice(["East", "West", "South", "Central"]),
                category=category,
                sub_category=chance.choice(CATEGORIES[category]),
                cost=f"{chance.randint(0, 99_999) / 100:.2f}",
                list_price=f"{chance.randint(0, 99_999) / 100:.2f}",
                discount=chance.choice(["0", "2", "3.5", "33.33", "100"]),
            )
        )
    return lines


def regions(lines: Iterable[Line]) -> list[dict[str, Any]]:
    profit: dict[str, Decimal] = defaultdict(Decimal)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    orders, counts = defaultdict(set), Counter[str]()
    for line in lines:
        paid = Decimal(line.list_price) * (1 - Decimal(line.discount) / 100)
        profit[line.region] += (paid - Decimal(line.cost)) * int(line.quantity)
        revenue[line.region] += paid * int(line.quantity)
        orders[line.region].add(line.order)
        counts[line.region] += 1
    return [
        {
            "region": region,
            "profit_rank": 1 + sum(other > profit[region] for other in profit.values()),
            "is_tied": sum(other == profit[region] for other in profit.values()) > 1,
            "profit": profit[region],
            "revenue": revenue[region],
            "orders_count": len(orders[region]),
            "lines_count": counts[region],
        }
        for region in sorted(profit)
    ]


def methods(lines: Iterable[Line]) -> list[dict[str, Any]]:
    orders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in lines:
        orders[line.category][line.ship_mode].add(line.order)
    found = []
    for category, by_mode in sorted(orders.items()):
        counts = {mode: len(those) for mode, those in by_mode.items() if mode not in UNKNOWN}
        most = max(counts.values(), default=0)
        top = sorted(mode for mode, count in counts.items() if count == most)
        found.append(
            {
                "category": category,
                "ship_mode": top[0] if top else None,
                "orders_count": most,
                "category_orders_count": len(set().union(*by_mode.values())),
                "is_tied": len(top) > 1,
            }
        )
    return found


def categories(lines: Iterable[Line]) -> list[dict[str, Any]]:
    orders, counts = defaultdict(set), Counter[tuple[str, str]]()
    of_category = defaultdict(set)
    for line in lines:
        orders[line.category, line.sub_category].add(line.order)
        counts[line.category, line.sub_category] += 1
        of_category[line.category].add(line.order)
    return [
        {
            "category": category,
            "sub_category": sub_category,
            "orders_count": len(those),
            "category_orders_count": len(of_category[category]),
            "lines_count": counts[category, sub_category],
        }
        for (category, sub_category), those in sorted(orders.items())
    ]


EXPECTED = {"region_profit": regions, "shipping_methods": methods, "orders_by_category": categories}
