"""The customers of the sample, who arrive, leave, return and change, and the snapshot of each month."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from faker import Faker

from waybill_devtools.sampledata.injected_errors import Kind, Record, fields_with_error
from waybill_devtools.sampledata.lines import InjectedRecord, Lines, quoted, record, splice
from waybill_devtools.sampledata.messaging_errors import customer_kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from waybill_devtools.sampledata.files import SampleBuilder

SEGMENTS = ("Startup", "Small Business", "Mid-Market", "Enterprise")
COUNTRIES = ("DE", "FR", "GB", "NL", "ES", "IT", "PL", "SE", "AT", "US")
# industry: share of customers, revenue of a customer relative to the others
INDUSTRIES = {
    "Retail": (0.20, 1.0),
    "Banking": (0.10, 3.0),
    "Healthcare": (0.11, 1.3),
    "Travel & Tourism": (0.09, 0.8),
    "Logistics": (0.12, 1.6),
    "Telecommunications": (0.07, 2.2),
    "Education": (0.11, 0.35),
    "Energy, Water": (0.08, 0.6),
    "Gaming": (0.07, 4.0),
    "Agriculture": (0.05, 0.15),
}
QUIET_INDUSTRY = list(INDUSTRIES).index("Agriculture")
LOCALES = ("en_US", "de_DE", "fr_FR", "sv_SE")
NAMES_PER_LOCALE = 30
FIRST_CUSTOMER, FIRST_ACCOUNT, FIRST_GHOST = 1001, 501, 900_001
ERROR_SHARE = 0.01
COLUMNS = ("customer_id", "account_id", "customer_name", "segment", "industry", "country", "created_date")
STATE = np.dtype([("segment", "i1"), ("industry", "i1"), ("country", "i1"), ("renamed", "?")])
SYNONYMS = {
    "customer_id": "cust_id",
    "account_id": "Acct ID",
    "country": "Country-Code",
    "created_date": "created",
}
# how a snapshot is written, by month in turn: line end, byte order mark, suffix, spelling of a column
HEADERS: tuple[tuple[str, bytes, str, Callable[[str], str]], ...] = (
    ("\n", b"", "", lambda column: column),
    ("\r\n", b"", "", lambda column: column.replace("_", " ").title()),
    ("\n", b"", ".gz", lambda column: column.replace("_", "-").title()),
    ("\r\n", b"\xef\xbb\xbf", "", lambda column: column.upper()),
    ("\n", b"", "", lambda column: SYNONYMS.get(column, column)),
)


class Customers:
    """All customers as arrays; `advance` moves the state on by a month."""

    def __init__(self, seed: int, first: np.datetime64, months: int, scale: float) -> None:
        rng = self.rng = np.random.default_rng([seed, 1])
        self.first, self.months = first, months
        self.initial = max(40, round(300 * scale))
        self.arrivals = max(1, round(0.015 * self.initial))
        total = self.initial + self.arrivals * (months - 1)
        since = np.concatenate([np.zeros(self.initial, int), np.repeat(np.arange(1, months), self.arrivals)])
        self.arrival_month: NDArray[np.int64] = since
        self.customer_id = np.arange(FIRST_CUSTOMER, FIRST_CUSTOMER + total)
        self.account_id = FIRST_ACCOUNT + np.cumsum(rng.random(total) < 0.75)
        self.size = rng.lognormal(0.0, 1.1, total)
        self.steady = rng.random(total) < 0.75
        self.created = np.where(
            since > 0,
            (first + since).astype("M8[D]") + rng.integers(0, 28, total),
            first.astype("M8[D]") - rng.integers(1, 2500, total),
        )
        self.names = _names(seed, total)
        self.state = np.zeros(total, STATE)
        self.state["segment"] = rng.integers(0, len(SEGMENTS), total)
        shares = np.array([share for share, _ in INDUSTRIES.values()])
        self.state["industry"] = rng.choice(len(INDUSTRIES), total, p=shares / shares.sum())
        self.state["country"] = rng.choice(len(COUNTRIES), total)
        self.home = self.state.copy()
        self.present = since == 0
        self.before = np.zeros(total, bool)  # present, in the month before
        self.accepted = np.zeros(total, bool)  # in the last snapshot and not rejected
        self.changed = np.zeros(total, bool)
        # Customers with a planned story; they change in no other way.
        self.big_with_gap = np.argsort(-self.size[: self.initial])[[2, 5]]
        self.scripted = np.zeros(total, bool)
        self.actors = np.setdiff1d(np.arange(10), self.big_with_gap)[:6]
        self.scripted[[*self.actors, *self.big_with_gap]] = True
        self._error_mix = count()

    def revenue_factor(self) -> NDArray[np.float64]:
        """Return the relative revenue of a row of each customer."""
        of_industry = np.array([factor for _, factor in INDUSTRIES.values()])
        factors: NDArray[np.float64] = self.size * of_industry[self.state["industry"]]
        return factors

    def advance(self, index: int, builder: SampleBuilder) -> None:
        """Simulate month number `index` (0-based)."""
        if index == 0:
            return
        rng, state, old = self.rng, self.state, self.state.copy()
        total = len(state)
        self.before = self.present.copy()
        draw, second = rng.random(total), rng.random(total)
        free = self.present & ~self.scripted

        move = free & (draw < 0.025)
        away = state["segment"] != self.home["segment"]
        step = np.where(second < 0.5, 1, -1)
        moved = np.clip(state["segment"] + step, 0, len(SEGMENTS) - 1)
        state["segment"] = np.where(move, np.where(away, self.home["segment"], moved), state["segment"])
        for column, low, size in (("industry", 0.025, len(INDUSTRIES)), ("country", 0.03, len(COUNTRIES))):
            shifted = (state[column] + rng.integers(1, size, total)) % size
            state[column] = np.where(free & (draw >= low) & (draw < low + 0.005), shifted, state[column])
        state["renamed"] ^= free & (draw >= 0.035) & (draw < 0.045)

        leaving = free & (draw >= 0.05) & (draw < 0.06)
        returning = ~self.present & ~self.scripted & (self.arrival_month < index) & (second < 0.2)
        self.present = (self.present & ~leaving) | returning | (self.arrival_month == index)
        self._act(index, builder)
        self.changed = state != old

    def _act(self, index: int, builder: SampleBuilder) -> None:
        """Apply the planned stories, counted back from the last month, so that every last year has them."""
        twice, once, absent, outside, inside, industry = self.actors
        shift = {
            8: (twice, "segment", 1, "changes segment (and changes it back five months later)"),
            3: (twice, "segment", -1, "changes segment back"),
            5: (once, "segment", 1, "changes segment for good"),
            12: (outside, "segment", 1, "changes segment, one month too early for the last 12 months"),
            11: (inside, "segment", 1, "changes segment, just inside the last 12 months"),
            9: (industry, "industry", 1, "changes industry (and changes it back three months later)"),
            6: (industry, "industry", -1, "changes industry back"),
        }
        left = self.months - 1 - index
        month = str(self.first + index)
        if left in shift:
            who, column, step, words = shift[left]
            size = len(SEGMENTS if column == "segment" else INDUSTRIES)
            self.state[column][who] = (self.state[column][who] + step) % size
            builder.story(month, f"customer {self.customer_id[who]} {words}")
        if left == 7:
            self.present[absent] = False
            builder.story(month, f"customer {self.customer_id[absent]} leaves for three months")
        if left == 4 and not self.present[absent]:
            self.present[absent] = True
            self.state["segment"][absent] = (self.state["segment"][absent] + 1) % len(SEGMENTS)
            builder.story(month, f"customer {self.customer_id[absent]} returns, in another segment")

    def record(self, who: int) -> Record:
        """Write a customer's row as text."""
        segment, industry, country, renamed = self.state[who].tolist()
        values = (
            str(self.customer_id[who]),
            str(self.account_id[who]),
            self.names[who] + (" International" if renamed else ""),
            SEGMENTS[segment],
            list(INDUSTRIES)[industry],
            COUNTRIES[country],
            str(self.created[who]),
        )
        return dict(zip(COLUMNS, values, strict=True))

    def add_snapshot(self, index: int, builder: SampleBuilder) -> None:
        """Add the month's snapshot with injected errors.

        A rejected record removes its customer from this snapshot. Errors therefore affect only customers who were
        accepted before, because traffic may refer to them. In the first month, they affect invented customers.
        """
        rng, month = self.rng, self.first + index
        newline, mark, suffix, spell = HEADERS[index % len(HEADERS)]
        columns = list(COLUMNS)
        if index % 3 == 2:
            rng.shuffle(columns)
        present = np.flatnonzero(self.present)
        if index % 4 == 1:
            rng.shuffle(present)
        kinds = customer_kinds(month)
        chosen = [kinds[next(self._error_mix) % len(kinds)] for _ in range(max(1, round(ERROR_SHARE * len(present))))]
        candidates = present[self.accepted[present] & ~self.scripted[present]] if index else present
        victims = rng.choice(candidates, len(chosen), replace=False)

        rejected = np.zeros(len(self.present), bool)
        if index:
            rejected[[v for v, kind in zip(victims, chosen, strict=True) if _replaces(kind)]] = True
        clean = present[~rejected[present]]
        position = {int(who): place for place, who in enumerate(clean)}
        injected = []
        for number, (victim, kind) in enumerate(zip(victims.tolist(), chosen, strict=True)):
            original = {column: self.record(victim)[column] for column in columns}
            if _replaces(kind) and not index:
                original["customer_id"] = str(FIRST_GHOST + number)
            low = 0 if _replaces(kind) else position[victim] + 1
            fields = fields_with_error(_contradicting(kind, original), original)
            before = int(rng.integers(low, len(clean) + 1))
            line = record(fields, newline.encode())
            injected.append(InjectedRecord(before, line, kind.reasons, kind.shape == "duplicate"))

        accepted = self.present & ~rejected
        known = accepted & self.accepted
        header = mark + record([spell(column) for column in columns], newline.encode())
        builder.add(
            "customers",
            str(month),
            f"customers_{month}.csv{suffix}",
            splice(header, self._lines(clean, columns, newline), injected),
            inserted=int((accepted & ~known).sum()),
            updated=int((known & self.changed).sum()),
            unchanged=int((known & ~self.changed).sum()),
        )
        self.accepted = accepted

    def _lines(self, who: NDArray[np.int64], columns: list[str], newline: str) -> Lines:
        state = self.state[who]
        industries = [quoted(industry) for industry in INDUSTRIES]
        names = zip(who.tolist(), state["renamed"].tolist(), strict=True)
        texts = {
            "customer_id": map(str, self.customer_id[who].tolist()),
            "account_id": map(str, self.account_id[who].tolist()),
            "customer_name": (quoted(self.names[i] + (" International" if new else "")) for i, new in names),
            "segment": (SEGMENTS[i] for i in state["segment"].tolist()),
            "industry": (industries[i] for i in state["industry"].tolist()),
            "country": (COUNTRIES[i] for i in state["country"].tolist()),
            "created_date": np.datetime_as_string(self.created[who]).tolist(),
        }
        rows = zip(*(texts[column] for column in columns), strict=True)
        return Lines.of([(",".join(row) + newline).encode() for row in rows])


def _replaces(kind: Kind) -> bool:
    """Return whether the record with the error replaces the valid one."""
    return kind.shape not in ("duplicate", "conflict")


def _contradicting(kind: Kind, original: Record) -> Kind:
    """Return the kind; a conflict gets a segment that differs from that of the record."""
    if kind.shape != "conflict":
        return kind
    return replace(kind, fields={"segment": next(name for name in SEGMENTS if name != original["segment"])})


def _names(seed: int, total: int) -> list[str]:
    """Return company names: few from Faker, varied by number and legal form. Some need quotes in CSV."""
    base: list[str] = []
    for locale in LOCALES:
        faker = Faker(locale)
        faker.seed_instance(seed)
        base += [faker.company() for _ in range(NAMES_PER_LOCALE)]
    forms = {
        7: "{}, Inc.",
        19: '"{}" Group',
        31: "{}\nHolding",
        43: 'The "Åse, Søn & Çelik" {}',
        59: "O'{} - Zürich",
    }
    names = []
    for i in range(total):
        name = base[i % len(base)] if i < len(base) else f"{base[i % len(base)]} {i // len(base) + 1}"
        names.append(forms.get(i % 61, "{}").format(name))
    return names
