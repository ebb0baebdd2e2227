"""Sample files of orders: one for each day, about 1 % of the lines with errors; the last repeats lines of the first.

The same options give the same bytes. The ground truth is recorded while errors are injected, not computed by
validating the files.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import numpy as np

from waybill_devtools.sampledata.files import SampleBuilder, SampleData
from waybill_devtools.sampledata.injected_errors import Kind, Record, fields_with_error
from waybill_devtools.sampledata.lines import InjectedRecord, Lines, record, splice

__all__ = ["generate"]

ORDERS_A_DAY = 120
ERROR_EVERY = 100
REPEATED_ORDERS = 10

COLUMNS = (
    "Order Id",
    "Order Date",
    "Ship Mode",
    "Segment",
    "Country",
    "City",
    "State",
    "Postal Code",
    "Region",
    "Category",
    "Sub Category",
    "Product Id",
    "cost price",
    "List Price",
    "Quantity",
    "Discount Percent",
)
SPELLINGS: tuple[Callable[[str], str], ...] = (str, str.upper, lambda name: name.lower().replace(" ", "-"))
DATE_FORMS: tuple[Callable[[date], str], ...] = (str, lambda day: f"{day.month}/{day.day}/{day.year}")
SHIP_MODES = ("Standard Class", "Second Class", "First Class", "Same Day", "Not Available", "unknown", "")
SHIP_SHARES = (0.55, 0.18, 0.14, 0.05, 0.03, 0.03, 0.02)
SEGMENTS = ("Consumer", "Corporate", "Home Office")
CITIES = (
    ("Seattle", "Washington", "98103", "West"),
    ("Los Angeles", "California", "90036", "West"),
    ("Denver", "Colorado", "80219", "West"),
    ("Houston", "Texas", "77041", "Central"),
    ("Chicago", "Illinois", "60610", "Central"),
    ("Madison", "Wisconsin", "53711", "Central"),
    ("Atlanta", "Georgia", "30318", "South"),
    ("Jacksonville", "Florida", "32216", "South"),
    ("New York City", "New York", "10035", "East"),
    ("Trenton", "New Jersey", "08611", "East"),
    ("Boston", "Massachusetts", "02109", "East"),
)
SUB_CATEGORIES = {
    "Furniture": ("Bookcases", "Chairs", "Furnishings", "Tables"),
    "Office Supplies": ("Appliances", "Art", "Binders", "Envelopes", "Labels", "Paper", "Storage"),
    "Technology": ("Accessories", "Copiers", "Phones"),
}
PRODUCTS_EACH = 4
KINDS = (
    Kind({"Quantity": "0"}, ("range:quantity",)),
    Kind({"List Price": "12,50"}, ("type:list_price",)),
    Kind({"Order Date": "31.03.2026"}, ("type:order_date",)),
    Kind({"Discount Percent": "120"}, ("range:discount_percent",)),
    Kind({}, ("ragged",), "short"),
    Kind({"Region": "", "cost price": "-1.00"}, ("required:region", "range:cost_price")),
    Kind({"Product Id": ""}, ("required:product_id",)),
)


def generate(last_day: str, days: int = 4, seed: int = 20260101, scale: float = 1.0) -> SampleData:
    """Files with the orders of `days` consecutive days, the last of them `last_day` (YYYY-MM-DD).

    The days are those of the orders: files land whenever they are put there. Scale 1 is about 120 orders with 240
    lines a day. Raises ValueError for a day that is not one, no days or a scale that is not positive.
    """
    last = date.fromisoformat(last_day)
    if days < 1 or scale <= 0:
        raise ValueError(f"days is {days} and scale {scale}, expected at least one day and a positive scale")
    builder = SampleBuilder("orders", "day", lands_any_time=True)
    chance = np.random.default_rng([seed, 40])
    products = _products(chance)
    first: list[Record] = []
    for index in range(days):
        day = last - timedelta(days=days - 1 - index)
        new = _orders(chance, products, day, DATE_FORMS[index % len(DATE_FORMS)], max(1, round(ORDERS_A_DAY * scale)))
        first = first or new
        ids = sorted({line["Order Id"] for line in first})[:REPEATED_ORDERS]
        repeated = [line for line in first if line["Order Id"] in ids] if index and index == days - 1 else []
        header = record([SPELLINGS[index % len(SPELLINGS)](name) for name in COLUMNS], b"\n")
        lines = [record(line.values(), b"\n") for line in new]
        again = [InjectedRecord(len(new), record(line.values(), b"\n"), duplicate=True) for line in repeated]
        builder.add(
            "lines",
            day.isoformat(),
            f"orders_{day}.csv",
            splice(header, Lines.of(lines), [*_records_with_errors(chance, new, day), *again]),
            inserted=len(new),
            updated=0,
            unchanged=0,
        )
        if repeated:
            builder.story(day.isoformat(), f"{len(repeated)} lines of the first file are sent again")
    return SampleData(
        builder.domain,
        builder.files,
        builder.ground_truth({"last_day": last_day, "days": days, "seed": seed, "scale": scale}),
    )


def _products(chance: np.random.Generator) -> list[Record]:
    """Return the products with cost and price; some are sold at a loss."""
    found = []
    for category, sub_categories in SUB_CATEGORIES.items():
        for sub_category in sub_categories:
            for number in range(PRODUCTS_EACH):
                cost = Decimal(int(chance.integers(200, 60_000))) / 100
                price = (cost * int(chance.integers(90, 160)) / 100).quantize(Decimal("0.01"))
                name = f"{category[:3]}-{sub_category[:2]}-{1001 + number}".upper()
                found.append(
                    {
                        "Category": category,
                        "Sub Category": sub_category,
                        "Product Id": name,
                        "cost price": f"{cost:.2f}",
                        "List Price": f"{price:.2f}",
                    }
                )
    return found


def _orders(
    chance: np.random.Generator, products: list[Record], day: date, written: Callable[[date], str], number: int
) -> list[Record]:
    """Return the lines of a day's orders. An order may list a product twice, with different quantities."""
    lines = []
    for place in range(number):
        city, state, postal_code, region = CITIES[chance.integers(len(CITIES))]
        order = {
            "Order Id": f"{day:%Y%m%d}-{place + 1:04d}",
            "Order Date": written(day),
            "Ship Mode": SHIP_MODES[chance.choice(len(SHIP_MODES), p=SHIP_SHARES)],
            "Segment": SEGMENTS[chance.integers(len(SEGMENTS))],
            "Country": "United States",
            "City": city,
            "State": state,
            "Postal Code": postal_code,
            "Region": region,
        }
        for _ in range(chance.integers(1, 4)):
            line = {
                **order,
                **products[chance.integers(len(products))],
                "Quantity": str(chance.integers(1, 10)),
                "Discount Percent": str(chance.choice([0, 0, 2, 3, 5, 20])),
            }
            lines.append({name: line[name] for name in COLUMNS})
    return lines


def _records_with_errors(chance: np.random.Generator, lines: list[Record], day: date) -> list[InjectedRecord]:
    """Return records to reject. They have orders of their own, so they do not affect the occurrence of other lines."""
    found = []
    for number in range(-(-len(lines) // ERROR_EVERY)):
        kind = KINDS[(number + day.toordinal()) % len(KINDS)]
        place = int(chance.integers(len(lines)))
        wrong = {**lines[place], "Order Id": f"{day:%Y%m%d}-X{number:03d}"}
        found.append(InjectedRecord(place, record(fields_with_error(kind, wrong), b"\n"), kind.reasons))
    return found
