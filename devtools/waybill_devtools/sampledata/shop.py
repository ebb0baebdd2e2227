"""Sample files of the shop: customers, products, transactions, clicks and reviews by day, about 1 % with errors.

The same options give the same bytes. The ground truth is recorded while errors are injected, not computed by
validating the files. Rows are made by numpy, and all files of a sample are in memory at once:
a million transactions need a scale of 170 for a month, or of 5,500 for a day (with 17 clicks each, if asked for).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import numpy as np

from waybill_devtools.sampledata.files import (
    GROUND_TRUTH_PREFIX,
    SampleBuilder,
    SampleData,
    SampleFile,
    Uploaded,
    upload,
)
from waybill_devtools.sampledata.shop_feed import Feed
from waybill_devtools.sampledata.shop_people import Customers
from waybill_devtools.sampledata.shop_products import Products
from waybill_devtools.sampledata.shop_reviews import Reviews
from waybill_devtools.sampledata.shop_visits import Baskets, Clicks

__all__ = ["DATASETS", "GROUND_TRUTH", "SampleData", "SampleFile", "Uploaded", "generate", "upload"]

GROUND_TRUTH = f"{GROUND_TRUTH_PREFIX}shop.json"
DATASETS = ("customers", "products", "transactions", "clickstream", "reviews")
TWO_FILES_EVERY_DAYS = 6


def generate(
    last_day: str,
    days: int = 33,
    seed: int = 20260101,
    scale: float = 1.0,
    datasets: Collection[str] = DATASETS,
) -> SampleData:
    """Return files for `days` consecutive days up to `last_day` (YYYY-MM-DD), for some datasets or all.

    Scale 1 is about 1,100 customers, 520 products, and a day 180 transactions, 2,800 clicks and 80 reviews.
    Products grow with its square root, the others with it. The files of a dataset do not
    depend on the others. Raises ValueError for an invalid day, no days, a scale that is not positive or an unknown
    dataset.
    """
    try:
        last = np.datetime64(date.fromisoformat(last_day), "D")
    except ValueError:
        raise ValueError(f"last_day is {last_day!r}, expected a day as YYYY-MM-DD") from None
    if days < 1 or scale <= 0:
        raise ValueError(f"days is {days} and scale {scale}, expected at least one day and a positive scale")
    if unknown := set(datasets) - set(DATASETS):
        raise ValueError(f"there are no datasets {sorted(unknown)}, expected some of {', '.join(DATASETS)}")
    first = last - (days - 1)
    builder = SampleBuilder("shop", "day")
    customers, products = Customers(seed, first, days, scale), Products(seed, first, days, scale)
    baskets = Baskets(seed, customers, products, first, scale)
    clicks, reviews = Clicks(seed, baskets), Reviews(seed, products, first, scale)
    sources = (customers.source(), baskets.source(), clicks.source(), reviews.source())
    feeds = {
        source.name: Feed(source, np.random.default_rng([seed, 20 + number]), first, builder)
        for number, source in enumerate(sources)
    }
    for index in range(days):
        products.advance(index, builder)
        sales = baskets.advance(index)
        if "customers" in datasets:
            feeds["customers"].deliver(index, *customers.changes(index, builder))
        if "products" in datasets:
            products.add_snapshot(index, builder)
        if "transactions" in datasets:
            parts = 2 if index % TWO_FILES_EVERY_DAYS == 1 else 1
            feeds["transactions"].deliver(index, sales, parts=parts)
        if "clickstream" in datasets:
            feeds["clickstream"].deliver(index, clicks.advance(index))
        if "reviews" in datasets:
            feeds["reviews"].deliver(index, reviews.advance(index, sales))
    options = {
        "last_day": str(last),
        "days": days,
        "seed": seed,
        "scale": scale,
        "datasets": [name for name in DATASETS if name in datasets],
    }
    return SampleData(builder.domain, builder.files, builder.ground_truth(options))
