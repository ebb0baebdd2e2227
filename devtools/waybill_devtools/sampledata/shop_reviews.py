"""The reviews that customers of the shop write."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from waybill_devtools.sampledata.lines import Layout, Lines, Part, choices, dates, integers, join, quoted
from waybill_devtools.sampledata.shop_errors import review_kinds
from waybill_devtools.sampledata.shop_feed import Numbers, Rows, Source
from waybill_devtools.sampledata.shop_products import FIRST_PRODUCT, Products

REVIEWS_A_DAY = 78
BOUGHT_WITHIN_DAYS = 10
CHANGED_SHARE = 0.002
FIRST_REVIEW = 500_001
# by rating, from one star
OPENINGS = (
    ("Broken after two days.", "Not as described!", "Never again."),
    ("Weak.", 'The colour is "off".', "Too dear for what it is."),
    ("It does its job.", "Neither good nor bad.", "OK, with limits."),
    ("Good value.", "Très bien.", "Works well, as promised."),
    ("Excellent!", "Best I ever had.", "Sehr schön, gerne wieder."),
)
DETAILS = (
    "",
    " Delivery was quick.",
    " Delivery took a week, though.",
    " The box was dented,\nthe contents were not.",
    ' My neighbour says "buy two", so I did.',
    " I would ask for another size.",
)
PER_RATING = len(OPENINGS[0]) * len(DETAILS)
# the first is no text at all
TEXTS = ["", *(opening + detail for openings in OPENINGS for opening in openings for detail in DETAILS)]
NO_TEXT_SHARE = 0.1
REVIEW = np.dtype(
    [
        ("review_id", "i8"),
        ("product_id", "i8"),
        ("customer_id", "i8"),
        ("rating", "i8"),
        ("review_text", "i8"),
        ("review_date", "M8[D]"),
    ]
)
COLUMNS = REVIEW.names or ()
LAYOUTS = (
    Layout(COLUMNS),
    Layout(COLUMNS, lambda column: column.replace("_", " ").title(), b"\r\n"),
)


class Reviews:
    """Reviews of recent purchases."""

    def __init__(self, seed: int, products: Products, first: np.datetime64, scale: float) -> None:
        self.rng = np.random.default_rng([seed, 14])
        self.products, self.first, self.scale = products, first, scale
        self._bought: deque[Rows] = deque(maxlen=BOUGHT_WITHIN_DAYS)
        self._next_id = FIRST_REVIEW

    def advance(self, index: int, sales: Rows) -> Rows:
        """Return the reviews of day number `index` with its sales."""
        rng = self.rng
        self._bought.append(sales[["customer_id", "product_id"]])
        bought = np.concatenate(self._bought)
        size = max(1, round(REVIEWS_A_DAY * self.scale * rng.uniform(0.9, 1.1)))
        chosen = bought[rng.integers(0, len(bought), size)]
        rows = np.zeros(size, REVIEW)
        rows["review_id"] = self._ids(size)
        rows["customer_id"], rows["product_id"] = chosen["customer_id"], chosen["product_id"]
        rows["rating"] = 1 + rng.binomial(4, self.products.quality[chosen["product_id"] - FIRST_PRODUCT])
        rows["review_text"] = _texts(rng, rows["rating"])
        rows["review_date"] = self.first + index
        return rows

    def source(self) -> Source:
        """Return the source of the feed of reviews."""
        return Source(
            "reviews",
            "review_date",
            _write,
            self._renew,
            review_kinds,
            LAYOUTS,
            (".csv", ".csv", ".csv.gz"),
            _think_again,
            CHANGED_SHARE,
        )

    def _ids(self, size: int) -> Numbers:
        self._next_id += size
        return np.arange(self._next_id - size, self._next_id)

    def _renew(self, _: np.random.Generator, rows: Rows) -> Rows:
        rows["review_id"] = self._ids(len(rows))
        return rows


def _texts(rng: np.random.Generator, rating: Numbers) -> Numbers:
    """Return places in `TEXTS`."""
    texts = 1 + (rating - 1) * PER_RATING + rng.integers(0, PER_RATING, len(rating))
    return np.where(rng.random(len(rating)) < NO_TEXT_SHARE, 0, texts)


def _think_again(rng: np.random.Generator, rows: Rows) -> NDArray[np.bool_]:
    """Give each review another rating and a matching text."""
    rows["rating"] = rows["rating"] % len(OPENINGS) + 1
    rows["review_text"] = _texts(rng, rows["rating"])
    return np.ones(len(rows), bool)


def _write(rows: Rows, layout: Layout) -> Lines:
    columns: dict[str, list[Part]] = {name: [(integers, rows[name])] for name in COLUMNS}
    columns["review_text"] = [(choices([quoted(text) for text in TEXTS]), rows["review_text"])]
    columns["review_date"] = [(dates, rows["review_date"])]
    return join([columns[name] for name in layout.columns], layout.newline)
