"""The products of the shop with their prices, and the snapshot of each day."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from faker import Faker
from numpy.typing import NDArray

from waybill_devtools.sampledata.lines import Layout, Lines, choices, hundredths, integers, json_objects, splice
from waybill_devtools.sampledata.shop_errors import product_kinds
from waybill_devtools.sampledata.shop_feed import ErrorMix, Numbers, inject, is_copy

if TYPE_CHECKING:
    from waybill_devtools.sampledata.files import SampleBuilder

# category: median price in whole units, kinds of goods
CATEGORIES = {
    "Electronics": (180, ("Headphones", "Speaker", 'Monitor 27"', "Keyboard", "Camera")),
    "Home & Kitchen": (45, ("Kettle", "Pan", "Lamp", "Chair", "Crème brûlée torch")),
    "Books": (18, ("Novel", "Cookbook", "Atlas", "Biography")),
    "Clothing": (40, ("T-shirt", "Jacket", "Scarf", "Jeans", "Socks, pair")),
    "Sports": (60, ("Racket", "Yoga mat", "Helmet", "Rope")),
    "Toys": (25, ("Puzzle", "Train", "Kite", "Blocks")),
    "Beauty": (22, ("Cream", "Soap", "Perfume", "Brush")),
    "Garden": (35, ("Spade", "Hose", "Planter", "Seeds")),
}
PRODUCTS, ARRIVALS_A_DAY, UNLISTED = 520, 1.5, 3
FIRST_PRODUCT = 3001
SOLD_BEFORE_LISTED_DAYS = 2
COLUMNS = ("product_id", "name", "category", "brand", "supplier", "price", "stock")
LAYOUT = Layout(COLUMNS)
STATE = np.dtype([("price", "i8"), ("stock", "i8"), ("supplier", "i8")])
FULL_STOCK = 400
CHEAPEST, DEAREST = 199, 499_999  # in cents
# day: number of an actor, what happens, in words
SCRIPT: dict[int, list[tuple[int, str, str]]] = {
    4: [(2, "dearer", "becomes dearer")],
    6: [(0, "leaves", "disappears")],
    7: [(1, "leaves", "disappears")],
    9: [(2, "cheaper", "costs again what it did")],
    10: [(0, "returns", "is for sale again, as it was")],
    13: [(1, "returns", "is for sale again"), (1, "dearer", "becomes dearer")],
}
ACTORS = 3


class Products:
    """All products as arrays; `advance` moves the state on by a day."""

    def __init__(self, seed: int, first: np.datetime64, days: int, scale: float) -> None:
        rng = self.rng = np.random.default_rng([seed, 11])
        self.first = first
        initial = max(30, round(PRODUCTS * scale**0.5))
        arrivals = max(1, round(ARRIVALS_A_DAY * scale**0.5))
        self.listed_from: Numbers = np.concatenate(
            [np.zeros(initial, np.int64), np.repeat(np.arange(1, days), arrivals), np.full(UNLISTED, days)]
        )
        total = len(self.listed_from)
        self.sold_from = np.where(self.listed_from < days, self.listed_from - SOLD_BEFORE_LISTED_DAYS, 0)
        self.product_id = FIRST_PRODUCT + np.arange(total)
        self.category = rng.choice(len(CATEGORIES), total, p=[0.22, 0.18, 0.14, 0.16, 0.1, 0.08, 0.07, 0.05])
        sizes = np.array([len(goods) for _, goods in CATEGORIES.values()])
        offsets = np.cumsum(sizes) - sizes
        self.goods = offsets[self.category] + rng.integers(0, sizes[self.category])
        self.brands, self.suppliers = _companies(seed)
        self.brand = rng.integers(0, len(self.brands), total)
        self.model = rng.integers(100, 1000, total)
        medians = np.array([median for median, _ in CATEGORIES.values()])[self.category]
        self.base = np.clip(np.rint(medians * rng.lognormal(0, 0.6, total)) * 100 - 1, CHEAPEST, DEAREST).astype(int)
        self.reduced = np.zeros(total, bool)
        self.state = np.zeros(total, STATE)
        self.state["price"] = self.base
        self.state["stock"] = rng.integers(20, FULL_STOCK, total)
        self.state["supplier"] = rng.integers(0, len(self.suppliers), total)
        self.quality = np.clip(rng.normal(0.72, 0.12, total), 0.3, 0.95)
        self.present = self.listed_from == 0
        self.accepted = np.zeros(total, bool)  # in the last snapshot and not rejected
        self.last = self.state.copy()  # as of the last snapshot in which they were accepted
        # A few sell much, most sell little.
        self.weights = 1 / (1 + rng.permutation(total)) ** 0.8
        self.companion = rng.integers(0, total, total)
        self.chances = np.cumsum(self.weights)
        self._error_mix, self._error_rng = ErrorMix(), np.random.default_rng([seed, 15])

    def advance(self, index: int, builder: SampleBuilder) -> None:
        """Simulate day number `index` (0-based)."""
        rng, total = self.rng, len(self.state)
        if index:
            free = np.arange(total) >= ACTORS
            draw, second = rng.random(total), rng.random(total)
            rise = free & (draw < 0.012)
            factors = np.where(second < 0.6, rng.uniform(1.02, 1.12, total), rng.uniform(0.85, 0.98, total))
            self.base[rise] = np.clip(np.rint(self.base * factors)[rise], CHEAPEST, DEAREST)
            self.reduced = np.where(self.reduced, draw < 0.7, free & (draw > 0.988))
            self.state["supplier"][free & (second > 0.999)] = rng.integers(0, len(self.suppliers))
            leaving = free & self.present & (second < 0.003)
            returning = free & ~self.present & (self.listed_from < index) & (second < 0.12)
            self.present = (self.present & ~leaving) | returning | (self.listed_from == index)
            for actor, what, words in SCRIPT.get(index, ()):
                if what in ("leaves", "returns"):
                    self.present[actor] = what == "returns"
                else:
                    self.base[actor] += 500 if what == "dearer" else -500
                builder.story(str(self.first + index), f"product {self.product_id[actor]} {words}")
        self.state["price"] = np.where(self.reduced, self.base * 4 // 5, self.base)
        gone = ~self.present & (self.listed_from < index)
        self.chances = np.cumsum(self.weights * (self.sold_from <= index) * np.where(gone, 0.05, 1))

    def draw(self, rng: np.random.Generator, size: int) -> Numbers:
        """Return the numbers of products that customers view or buy."""
        found: Numbers = np.searchsorted(self.chances, rng.random(size) * self.chances[-1], side="right")
        return found

    def on_sale(self, products: Numbers, index: int) -> NDArray[np.bool_]:
        """Return which of these products are for sale."""
        found: NDArray[np.bool_] = self.sold_from[products] <= index
        return found

    def sell(self, products: Numbers, quantities: Numbers) -> None:
        """Reduce the stock, and refill it if it is low."""
        np.subtract.at(self.state["stock"], products, quantities)
        self.state["stock"][self.state["stock"] < 10] = FULL_STOCK

    def add_snapshot(self, index: int, builder: SampleBuilder) -> None:
        """Add the day's snapshot with injected errors, as an array or as lines.

        A rejected record of a product makes it absent from this snapshot.
        """
        rng, day = self._error_rng, str(self.first + index)
        present = np.flatnonzero(self.present)
        kinds = self._error_mix.choose(len(present), product_kinds())
        victims = rng.choice(present[present >= ACTORS], sum(not is_copy(kind) for kind in kinds), replace=False)
        accepted = self.present.copy()
        accepted[victims] = False
        clean = np.flatnonzero(accepted)
        lines = self._write(clean)
        spliced = splice(b"", lines, inject(rng, kinds, lines, self._write(victims), LAYOUT))
        is_array = index % 2 == 0
        if is_array:
            spliced = replace(spliced, body=b"[\n" + spliced.body.rstrip().replace(b"\n", b",\n") + b"\n]\n")
        known = accepted & self.accepted
        changed = known & (self.state != self.last)
        builder.add(
            "products",
            day,
            f"products_{day}{'.json' if is_array else '.jsonl.gz' if index % 4 == 3 else '.jsonl'}",
            spliced,
            inserted=int((accepted & ~known).sum()),
            updated=int(changed.sum()),
            unchanged=int((known & ~changed).sum()),
        )
        self.accepted = accepted
        self.last[accepted] = self.state[accepted]

    def _write(self, who: Numbers) -> Lines:
        goods = [name for _, names in CATEGORIES.values() for name in names]
        return json_objects(
            {
                "product_id": [(integers, self.product_id[who])],
                "name": [
                    b'"',
                    (choices(_escaped(self.brands)), self.brand[who]),
                    b" ",
                    (choices(_escaped(goods)), self.goods[who]),
                    b" ",
                    (integers, self.model[who]),
                    b'"',
                ],
                "category": [b'"', (choices(_escaped(list(CATEGORIES))), self.category[who]), b'"'],
                "brand": [b'"', (choices(_escaped(self.brands)), self.brand[who]), b'"'],
                "supplier": [b'"', (choices(_escaped(self.suppliers)), self.state["supplier"][who]), b'"'],
                "price": [(hundredths, self.state["price"][who])],
                "stock": [(integers, self.state["stock"][who])],
            }
        )


def _escaped(texts: list[str]) -> list[str]:
    """Return texts escaped for JSON, without quotes."""
    return [json.dumps(text, ensure_ascii=False)[1:-1] for text in texts]


def _companies(seed: int) -> tuple[list[str], list[str]]:
    """Return brands and suppliers."""
    faker = Faker("en_US")
    faker.seed_instance(seed)
    brands = list(dict.fromkeys(faker.last_name() for _ in range(60)))
    return brands, list(dict.fromkeys(faker.company() for _ in range(30)))
