"""The visits to the shop, some of which end in sales, and their clicks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from waybill_devtools.sampledata.lines import (
    Layout,
    Lines,
    Part,
    choices,
    hundredths,
    instants,
    integers,
    integers_or,
    join,
    json_objects,
    uuids,
)
from waybill_devtools.sampledata.shop_errors import click_kinds, transaction_kinds
from waybill_devtools.sampledata.shop_feed import Numbers, Rows, Source
from waybill_devtools.sampledata.shop_people import Customers
from waybill_devtools.sampledata.shop_products import CATEGORIES, Products

SALES_VISITS_A_DAY, OTHER_VISITS_A_DAY = 95, 560
WEEK = (0.95, 0.88, 0.92, 0.97, 1.10, 1.18, 1.00)  # from Monday
# visits that begin in each hour of the day
HOURS = np.array([3, 2, 1, 1, 1, 1, 2, 4, 6, 7, 8, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 13, 9, 6]) / 158
BASKET_SIZES = (0.45, 0.28, 0.15, 0.08, 0.04)
QUANTITIES = (0.80, 0.13, 0.04, 0.02, 0.01)
COMPANION_SHARE = 0.35
STATUSES = ("completed", "returned", "refunded")
PAYMENTS = {"card": 0.55, "paypal": 0.25, "invoice": 0.15, "gift card": 0.05}
CHANGED_SHARE = 0.012
FIRST_TRANSACTION = 3_000_000_001  # more than 32 bits
LONGEST_SECONDS = 3 * 3600

SALE = np.dtype(
    [
        ("transaction_id", "i8"),
        ("customer_id", "i8"),
        ("product_id", "i8"),
        ("quantity", "i8"),
        ("price", "i8"),  # in cents
        ("total_amount", "i8"),  # in cents
        ("transaction_ts", "M8[s]"),
        ("status", "i8"),
        ("payment_method", "i8"),
    ]
)
SALE_COLUMNS = SALE.names or ()
SALE_LAYOUTS = (
    Layout(SALE_COLUMNS),
    Layout(SALE_COLUMNS, lambda column: column.replace("_", "-").title(), b"\r\n"),
    Layout(SALE_COLUMNS),
    Layout(SALE_COLUMNS[::-1], lambda column: {"transaction_ts": "Sold At"}.get(column, column)),
)

EVENTS = ("page_view", "product_view", "add_to_cart", "checkout", "purchase")
PAGE, VIEW, CART, CHECKOUT, PURCHASE = range(len(EVENTS))
# how far visits without a sale get, from page views alone to a checkout
DEPTHS = (0.42, 0.36, 0.16, 0.06)
DEVICES = {"mobile": 0.58, "desktop": 0.34, "tablet": 0.08}
ANONYMOUS_SHARE, SIGNS_IN_SHARE = 0.45, 0.30
PAGES = (
    *("/", "/search", "/sale", "/account", "/help"),
    *("/category/" + name.split()[0].lower() for name in CATEGORIES),
    *("/product/", "/cart", "/checkout", "/thanks"),
)
BROWSED_PAGES = len(PAGES) - 4
CLICK = np.dtype(
    [
        ("event_id", "u1", 16),
        ("session_id", "u1", 16),
        ("customer_id", "i8"),  # 0: not signed in
        ("event_type", "i1"),
        ("page", "i1"),
        ("product_id", "i8"),  # 0: none
        ("ts", "M8[s]"),
        ("device", "i1"),
    ]
)
CLICK_COLUMNS = ("event_id", "session_id", "customer_id", "event_type", "page", "product_id", "ts", "device")
CLICK_LAYOUTS = (
    Layout(CLICK_COLUMNS),
    Layout(CLICK_COLUMNS),
    Layout(CLICK_COLUMNS[::-1], lambda column: {"ts": "timestamp"}.get(column, column)),
)


@dataclass(frozen=True)
class Visits:
    """Visits as arrays: who (0: unknown), from when, for how many seconds, and how far; see `EVENTS`."""

    customer_id: Numbers
    start: NDArray[np.datetime64]
    seconds: Numbers
    depth: Numbers

    @property
    def end(self) -> NDArray[np.datetime64]:
        """Return the instants of the last events."""
        ends: NDArray[np.datetime64] = self.start + self.seconds.astype("m8[s]")
        return ends

    def and_then(self, other: Visits) -> Visits:
        """Return these visits followed by others."""
        return Visits(
            np.concatenate([self.customer_id, other.customer_id]),
            np.concatenate([self.start, other.start]),
            np.concatenate([self.seconds, other.seconds]),
            np.concatenate([self.depth, other.depth]),
        )


class Baskets:
    """Visits that end in sales. Sales after midnight belong to the next day."""

    def __init__(self, seed: int, customers: Customers, products: Products, first: np.datetime64, scale: float) -> None:
        self.rng = np.random.default_rng([seed, 12])
        self.customers, self.products, self.first, self.scale = customers, products, first, scale
        none = np.zeros(0, np.int64)
        self.visits = Visits(none, none.astype("M8[s]"), none, none)
        self.visit_of_line = self.product_of_line = none
        """The lines of the day's baskets: number of the visit and of the product."""
        self._next_id = FIRST_TRANSACTION
        self._after_midnight = np.zeros(0, SALE)

    def advance(self, index: int) -> Rows:
        """Simulate day number `index` and return its sales."""
        rng, products = self.rng, self.products
        size = round(max(1.0, SALES_VISITS_A_DAY * self.scale) * _busy(self.first + index) * rng.uniform(0.95, 1.05))
        self.visits = _visits(
            rng, self.first + index, self.customers.draw(rng, size, index), np.full(size, PURCHASE), median_seconds=700
        )
        self.visits.start[0] = self.first + index + np.timedelta64(12, "h")  # every day has a sale
        visit = np.repeat(np.arange(size), 1 + rng.choice(len(BASKET_SIZES), size, p=BASKET_SIZES))
        product = products.draw(rng, len(visit))
        is_first = np.diff(visit, prepend=-1) > 0
        companion = products.companion[product[np.flatnonzero(is_first)][visit]]
        follows = ~is_first & (rng.random(len(visit)) < COMPANION_SHARE) & products.on_sale(companion, index)
        product = np.where(follows, companion, product)
        _, line = np.unique(visit * len(products.product_id) + product, return_index=True)
        visit, product = self.visit_of_line, self.product_of_line = visit[line], product[line]

        rows = np.zeros(len(line), SALE)
        rows["customer_id"] = self.visits.customer_id[visit]
        rows["product_id"] = products.product_id[product]
        rows["quantity"] = 1 + rng.choice(len(QUANTITIES), len(line), p=QUANTITIES)
        rows["price"] = products.state["price"][product]
        rows["total_amount"] = rows["quantity"] * rows["price"]
        rows["transaction_ts"] = self.visits.end[visit]
        rows["payment_method"] = rng.choice(len(PAYMENTS), size, p=list(PAYMENTS.values()))[visit]
        rows["transaction_id"] = self._ids(len(rows))
        products.sell(product, rows["quantity"])
        rows = np.concatenate([self._after_midnight, rows])
        is_today = rows["transaction_ts"] < self.first + index + 1
        self._after_midnight = rows[~is_today]
        return rows[is_today]

    def source(self) -> Source:
        """Return the source of the feed of sales."""
        return Source(
            "transactions",
            "transaction_ts",
            _write_sales,
            self._renew,
            transaction_kinds,
            SALE_LAYOUTS,
            (".csv", ".csv", ".csv.gz", ".csv", ".csv.gz"),
            _take_back,
            CHANGED_SHARE,
        )

    def _ids(self, size: int) -> Numbers:
        self._next_id += size
        return np.arange(self._next_id - size, self._next_id)

    def _renew(self, _: np.random.Generator, rows: Rows) -> Rows:
        rows["transaction_id"] = self._ids(len(rows))
        return rows


class Clicks:
    """The clicks of all visits, with and without sales. Clicks after midnight belong to the next day."""

    def __init__(self, seed: int, baskets: Baskets) -> None:
        self.rng = np.random.default_rng([seed, 13])
        self.baskets = baskets
        self._after_midnight = np.zeros(0, CLICK)

    def advance(self, index: int) -> Rows:
        """Return the clicks of day number `index` with its baskets."""
        rng, baskets, day = self.rng, self.baskets, self.baskets.first + index
        size = round(OTHER_VISITS_A_DAY * baskets.scale * _busy(day))
        who = np.where(rng.random(size) < ANONYMOUS_SHARE, 0, baskets.customers.draw(rng, size, index))
        depth = rng.choice(len(DEPTHS), size, p=DEPTHS)
        other = _visits(rng, day, who, depth, median_seconds=240)
        rows = self._clicks(baskets.visits.and_then(other))
        rows = np.concatenate([self._after_midnight, rows])
        is_today = rows["ts"] < day + 1
        self._after_midnight = rows[~is_today]
        return rows[is_today]

    def _clicks(self, visits: Visits) -> Rows:
        """Make each visit's events, at a place within it from 0 to 1; the lines of the baskets are bought."""
        rng, size = self.rng, len(visits.depth)
        bought, line = self.baskets.visit_of_line, self.baskets.product_of_line
        pages = np.repeat(np.arange(size), 1 + np.minimum(rng.poisson(1.0, size), 6))
        seen = np.repeat(np.arange(size), np.where(visits.depth >= VIEW, 1 + np.minimum(rng.poisson(0.6, size), 4), 0))
        is_first = np.diff(seen, prepend=-1) > 0
        unsold = is_first & (visits.depth[seen] >= CART) & (visits.depth[seen] < PURCHASE)
        product = self.baskets.products.draw(rng, len(seen))
        place_of_line, place_seen = rng.uniform(0.05, 0.85, len(line)), rng.uniform(0.05, 0.85, len(seen))
        begins = np.diff(pages, prepend=-1) > 0
        paying = np.flatnonzero(visits.depth >= CHECKOUT)
        none = np.full(1, -1)
        events = (
            (PAGE, pages, none, np.where(begins, 0, rng.uniform(0, 0.85, len(pages)))),
            (VIEW, seen, product, place_seen),
            (VIEW, bought, line, place_of_line),
            (CART, seen[unsold], product[unsold], place_seen[unsold] + 0.03),
            (CART, bought, line, place_of_line + 0.03),
            (CHECKOUT, paying, none, np.full(len(paying), 0.93)),
            (PURCHASE, bought, line, np.ones(len(line))),
        )
        signs_in = np.where(rng.random(size) < SIGNS_IN_SHARE, rng.uniform(0, 0.9, size), 0)
        sessions = random_uuids(rng, size)
        device = rng.choice(len(DEVICES), size, p=list(DEVICES.values()))
        made = [self._rows(visits, kind, visit, product, place, signs_in) for kind, visit, product, place in events]
        rows = np.concatenate(made)
        visit = np.concatenate([visit for _, visit, _, _ in events])
        rows["session_id"], rows["device"] = sessions[visit], device[visit]
        rows["event_id"] = random_uuids(rng, len(rows))
        return rows

    def _rows(
        self,
        visits: Visits,
        kind: int,
        visit: Numbers,
        product: Numbers,
        place: NDArray[np.float64],
        signs_in: NDArray[np.float64],
    ) -> Rows:
        rows = np.zeros(len(visit), CLICK)
        rows["customer_id"] = np.where(place >= signs_in[visit], visits.customer_id[visit], 0)
        rows["event_type"] = kind
        rows["page"] = self.rng.integers(0, BROWSED_PAGES, len(visit)) if kind == PAGE else BROWSED_PAGES + kind - 1
        rows["product_id"] = np.where(product >= 0, self.baskets.products.product_id[product], 0)
        rows["ts"] = visits.start[visit] + (visits.seconds[visit] * place).astype(np.int64).astype("m8[s]")
        return rows

    def source(self) -> Source:
        """Return the source of the feed of clicks."""
        return Source(
            "clickstream",
            "ts",
            _write_clicks,
            _with_new_ids,
            click_kinds,
            CLICK_LAYOUTS,
            (".jsonl", ".jsonl", ".jsonl.gz"),
        )


def random_uuids(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """UUIDs of version 4 (RFC 9562), as rows of 16 bytes."""
    values = rng.integers(0, 256, (size, 16), dtype=np.uint8)
    values[:, 6] = values[:, 6] & 0x0F | 0x40
    values[:, 8] = values[:, 8] & 0x3F | 0x80
    return values


def _busy(day: np.datetime64) -> float:
    """Return the relative activity on a day of the week."""
    return WEEK[(int(day.astype("M8[D]").astype(np.int64)) + 3) % 7]


def _visits(
    rng: np.random.Generator, day: np.datetime64, customer_id: Numbers, depth: Numbers, *, median_seconds: float
) -> Visits:
    size = len(customer_id)
    second = rng.choice(24, size, p=HOURS) * 3600 + rng.integers(0, 3600, size)
    seconds = np.clip(rng.lognormal(np.log(median_seconds), 0.9, size), 15, LONGEST_SECONDS).astype(np.int64)
    return Visits(customer_id, day + second.astype("m8[s]"), seconds, depth)


def _take_back(rng: np.random.Generator, rows: Rows) -> NDArray[np.bool_]:
    """Of completed sales some are refunded and most returned; what was returned is refunded."""
    completed, returned, refunded = range(len(STATUSES))
    old = rows["status"].copy()
    straight = rng.random(len(rows)) < 0.2
    rows["status"] = np.where((old == completed) & ~straight, returned, refunded)
    changed: NDArray[np.bool_] = rows["status"] != old
    return changed


def _with_new_ids(rng: np.random.Generator, rows: Rows) -> Rows:
    rows["event_id"] = random_uuids(rng, len(rows))
    return rows


def _write_sales(rows: Rows, layout: Layout) -> Lines:
    columns: dict[str, list[Part]] = {name: [(integers, rows[name])] for name in SALE_COLUMNS}
    columns |= {name: [(hundredths, rows[name])] for name in ("price", "total_amount")}
    columns["transaction_ts"] = [(instants, rows["transaction_ts"])]
    columns["status"] = [(choices(STATUSES), rows["status"])]
    columns["payment_method"] = [(choices(list(PAYMENTS)), rows["payment_method"])]
    return join([columns[name] for name in layout.columns], layout.newline)


def _write_clicks(rows: Rows, layout: Layout) -> Lines:
    viewed = np.where(rows["event_type"] == VIEW, rows["product_id"], 0)
    columns: dict[str, list[Part]] = {
        "event_id": [b'"', (uuids, rows["event_id"]), b'"'],
        "session_id": [b'"', (uuids, rows["session_id"]), b'"'],
        "customer_id": [(integers_or(b"null"), rows["customer_id"])],
        "event_type": [b'"', (choices(EVENTS), rows["event_type"]), b'"'],
        "page": [b'"', (choices(PAGES), rows["page"]), (integers_or(b""), viewed), b'"'],
        "product_id": [(integers_or(b"null"), rows["product_id"])],
        "ts": [b'"', (instants, rows["ts"]), b'"'],
        "device": [b'"', (choices(list(DEVICES)), rows["device"]), b'"'],
    }
    return json_objects({layout.spell(name): columns[name] for name in layout.columns})
