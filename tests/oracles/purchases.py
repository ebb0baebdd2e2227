"""The tables of purchases, computed from files as they are written, in plain Python with exact decimals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from support.purchase_files import Purchase, Rate

Files = Mapping[tuple[str, str, str], Iterable[Purchase | Rate]]
"""Rows by (dataset, day, name); a file has a key once."""
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Bought:
    """A valid purchase with its rate."""

    ingested_on: date
    row: Purchase
    rate: Decimal

    @property
    def on(self) -> date:
        return date.fromisoformat(self.row.date)

    @property
    def aud(self) -> Decimal:
        return (Decimal(self.row.amount) * self.rate).quantize(Decimal("0.01"), ROUND_HALF_UP)

    @property
    def recency(self) -> tuple[date, date, str]:
        return (self.on, self.ingested_on, self.row.purchase)

    @property
    def full_name(self) -> str | None:
        return " ".join(name for name in (self.row.first_name, self.row.last_name) if name) or None


def current_rows(rows: Iterable[tuple[str, Any, Any]]) -> dict[Any, tuple[str, Any]]:
    """Return (day, row) by key for (day, key, row) in file order; an equal repetition changes nothing."""
    found: dict[Any, tuple[str, Any]] = {}
    for day, key, row in rows:
        if key not in found or found[key][1] != row:
            found[key] = (day, row)
    return found


def rate_of(rates: Iterable[Rate], currency: str, on: str) -> Decimal | None:
    known = [rate for rate in rates if rate.currency == currency and rate.valid_from <= on]
    return Decimal(max(known, key=lambda rate: rate.valid_from).rate) if known else None


def bought(files: Files, currencies: Collection[str]) -> list[Bought]:
    def of(dataset: str) -> list[tuple[str, Any]]:
        return [(day, row) for (of, day, _), rows in sorted(files.items()) if of == dataset for row in rows]

    rates = [
        rate
        for _, rate in current_rows((day, (row.currency, row.valid_from), row) for day, row in of("rates")).values()
    ]
    wanted = (
        (day, row.purchase, row)
        for day, row in of("purchases")
        if row.currency in currencies and rate_of(rates, row.currency, row.date) is not None
    )
    found = []
    for day, row in current_rows(wanted).values():
        rate = rate_of(rates, row.currency, row.date)
        assert rate is not None
        found.append(Bought(date.fromisoformat(day), row, rate))
    return sorted(found, key=lambda one: (one.ingested_on, one.row.purchase))


def fact(purchases: Iterable[Bought]) -> list[Row]:
    return [
        (
            *(one.ingested_on, one.row.purchase, one.row.customer),
            *(one.row.first_name or None, one.row.last_name or None, one.row.email or None),
            *(one.on, Decimal(one.row.amount), one.row.currency, one.rate, one.aud),
        )
        for one in purchases
    ]


def spend(purchases: Iterable[Bought]) -> dict[str, Row]:
    """Return (name, address, sum, number, first day, last day) by customer."""
    by_customer: dict[str, list[Bought]] = {}
    for one in purchases:
        by_customer.setdefault(one.row.customer, []).append(one)
    found = {}
    for customer, those in by_customer.items():
        latest = max(those, key=lambda one: one.recency)
        days = [one.on for one in those]
        total = sum((one.aud for one in those), Decimal(0))
        found[customer] = (latest.full_name, latest.row.email or None, total, len(those), min(days), max(days))
    return found


def by_day(purchases: list[Bought]) -> list[Row]:
    """Return the customers of each day with their spending by its end."""
    found = []
    for day in sorted({one.ingested_on for one in purchases}):
        of_the_day = {one.row.customer for one in purchases if one.ingested_on == day}
        known = spend(one for one in purchases if one.ingested_on <= day)
        found += [(day, customer, *known[customer]) for customer in sorted(of_the_day)]
    return found


def top(purchases: list[Bought], day: date) -> list[Row]:
    """Return (rank, customer, name, sum, number, first day, last day) of the top five spenders by the end of a day."""
    known = spend(one for one in purchases if one.ingested_on <= day)
    ranks = {customer: 1 + sum(other[2] > row[2] for other in known.values()) for customer, row in known.items()}
    return sorted((ranks[c], c, row[0], *row[2:]) for c, row in known.items() if ranks[c] <= 5)
