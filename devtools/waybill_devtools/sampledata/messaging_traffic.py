"""The traffic of the sample: one or two files for each month, and files that correct earlier months."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from waybill_devtools.sampledata.injected_errors import Record, fields_with_error
from waybill_devtools.sampledata.lines import (
    InjectedRecord,
    Layout,
    Lines,
    Writer,
    dates,
    hundredths,
    integers,
    join,
    record,
    splice,
)
from waybill_devtools.sampledata.messaging_customers import FIRST_CUSTOMER, QUIET_INDUSTRY, Customers
from waybill_devtools.sampledata.messaging_errors import LOOKBACK_MONTHS, traffic_kinds

if TYPE_CHECKING:
    from waybill_devtools.sampledata.files import SampleBuilder

# channel_id: name, type, price in euro, share of the rows
CHANNELS = {
    1: ("SMS", "sms", Decimal("0.0450"), 0.28),
    2: ("Email", "email", Decimal("0.0009"), 0.25),
    3: ("Push", "push", Decimal("0.0005"), 0.15),
    4: ("Voice", "voice", Decimal("0.0600"), 0.10),
    5: ("WhatsApp", "chat", Decimal("0.0380"), 0.12),
    6: ('Web chat, "live"', "chat", Decimal("0.0210"), 0.06),
    7: ("RCS", "chat", Decimal("0.0300"), 0.04),
}
ROWS_A_MONTH = 5000
ERROR_SHARE = 0.01
ODD_ROWS = 3  # valid, but written in an unusual way
SECOND_FILE_FROM_DAY = 23
CORRECTION_LAGS = (LOOKBACK_MONTHS, 1, 2, 5)  # in months; by month in turn
# rows in a file of corrections, per row of an ordinary month
CHANGED_SHARE, REDELIVERED_SHARE, LATE_SHARE = 0.010, 0.006, 0.008
TIED_RANK = 20
MOST_INTERACTIONS, MOST_CENTS = 1_000_000_000, 500_000_00
ROW = np.dtype(
    [
        ("traffic_id", "i8"),
        ("send_date", "M8[D]"),
        ("account_id", "i8"),
        ("customer_id", "i8"),
        ("channel_id", "i8"),
        ("interactions_count", "i8"),
        ("revenue_eur", "i8"),  # in cents
    ]
)
WRITERS: dict[str, Writer] = {"send_date": dates, "revenue_eur": hundredths}
DAYS, SLOTS = 31, max(CHANNELS) + 1

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]

SYNONYMS = {"traffic_id": "id", "send_date": "Sent On", "account_id": "ACCT-ID", "revenue_eur": "revenue"}
PLAIN = Layout(tuple(ROW.names or ()))
TITLED = Layout(PLAIN.columns, lambda column: column.replace("_", "-").title(), b"\r\n")
REVERSED = Layout(PLAIN.columns[::-1], lambda column: SYNONYMS.get(column, column))


@dataclass(frozen=True)
class Activity:
    """The senders of a month: weight and revenue factor of each customer, and who must have revenue."""

    weights: NDArray[np.float64]
    factors: NDArray[np.float64]
    steady: Numbers


def channels_of(index: int, months: int) -> list[int]:
    """Return the channels in month number `index`. The last channel starts after a third of the months."""
    return list(CHANNELS)[: None if index >= max(1, months // 3) else -1]


class Traffic:
    """Builds the traffic files; `known` has the accepted rows of each month after the files made so far."""

    def __init__(self, seed: int, customers: Customers, builder: SampleBuilder, scale: float) -> None:
        self.rng = np.random.default_rng([seed, 2])
        self.customers, self.builder = customers, builder
        self.ordinary_rows = ROWS_A_MONTH * scale
        self.known: dict[int, Rows] = {}
        self.activity: dict[int, Activity] = {}
        self.next_id = 1_000_001
        self.error_mix = count()

    def add_month(self, index: int) -> None:
        """Add the month's own file or two; the second has the last days and redelivers some rows."""
        self.activity[index] = activity = self._activity(index)
        wanted = max(len(activity.steady), round(self.ordinary_rows * (1 + 0.1 * np.sin(index))))
        rows = self._rows(index, wanted, steady=activity.steady)
        if index == self.customers.months - 1:
            self._tie(rows, str(self._month(index)))
        self.known[index] = rows
        name = f"traffic_{self._month(index)}"
        if index % 2 == 0:
            self._injected(index, f"{name}.csv", PLAIN, rows, unclosed=index % 4 == 2)
            return
        late = rows["send_date"] >= self._day_one(index) + (SECOND_FILE_FROM_DAY - 1)
        again = rows[~late][self._some(int(np.count_nonzero(~late)), REDELIVERED_SHARE)]
        self._injected(index, f"{name}.csv.gz", PLAIN, rows[~late])
        self._injected(index, f"{name}_part2.csv", TITLED, rows[late], unchanged=again)
        self.builder.story(str(self._month(index)), f"the second file has {len(again)} rows of the first again")

    def add_corrections(self, index: int) -> None:
        """Add a file that corrects an earlier month: changed rows, late rows and some unchanged ones.

        At the longest lag, the late rows are all of the first day that may still come.
        """
        lag = CORRECTION_LAGS[index % len(CORRECTION_LAGS)]
        if index < lag:
            return
        earlier = index - lag
        rows = self.known[earlier]
        chosen = self._some(len(rows), CHANGED_SHARE + REDELIVERED_SHARE)
        cut = -(-len(chosen) * CHANGED_SHARE // (CHANGED_SHARE + REDELIVERED_SHARE))
        changing, again = np.split(chosen, [int(cut)])
        changed = rows[changing]
        cents = (changed["revenue_eur"] * self.rng.uniform(0.5, 1.6, len(changed))).astype(np.int64)
        cents[::10] = 0
        changed["revenue_eur"] = np.where(cents == changed["revenue_eur"], cents + 100, cents)
        rows[changing] = changed
        wanted = max(1, round(LATE_SHARE * self.ordinary_rows))
        late = self._rows(earlier, wanted, days=1 if lag == LOOKBACK_MONTHS else None)
        self.known[earlier] = np.concatenate([rows, late])
        corrected = self._month(earlier)
        name = f"traffic_corrections_for_{corrected}.csv{'.gz' if index % 3 == 1 else ''}"
        self._injected(index, name, REVERSED, late, updated=changed, unchanged=rows[again])
        self.builder.story(
            str(self._month(index)),
            f"{len(changed)} rows of {corrected} are corrected, {len(late)} of it come late",
        )

    def _month(self, index: int) -> np.datetime64:
        return self.customers.first + index

    def _day_one(self, index: int) -> np.datetime64:
        day: np.datetime64 = self._month(index).astype("M8[D]")
        return day

    def _some(self, rows: int, share: float) -> Numbers:
        """Return the places of a few rows: a share of an ordinary month."""
        return self.rng.choice(rows, min(rows, max(1, round(share * self.ordinary_rows))), replace=False)

    def _activity(self, index: int) -> Activity:
        """Choose the senders: customers in the snapshot or just gone, without those who pause."""
        customers, left = self.customers, self.customers.months - 1 - index
        active = (customers.present | customers.before) & (
            customers.steady | (self.rng.random(len(customers.size)) < 0.7)
        )
        month = str(self._month(index))
        if left % 4 == 0:
            active &= customers.state["industry"] != QUIET_INDUSTRY
            self.builder.story(month, "Agriculture has customers and no traffic")
        if left == 4:
            active[customers.big_with_gap] = False
            gap = " and ".join(map(str, customers.customer_id[customers.big_with_gap]))
            self.builder.story(month, f"customers {gap}, among the largest, have no traffic")
        return Activity(
            np.sqrt(customers.size) * active,
            customers.revenue_factor(),
            np.flatnonzero(active & customers.present & customers.steady),
        )

    def _rows(self, index: int, wanted: int, steady: Numbers | None = None, days: int | None = None) -> Rows:
        """Make about `wanted` rows with keys not known yet, by date; each of `steady` gets revenue."""
        rng, activity, month = self.rng, self.activity[index], self._month(index)
        length = int(((month + 1).astype("M8[D]") - self._day_one(index)).astype(int))
        chances = np.cumsum(activity.weights)
        drawn = np.searchsorted(chances, rng.random(wanted * 3 // 2 + 50) * chances[-1], side="right")
        must = self._keys(np.zeros(0, np.int64) if steady is None else steady, index, length)
        known = _keys_of(self.known.get(index, np.zeros(0, ROW)), self._day_one(index))
        free = np.setdiff1d(self._keys(drawn, index, days or length), np.concatenate([must, known]))
        keys = np.concatenate([must, rng.permutation(free)[: wanted - len(must)]])

        rows = np.zeros(len(keys), ROW)
        who, slot = np.divmod(keys, SLOTS * DAYS)
        channel, day = np.divmod(slot, DAYS)
        cents = rng.lognormal(np.log(2000), 1.0, len(keys)) * activity.factors[who]
        price = np.array([float(CHANNELS[c][2]) if c in CHANNELS else 1 for c in range(SLOTS)])[channel]
        rows["send_date"] = self._day_one(index) + day
        rows["account_id"] = self.customers.account_id[who]
        rows["customer_id"] = self.customers.customer_id[who]
        rows["channel_id"] = channel
        rows["interactions_count"] = np.clip(
            cents / 100 / price * rng.uniform(0.8, 1.2, len(keys)), 1, MOST_INTERACTIONS
        )
        free_of_charge = (rng.random(len(keys)) < 0.02) & (np.arange(len(keys)) >= len(must))
        rows["revenue_eur"] = np.where(free_of_charge, 0, np.clip(cents, 1, MOST_CENTS))
        rows = rows[np.argsort(rows["send_date"], kind="stable")]
        rows["traffic_id"] = self.next_id + np.arange(len(rows))
        self.next_id += len(rows)
        return rows

    def _keys(self, who: Numbers, index: int, days: int) -> Numbers:
        """Draw channels and days for customers, and number the combinations."""
        channels = channels_of(index, self.customers.months)
        shares = np.array([CHANNELS[channel][3] for channel in channels])
        channel = self.rng.choice(channels, len(who), p=shares / shares.sum())
        keys: Numbers = (who * SLOTS + channel) * DAYS + self.rng.integers(0, days, len(who))
        return keys

    def _tie(self, rows: Rows, month: str) -> None:
        """Make the customers at rank 20 and 21 of the month's revenue equal."""
        who = rows["customer_id"] - FIRST_CUSTOMER
        revenue = np.zeros(len(self.customers.customer_id), np.int64)
        np.add.at(revenue, who, rows["revenue_eur"])
        first, second = np.argsort(-revenue, kind="stable")[TIED_RANK - 1 : TIED_RANK + 1]
        row = np.flatnonzero(who == second)[0]
        rows["revenue_eur"][row] += revenue[first] - revenue[second]
        tied = self.customers.customer_id[[first, second]]
        self.builder.story(month, f"customers {tied[0]} and {tied[1]} tie at rank {TIED_RANK} of the month's revenue")

    def _injected(
        self,
        index: int,
        name: str,
        layout: Layout,
        inserted: Rows,
        *,
        updated: Rows | None = None,
        unchanged: Rows | None = None,
        unclosed: bool = False,
    ) -> None:
        """Add a file of these rows, by date, with injected errors."""
        none = inserted[:0]
        updated, unchanged = (none if rows is None else rows for rows in (updated, unchanged))
        odd = inserted[: ODD_ROWS if len(inserted) > ODD_ROWS else 0]
        clean = np.concatenate([inserted[len(odd) :], updated, unchanged])
        clean = clean[np.argsort(clean["send_date"], kind="stable")]
        injected = [
            InjectedRecord(int(before), record(_oddly(row, layout), layout.newline))
            for before, row in zip(self.rng.integers(0, len(clean) + 1, len(odd)), odd, strict=True)
        ]
        injected += self._records_with_errors(index, clean, layout)
        if unclosed:
            (row,) = self._rows(index, 1)
            line = record(_texts(row, layout).values(), b"")
            opened = line[: line.rindex(b",") + 1] + b'"' + line[line.rindex(b",") + 1 :]
            injected.append(InjectedRecord(len(clean), opened, ("quote", "truncated")))
            self.builder.story(str(self._month(index)), f"{name} ends within a quoted field")
        header = record(map(layout.spell, layout.columns), layout.newline)
        self.builder.add(
            "traffic",
            str(self._month(index)),
            name,
            splice(header, _lines(clean, layout), injected),
            inserted=len(inserted),
            updated=len(updated),
            unchanged=len(unchanged),
        )

    def _records_with_errors(self, index: int, clean: Rows, layout: Layout) -> list[InjectedRecord]:
        """Return records with errors for a file: copies of its rows, or changed new rows."""
        next_customer = FIRST_CUSTOMER + self.customers.initial + index * self.customers.arrivals
        kinds = traffic_kinds(self._month(index), next_customer)
        size = max(1, round(ERROR_SHARE * len(clean)))
        originals = self._rows(index, size)
        copies = self.rng.choice(len(clean), min(size, len(clean)), replace=False)
        injected = []
        for original, copy in zip(originals, copies.tolist(), strict=False):
            kind = kinds[next(self.error_mix) % len(kinds)]
            if kind.shape in ("duplicate", "conflict"):
                row, low = clean[copy].copy(), copy + 1
                if kind.shape == "conflict":
                    row["revenue_eur"] += 100
            else:
                row, low = original, 0
            line = record(fields_with_error(kind, _texts(row, layout)), layout.newline)
            before = int(self.rng.integers(low, len(clean) + 1))
            injected.append(InjectedRecord(before, line, kind.reasons, kind.shape == "duplicate"))
        return injected


def _keys_of(rows: Rows, day_one: np.datetime64) -> Numbers:
    """Give rows the numbers that `Traffic._keys` gives."""
    who, day = rows["customer_id"] - FIRST_CUSTOMER, (rows["send_date"] - day_one).astype(np.int64)
    keys: Numbers = (who * SLOTS + rows["channel_id"]) * DAYS + day
    return keys


def _lines(rows: Rows, layout: Layout) -> Lines:
    return join([[(WRITERS.get(column, integers), rows[column])] for column in layout.columns], layout.newline)


def _texts(row: np.void, layout: Layout) -> Record:
    """Write a row as text, column by column."""
    texts = {column: str(row[column]) for column in layout.columns}
    euro, cents = divmod(int(row["revenue_eur"]), 100)
    return {**texts, "revenue_eur": f"{euro}.{cents:02d}"}


def _oddly(row: np.void, layout: Layout) -> list[str]:
    """Write a row with blanks around numbers and a sign, which is unusual but valid."""
    texts = _texts(row, layout)
    texts["interactions_count"] = f"+{texts['interactions_count']}"
    texts["revenue_eur"] = f" {texts['revenue_eur']} "
    texts["traffic_id"] = f"{texts['traffic_id']}  "
    return list(texts.values())
