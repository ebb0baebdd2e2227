"""The shop's star computed a second time, in plain Python from the base tables' rows.

It is written from the definitions alone and shares nothing with the SQL. Rows are mappings by column. Instants at
the ends of time are None, which is how the tests read PostgreSQL's infinities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
CUSTOMER = ("name", "email", "registration_date", "country")
PRODUCT = ("name", "category", "brand", "supplier", "price")
STEPS = ("product_view", "add_to_cart", "checkout", "purchase")
ONE_DAY = timedelta(days=1)


@dataclass
class Shop:
    """The rows of the base tables; `valid_to` of a product for sale is None."""

    timezone: str = "UTC"
    customers: list[Row] = field(default_factory=list)
    products: list[Row] = field(default_factory=list)
    transactions: list[Row] = field(default_factory=list)
    clickstream: list[Row] = field(default_factory=list)
    reviews: list[Row] = field(default_factory=list)

    def day_of(self, instant: datetime) -> date:
        return instant.astimezone(ZoneInfo(self.timezone)).date()

    def midnight(self, day: date) -> datetime:
        """Return the instant at which the day begins."""
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)


@dataclass(frozen=True)
class Version:
    """One row of a type-2 dimension."""

    member: int
    attributes: tuple[Any, ...]
    valid_from: datetime | None
    valid_to: datetime | None
    is_inferred: bool = False

    @property
    def key_text(self) -> str:
        """Return the text whose hash is the surrogate key."""
        if self.valid_from is None:
            return f"{self.member}|-infinity"
        text = self.valid_from.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
        return f"{self.member}|{text.rstrip('0') if '.' in text else text}"


def version_at(versions: Iterable[Version], member: int, instant: datetime) -> Version:
    """Return the version of the member that is effective at the instant."""
    begun = [
        version
        for version in versions
        if version.member == member and (version.valid_from is None or version.valid_from <= instant)
    ]
    return max(begun, key=lambda version: version.valid_from or datetime.min.replace(tzinfo=UTC))


def dim_customer(shop: Shop) -> list[Version]:
    changes = defaultdict(list)
    for row in shop.customers:
        changes[row["customer_id"]].append((row["updated_at"], tuple(row[name] for name in CUSTOMER)))
    versions = []
    for customer, of_customer in changes.items():
        states: list[tuple[datetime | None, tuple[Any, ...]]] = []
        for changed_at, attributes in sorted(of_customer):
            if not states:
                states.append((None, attributes))
            elif states[-1][1] != attributes:
                states.append((changed_at, attributes))
        ends = [start for start, _ in states[1:]] + [None]
        versions += [
            Version(customer, attributes, start, end) for (start, attributes), end in zip(states, ends, strict=True)
        ]
    versions += [Version(member, (None,) * 4, None, None, True) for member in _seen(shop, "customer_id") - set(changes)]
    return sorted(versions, key=_order)


def dim_product(shop: Shop) -> list[Version]:
    """Return the versions: one continues as long as the daily snapshots hold the product unchanged."""
    spans: dict[int, list[list[Any]]] = defaultdict(list)
    for row in sorted(shop.products, key=lambda row: row["valid_from"]):
        attributes = tuple(row[name] for name in PRODUCT)
        of_product = spans[row["product_id"]]
        if of_product and of_product[-1][2] == row["valid_from"] and of_product[-1][0] == attributes:
            of_product[-1][2] = row["valid_to"]
        else:
            of_product.append([attributes, row["valid_from"], row["valid_to"]])
    versions = [
        Version(
            product,
            attributes,
            shop.midnight(first) if index else None,
            end and shop.midnight(end),
        )
        for product, of_product in spans.items()
        for index, (attributes, first, end) in enumerate(of_product)
    ]
    versions += [Version(member, (None,) * 5, None, None, True) for member in _seen(shop, "product_id") - set(spans)]
    return sorted(versions, key=_order)


def _order(version: Version) -> tuple[int, datetime]:
    return version.member, version.valid_from or datetime.min.replace(tzinfo=UTC)


def _seen(shop: Shop, column: str) -> set[int]:
    rows = [*shop.transactions, *shop.clickstream, *shop.reviews]
    return {row[column] for row in rows if row[column] is not None}


def dim_date(shop: Shop) -> list[Row]:
    days = {shop.day_of(row["updated_at"]) for row in shop.customers}
    days |= {row[name] for row in shop.products for name in ("valid_from", "valid_to") if row[name]}
    days |= {shop.day_of(row["transaction_ts"]) for row in shop.transactions}
    days |= {shop.day_of(row["ts"]) for row in shop.clickstream}
    days |= {row["review_date"] for row in shop.reviews}
    if not days:
        return []
    rows = []
    day, end = date(min(days).year, 1, 1), date(max(days).year + 1, 1, 1)
    while day < end:
        iso = day.isocalendar()
        quarter = (day.month + 2) // 3
        rows.append(
            {
                "calendar_date": day,
                "calendar_year": day.year,
                "calendar_quarter": quarter,
                "calendar_month": day.month,
                "iso_year": iso.year,
                "iso_week": iso.week,
                "iso_weekday": iso.weekday,
                "weekday_name": day.strftime("%A"),
                "is_weekend": iso.weekday > 5,
                "week_start": day - ONE_DAY * day.weekday(),
                "month_start": day.replace(day=1),
                "quarter_start": date(day.year, 3 * quarter - 2, 1),
            }
        )
        day += ONE_DAY
    return rows


def fact_sales(shop: Shop, day: date) -> list[Row]:
    """Return the facts with the start of each version in place of its key."""
    customers, products = dim_customer(shop), dim_product(shop)
    rows = [
        {
            "sale_date": day,
            **row,
            "customer_from": version_at(customers, row["customer_id"], row["transaction_ts"]).valid_from,
            "product_from": version_at(products, row["product_id"], row["transaction_ts"]).valid_from,
        }
        for row in shop.transactions
        if shop.day_of(row["transaction_ts"]) == day
    ]
    return sorted(rows, key=lambda row: row["transaction_id"])


def fact_reviews(shop: Shop, day: date) -> list[Row]:
    """Return the facts with the start of each version in place of its key."""
    customers, products, begin = dim_customer(shop), dim_product(shop), shop.midnight(day)
    rows = [
        {
            "review_date": day,
            **{name: row[name] for name in ("review_id", "customer_id", "product_id", "rating")},
            "has_text": bool(row["review_text"]),
            "customer_from": version_at(customers, row["customer_id"], begin).valid_from,
            "product_from": version_at(products, row["product_id"], begin).valid_from,
        }
        for row in shop.reviews
        if row["review_date"] == day
    ]
    return sorted(rows, key=lambda row: row["review_id"])


def sessions(shop: Shop) -> list[Row]:
    """Return every session of every day with its events and the number of its funnel steps."""
    events = defaultdict(list)
    for row in shop.clickstream:
        events[row["session_id"]].append(row)
    found = []
    for session, of_session in events.items():
        days = {shop.day_of(row["ts"]) for row in of_session}
        for day in days:
            if day - ONE_DAY in days:
                continue
            rows = [row for row in of_session if shop.day_of(row["ts"]) in (day, day + ONE_DAY)]
            in_order = sorted(rows, key=lambda row: (row["ts"], row["event_id"]))
            signed_in = [row["customer_id"] for row in in_order if row["customer_id"] is not None]
            found.append(
                {
                    "session_date": day,
                    "session_id": session,
                    "customer_id": signed_in[0] if signed_in else None,
                    "started_at": in_order[0]["ts"],
                    "ended_at": in_order[-1]["ts"],
                    "events": len(rows),
                    "device": in_order[0]["device"],
                    "steps": steps_reached(rows),
                }
            )
    return sorted(found, key=lambda row: (row["session_date"], row["session_id"]))


def steps_reached(events: Iterable[Mapping[str, Any]]) -> int:
    """Return the number of funnel steps that a session completes in order; events of one instant follow the funnel."""
    reached = 0
    funnel = [event for event in events if event["event_type"] in STEPS]
    for event in sorted(funnel, key=lambda event: (event["ts"], STEPS.index(event["event_type"]))):
        if reached < len(STEPS) and event["event_type"] == STEPS[reached]:
            reached += 1
    return reached


def fact_sessions(shop: Shop, day: date) -> list[Row]:
    """Return the facts with the start of the version of the customer in place of its key."""
    customers = dim_customer(shop)
    rows = []
    for row in sessions(shop):
        if row["session_date"] == day:
            steps = row.pop("steps")
            known = row["customer_id"] is not None
            rows.append(
                {
                    **row,
                    **{f"reached_{step}": index < steps for index, step in enumerate(STEPS)},
                    "customer_from": version_at(customers, row["customer_id"], row["started_at"]).valid_from
                    if known
                    else None,
                }
            )
    return rows
