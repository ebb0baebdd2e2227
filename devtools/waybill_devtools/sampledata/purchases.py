"""Sample files of purchases by day of ingestion, about 1 % with errors, and of rates by month.

The same options give the same bytes. The ground truth is recorded while errors are injected, not computed by
validating the files. A year has about 18,000 purchases: rows are made one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
from faker import Faker

from waybill_devtools.sampledata.files import (
    GROUND_TRUTH_PREFIX,
    SampleBuilder,
    SampleData,
    SampleFile,
    Uploaded,
    upload,
)
from waybill_devtools.sampledata.injected_errors import Kind
from waybill_devtools.sampledata.lines import InjectedRecord, Layout, Lines, record, splice
from waybill_devtools.sampledata.shop_feed import ErrorMix, inject, is_copy

__all__ = ["GROUND_TRUTH", "SampleData", "SampleFile", "Uploaded", "generate", "upload"]

GROUND_TRUTH = f"{GROUND_TRUTH_PREFIX}purchases.json"
CUSTOMERS, PURCHASES_A_DAY = 400, 45
OTHERS = {"EUR": 0.07, "GBP": 0.04, "NZD": 0.01}
"""Currencies that are filtered, with their share of the purchases."""
RATES = {"USD": 1.52, "EUR": 1.74, "GBP": 2.03, "NZD": 0.91}
MOST_DAYS_LATE = 3
MAX_ERROR_SHARE = 0.045  # less than the contract allows
KNOWN_DAYS = 30
CORRECTED_SHARE, AGAIN_SHARE, RENAMED_A_DAY = 0.004, 0.006, 0.15
COLUMNS = (
    *("customer_id", "first_name", "last_name", "email"),
    *("purchase_id", "purchase_date", "amount", "currency"),
)
LAYOUTS = (
    Layout(COLUMNS),
    Layout(COLUMNS, lambda column: column.replace("_", " ").title(), b"\r\n"),
    Layout(COLUMNS[::-1], lambda column: column.upper().replace("_", "-")),
)


@dataclass(frozen=True)
class _Purchase:
    """One purchase; the amount is in cents."""

    number: int
    customer: int
    first_name: str
    last_name: str
    email: str
    on: date
    cents: int
    currency: str = "USD"

    def line(self, layout: Layout) -> bytes:
        fields = {
            "customer_id": f"C-{self.customer}",
            "first_name": self.first_name,
            "last_name": self.last_name,
            "email": self.email,
            "purchase_id": f"P-{self.number}",
            "purchase_date": str(self.on),
            "amount": f"{self.cents // 100}.{self.cents % 100:02d}",
            "currency": self.currency,
        }
        return record([fields[name] for name in layout.columns], layout.newline)


def kinds(day: date, first_rate: date) -> list[Kind]:
    """Return the kinds of errors for a file of a day; there are no rates before `first_rate`."""
    return [
        Kind({}, (), "duplicate"),
        Kind({"amount": "-{}"}, ("range:amount",)),
        Kind({"purchase_date": str(first_rate - timedelta(days=1))}, ("in_force:currency",)),
        Kind({"email": "not-an-address"}, ("pattern:email",)),
        Kind({"amount": "{}5"}, ("type:amount",)),
        Kind({"customer_id": "C-0"}, ("conflict",), "conflict"),
        Kind({"currency": "usd"}, ("in_force:currency", "pattern:currency")),
        Kind({"purchase_date": str(day + timedelta(days=1))}, ("rule:bought_by_ingestion",)),
        Kind({"customer_id": ""}, ("required:customer_id",)),
        Kind({}, ("ragged",), "short"),
        Kind({"amount": ""}, ("required:amount",)),
        Kind({"purchase_date": "2025-02-30"}, ("type:purchase_date",)),
        Kind({"customer_id": " {} ", "amount": "+{}"}, (), "duplicate"),
        Kind({"purchase_id": ""}, ("required:purchase_id",)),
        Kind({"last_name": "Andr\udce9"}, ("encoding",)),
        Kind({"currency": ""}, ("required:currency",)),
        Kind({"amount": "0.00"}, ("range:amount",)),
        Kind({}, ("ragged",), "long"),
        Kind({"first_name": "X" * 201}, ("length:first_name",)),
        Kind({"amount": "1,200.00", "purchase_date": ""}, ("required:purchase_date", "type:amount")),
    ]


@dataclass
class _Feed:
    """Builds the files of purchases, day by day."""

    rng: np.random.Generator
    first_rate: date
    builder: SampleBuilder
    people: list[tuple[str, str, str]]
    weights: np.ndarray
    number: int = 100_000
    known: dict[int, tuple[int, _Purchase]] = field(default_factory=dict)
    """By purchase on which day it was sent last, as it then was; of the last days."""
    error_mix: ErrorMix = field(default_factory=lambda: ErrorMix(MAX_ERROR_SHARE))

    def deliver(self, index: int, day: date, rows: int) -> None:
        """Add the file of day number `index`, with so many new purchases."""
        rng, layout = self.rng, LAYOUTS[index % len(LAYOUTS)]
        self._rename(day)
        wanted: list[_Purchase] = []
        others: list[_Purchase] = []
        for _ in range(rows):
            purchase = self._purchase(day)
            (wanted if purchase.currency == "USD" else others).append(purchase)
        changed, again = self._known_before(index)
        clean = [*wanted, *changed]
        clean = [clean[place] for place in rng.permutation(len(clean))]
        chosen = self.error_mix.choose(len(clean), kinds(day, self.first_rate))
        spare = [self._purchase(day, "USD").line(layout) for kind in chosen if not is_copy(kind)]
        lines = Lines.of([purchase.line(layout) for purchase in clean])
        injected = inject(rng, chosen, lines, Lines.of(spare), layout) if chosen else []
        for purchase in others:
            injected.append(InjectedRecord(int(rng.integers(0, len(clean) + 1)), purchase.line(layout)))
        for purchase in again:
            injected.append(InjectedRecord(int(rng.integers(0, len(clean) + 1)), purchase.line(layout), duplicate=True))
        self.known |= {purchase.number: (index, purchase) for purchase in clean}
        self.builder.add(
            "purchases",
            str(day),
            f"purchases_{day}.csv",
            splice(record(map(layout.spell, layout.columns), layout.newline), lines, injected),
            inserted=len(wanted),
            updated=len(changed),
            unchanged=0,
            filtered=len(others),
        )

    def _purchase(self, day: date, currency: str | None = None) -> _Purchase:
        rng = self.rng
        self.number += 1
        customer = int(np.searchsorted(self.weights, rng.random() * self.weights[-1]))
        late = int(rng.integers(1, MOST_DAYS_LATE + 1)) if rng.random() < 0.1 else 0
        if currency is None:
            names = ["USD", *OTHERS]
            currency = names[int(rng.choice(len(names), p=[1 - sum(OTHERS.values()), *OTHERS.values()]))]
        cents = 1 + int(rng.lognormal(8.2, 1.1))
        return _Purchase(
            self.number, 1000 + customer, *self.people[customer], day - timedelta(days=late), cents, currency
        )

    def _rename(self, day: date) -> None:
        if self.rng.random() >= RENAMED_A_DAY:
            return
        customer = int(self.rng.integers(0, len(self.people)))
        first_name, last_name, email = self.people[customer]
        self.people[customer] = (first_name, f"{last_name}-Reyes", f"new.{email}")
        self.builder.story(str(day), f"customer C-{1000 + customer} has another name and address from now on")

    def _known_before(self, index: int) -> tuple[list[_Purchase], list[_Purchase]]:
        """Of the purchases sent before: some that are corrected now, and some that are sent again as they are."""
        changed, again = [], []
        self.known = {number: sent for number, sent in self.known.items() if sent[0] >= index - KNOWN_DAYS}
        sent = [purchase for _, purchase in self.known.values()]
        for _ in range(int(self.rng.binomial(len(sent), (CORRECTED_SHARE + AGAIN_SHARE) / KNOWN_DAYS))):
            purchase = sent.pop(int(self.rng.integers(0, len(sent))))
            if self.rng.random() < AGAIN_SHARE / (CORRECTED_SHARE + AGAIN_SHARE):
                again.append(purchase)
            else:
                changed.append(replace(purchase, cents=purchase.cents + 100))
        return changed, again


def _add_rates(rng: np.random.Generator, first_rate: date, last: date, builder: SampleBuilder) -> None:
    """Add a file for each month with a rate for each week; the third one corrects the week before."""
    newline = LAYOUTS[0].newline
    weeks = [first_rate + timedelta(days=7 * number) for number in range((last - first_rate).days // 7 + 1)]
    by_month: dict[tuple[int, int], list[date]] = {}
    for week in weeks:
        by_month.setdefault((week.year, week.month), []).append(week)
    factor = dict.fromkeys(RATES, 1.0)
    for number, those in enumerate(by_month.values()):
        rows: list[bytes] = []
        updated = 0
        if number == 2:
            before = those[0] - timedelta(days=7)
            rows.append(record(["USD", str(before), "1.49875000"], newline))
            updated = 1
            builder.story(str(those[0]), f"the rate of USD from {before} on is corrected")
        for week in those:
            for currency, middle in RATES.items():
                factor[currency] *= 1 + float(rng.normal(0, 0.004))
                rows.append(record([currency, str(week), f"{middle * factor[currency]:.8f}"], newline))
        builder.add(
            "rates",
            str(those[0]),
            f"rates_{those[0]:%Y-%m}.csv",
            splice(record(["currency", "valid_from", "rate"], newline), Lines.of(rows), []),
            inserted=len(rows) - updated,
            updated=updated,
            unchanged=0,
        )


def generate(last_day: str, days: int = 365, seed: int = 20260101, scale: float = 1.0) -> SampleData:
    """Return files for `days` consecutive days of ingestion up to `last_day` (YYYY-MM-DD), and files of rates.

    Scale 1 is about 400 customers, and 51 rows a day: new purchases, 12 % of them in other currencies than US
    dollars, corrections of earlier ones, some sent again, and errors. Raises ValueError for an invalid day, no
    days or a scale that is not positive.
    """
    try:
        last = date.fromisoformat(last_day)
    except ValueError:
        raise ValueError(f"last_day is {last_day!r}, expected a day as YYYY-MM-DD") from None
    if days < 1 or scale <= 0:
        raise ValueError(f"days is {days} and scale {scale}, expected at least one day and a positive scale")
    first = last - timedelta(days=days - 1)
    first_rate = first - timedelta(days=MOST_DAYS_LATE)
    rng, builder = np.random.default_rng([seed, 40]), SampleBuilder("purchases", "day")
    _add_rates(rng, first_rate, last, builder)
    faker = Faker("en_AU")
    faker.seed_instance(seed)
    people = []
    for number in range(max(10, round(CUSTOMERS * scale))):
        first_name, last_name = faker.first_name(), faker.last_name()
        letters = f"{first_name}.{last_name}".lower().replace("'", "").replace(" ", "")
        people.append((first_name, last_name, f"{letters}{number}@example.com"))
    feed = _Feed(rng, first_rate, builder, people, np.cumsum(rng.lognormal(0.0, 1.2, len(people))))
    for index in range(days):
        rows = int(rng.poisson(PURCHASES_A_DAY * scale)) + 5
        feed.deliver(index, first + timedelta(days=index), rows)
    options = {"last_day": str(last), "days": days, "seed": seed, "scale": scale}
    return SampleData(builder.domain, builder.files, builder.ground_truth(options))
