"""The customers of the shop, who register, move, marry or change their address, as changed rows by day."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np
from faker import Faker

from waybill_devtools.sampledata.lines import Layout, Lines, Part, choices, dates, instants, integers, join, quoted
from waybill_devtools.sampledata.shop_errors import customer_kinds
from waybill_devtools.sampledata.shop_feed import Numbers, Rows, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from waybill_devtools.sampledata.files import SampleBuilder

COUNTRIES = {
    "DE": 0.24,
    "US": 0.18,
    "FR": 0.13,
    "GB": 0.12,
    "NL": 0.08,
    "ES": 0.07,
    "IT": 0.06,
    "PL": 0.05,
    "SE": 0.04,
    "AT": 0.03,
}
DOMAINS = ("example.com", "example.org", "mail.example.net", "post.example.de")
LOCALES = ("en_US", "de_DE", "fr_FR", "sv_SE")
NAMES_PER_LOCALE = 40
CUSTOMERS, ARRIVALS_A_DAY, UNLISTED_SHARE = 1100, 6, 0.004
GUEST_SHARE, GUEST_DAYS = 0.3, 3
FIRST_CUSTOMER = 20_001
DAY_SECONDS = 86_400
TWICE_SHARE = 0.05
# what changes on a day: share of the customers
CHANGES = {"country": 0.014, "domain": 0.014, "last": 0.012, "nothing": 0.008}
CUSTOMER = np.dtype(
    [
        ("customer_id", "i8"),
        ("first", "i8"),
        ("last", "i8"),
        ("mailbox", "i8"),
        ("domain", "i8"),
        ("registration_date", "M8[D]"),
        ("country", "i8"),
        ("updated_at", "M8[s]"),
    ]
)
COLUMNS = ("customer_id", "name", "email", "registration_date", "country", "updated_at")
LAYOUTS = (
    Layout(COLUMNS),
    Layout(COLUMNS, lambda column: column.replace("_", " ").title(), b"\r\n"),
    Layout(COLUMNS[::-1], lambda column: column.upper()),
)
# day: number of an actor (or the day's first newcomer), what changes, days late, in words
NEWCOMER = -1
SCRIPT: dict[int, list[tuple[int, str, int, str]]] = {
    4: [(2, "country", 5, "moves to another country, which is delivered five days later")],
    5: [(0, "country", 0, "moves to another country")],
    6: [
        (3, "domain", 0, "changes the e-mail address"),
        (NEWCOMER, "nothing", 5, "registers, which is delivered five days later"),
    ],
    7: [(2, "back", 0, "moves back, which is delivered before the first move is")],
    8: [
        (1, "country", 6, "moves to another country, which is delivered six days later"),
        (NEWCOMER, "domain", 0, "changes the e-mail address, which is delivered before the registration is"),
    ],
    10: [(1, "domain", 0, "changes the e-mail address, which is delivered before the move is")],
    12: [(0, "back", 0, "moves back to the first country")],
}
NEWCOMER_DAY = 6


class Customers:
    """All customers as arrays; `changes` moves the state on by a day."""

    def __init__(self, seed: int, first: np.datetime64, days: int, scale: float) -> None:
        rng = self.rng = np.random.default_rng([seed, 10])
        self.first, self.days = first, days
        initial, arrivals = max(40, round(CUSTOMERS * scale)), max(1, round(ARRIVALS_A_DAY * scale))
        unlisted = max(1, round(UNLISTED_SHARE * initial))
        self.since: Numbers = np.concatenate(
            [np.zeros(initial, np.int64), np.repeat(np.arange(1, days), arrivals), np.zeros(unlisted, np.int64)]
        )
        total = len(self.since)
        self.listed = np.arange(total) < total - unlisted  # the others buy and are never delivered
        self.first_names, self.last_names = _names(seed)
        self.rows = rows = np.zeros(total, CUSTOMER)
        rows["customer_id"] = FIRST_CUSTOMER + np.arange(total)
        rows["first"] = rng.integers(0, len(self.first_names), total)
        rows["last"] = rows["mailbox"] = rng.integers(0, len(self.last_names), total)
        rows["domain"] = rng.integers(0, len(DOMAINS), total)
        rows["country"] = rng.choice(len(COUNTRIES), total, p=np.array(list(COUNTRIES.values())))
        rows["registration_date"] = first + np.where(self.since > 0, self.since, -rng.integers(7, 1500, total))
        rows["updated_at"] = first - rng.integers(1, 6 * DAY_SECONDS, total).astype("m8[s]")
        self.home = rows["country"].copy()
        # Some buy as guests before they register.
        self.acts_from = self.since - GUEST_DAYS * (rng.random(total) < GUEST_SHARE)
        self.scripted = np.zeros(total, bool)
        self.scripted[:4] = True
        if days > NEWCOMER_DAY:
            self.newcomer = int(np.argmax(self.since == NEWCOMER_DAY))
            self.scripted[self.newcomer] = True
        self._weights = np.cumsum(rng.lognormal(0.0, 1.2, total))

    def draw(self, rng: np.random.Generator, size: int, index: int) -> Numbers:
        """Return the ids of customers who act on day number `index`: a few act often, most seldom."""
        here = np.cumsum(np.diff(self._weights, prepend=0) * (self.acts_from <= index))
        ids: Numbers = self.rows["customer_id"][np.searchsorted(here, rng.random(size) * here[-1], side="right")]
        return ids

    def changes(self, index: int, builder: SampleBuilder) -> tuple[Rows, Numbers]:
        """Return the changed rows of day number `index`, and by how many days each is delivered late.

        On the first day these are all customers there are, changed within the week before.
        """
        rng, day = self.rng, self.first + index
        if index == 0:
            rows = self.rows[self.listed & (self.since == 0)]
            return rows, np.zeros(len(rows), np.int64)
        new = np.flatnonzero(self.listed & (self.since == index))
        free = np.flatnonzero(self.listed & (self.since < index) & ~self.scripted)
        draw = rng.random(len(free))
        kinds = np.searchsorted(np.cumsum(list(CHANGES.values())), draw, side="right")
        changing, kinds = free[kinds < len(CHANGES)], kinds[kinds < len(CHANGES)]
        again = np.flatnonzero(rng.random(len(changing)) < TWICE_SHARE)
        half = np.full(len(changing), DAY_SECONDS)
        half[again] = DAY_SECONDS // 2  # who changes twice does it in the morning and in the afternoon
        rows = [
            self._changed(new, day, rng.integers(0, DAY_SECONDS, len(new))),
            self._apply(changing, kinds, day, rng.integers(0, half)),
            self._apply(changing[again], (kinds[again] + 1) % len(CHANGES), day,
                        rng.integers(DAY_SECONDS // 2, DAY_SECONDS, len(again))),
        ]  # fmt: skip
        lags = [np.zeros(sum(map(len, rows)), np.int64)]
        for actor, what, lag, words in SCRIPT.get(index, ()):
            who = self.newcomer if actor == NEWCOMER else actor
            builder.story(str(day), f"customer {self.rows['customer_id'][who]} {words}")
            if who in new:
                lags[0][np.flatnonzero(new == who)] = lag
                continue
            column = "country" if what == "back" else what
            size = len(COUNTRIES if column == "country" else DOMAINS)
            self.rows[column][who] = self.home[who] if what == "back" else (self.rows[column][who] + 1) % size
            rows.append(self._changed(np.array([who]), day, np.array([DAY_SECONDS // 2])))
            lags.append(np.array([lag]))
        return np.concatenate(rows), np.concatenate(lags)

    def _apply(self, who: Numbers, kinds: Numbers, day: np.datetime64, second: Numbers) -> Rows:
        """Apply changes. Customers who live abroad mostly move back."""
        rng, rows = self.rng, self.rows
        names = list(CHANGES)
        other = (rows["country"][who] + rng.integers(1, len(COUNTRIES), len(who))) % len(COUNTRIES)
        returns = (rows["country"][who] != self.home[who]) & (rng.random(len(who)) < 0.6)
        wanted: dict[str, NDArray[np.int64]] = {
            "country": np.where(returns, self.home[who], other),
            "domain": (rows["domain"][who] + 1) % len(DOMAINS),
            "last": rng.integers(0, len(self.last_names), len(who)),
        }
        for column, values in wanted.items():
            is_it = kinds == names.index(column)
            rows[column][who[is_it]] = values[is_it]
        return self._changed(who, day, second)

    def _changed(self, who: Numbers, day: np.datetime64, second: Numbers) -> Rows:
        self.rows["updated_at"][who] = day + second.astype("m8[s]")
        changed: Rows = self.rows[who]
        return changed

    def source(self) -> Source:
        """Return the source of the feed of customers."""
        return Source(
            "customers",
            "updated_at",
            self._write,
            _at_another_time,
            customer_kinds,
            LAYOUTS,
            (".csv", ".csv", ".csv.gz"),
        )

    def _write(self, rows: Rows, layout: Layout) -> Lines:
        first, last = rows["first"], rows["last"]
        is_quoted = np.array([quoted(name) != name for name in self.last_names])
        mark = (choices(["", '"']), is_quoted[last].astype(np.int64))
        columns: dict[str, list[Part]] = {
            "customer_id": [(integers, rows["customer_id"])],
            "name": [
                mark,
                (choices(self.first_names), first),
                b" ",
                (choices([name.replace('"', '""') for name in self.last_names]), last),
                mark,
            ],
            "email": [
                (choices([_ascii(name) for name in self.first_names]), first),
                b".",
                (choices([_ascii(name) for name in self.last_names]), rows["mailbox"]),
                (integers, rows["customer_id"]),
                b"@",
                (choices(DOMAINS), rows["domain"]),
            ],
            "registration_date": [(dates, rows["registration_date"])],
            "country": [(choices(list(COUNTRIES)), rows["country"])],
            "updated_at": [(instants, rows["updated_at"])],
        }
        return join([columns[name] for name in layout.columns], layout.newline)


def _at_another_time(rng: np.random.Generator, rows: Rows) -> Rows:
    """Return the same customers, changed at another time of the day."""
    seconds = rng.integers(0, DAY_SECONDS, len(rows)).astype("m8[s]")
    rows["updated_at"] = rows["updated_at"].astype("M8[D]") + seconds
    return rows


def _names(seed: int) -> tuple[list[str], list[str]]:
    """Return first and last names; a few last names need quotes in CSV."""
    first: list[str] = []
    last: list[str] = []
    for locale in LOCALES:
        faker = Faker(locale)
        faker.seed_instance(seed)
        first += [faker.first_name() for _ in range(NAMES_PER_LOCALE)]
        last += [faker.last_name() for _ in range(NAMES_PER_LOCALE)]
    return first, [*last, "O'Neill", "Sterling, Jr.", 'Berg "the Tall"', "Çelik Søn"]


def _ascii(name: str) -> str:
    """Return the letters of a name that are valid in an e-mail address."""
    plain = unicodedata.normalize("NFKD", name.lower().replace("ß", "ss").replace("ø", "o"))
    return "".join(letter for letter in plain if "a" <= letter <= "z")
