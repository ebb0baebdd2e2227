"""The messaging numbers computed a second time, in plain Python from the raw files.

It is written from the definitions alone and shares no code with the kernel or with the generator of sample
files, so that equality with them says something. Money is whole cents inside, `Decimal` outside; statistics
are exact fractions, as `Decimal` with 28 digits. Files are loaded in order of (month, key).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

from oracles.messaging_files import (
    CENTS,
    CUSTOMER,
    DATE,
    INTERACTIONS,
    READERS,
    Book,
    Row,
    Values,
    check,
    first_day,
    month_of,
)

Files = Iterable[tuple[str, bytes]]


def rounded(value: Fraction, decimals: int) -> Decimal:
    """Round half away from zero."""
    scaled = abs(value) * 10**decimals
    whole = int(scaled + Fraction(1, 2))
    return Decimal(whole if value >= 0 else -whole).scaleb(-decimals)


def euro(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def exact(value: Fraction) -> Decimal:
    with localcontext() as context:
        context.prec = 28
        return Decimal(value.numerator) / Decimal(value.denominator)


class Oracle:
    """All files, loaded in order; answers for any month."""

    def __init__(self, files: Files) -> None:
        self.books: list[Book] = []
        self.snapshots: dict[str, dict[int, dict[int, Values]]] = {"customers": {}, "channels": {}}
        # traffic by natural key: versions in order, each with the month it was delivered in
        self.versions: dict[Values, list[tuple[int, Values]]] = {}
        ordered = []
        for key, body in files:
            match = re.fullmatch(r"raw/messaging/(customers|channels|traffic)/month=(\d{4}-\d{2})/[^/]+", key)
            if not match:
                raise ValueError(f"{key} is not a messaging file")
            ordered.append((month_of(match[2]), match[1] == "traffic", key, match[1], body))
        for month, _, key, dataset, body in sorted(ordered):
            self._load(Book(dataset, month, key), body)

    def _load(self, book: Book, body: bytes) -> None:
        customers = self._ever_seen("customers", book.month)
        channels = self._ever_seen("channels", book.month)
        self._merge(book, check(book, body, customers, channels))
        self.books.append(book)

    def _merge(self, book: Book, accepted: dict[Any, Values]) -> None:
        if book.dataset == "traffic":
            for key, row in accepted.items():
                versions = self.versions.setdefault(key, [])
                if versions and versions[-1][1] == row:
                    book.counts["unchanged"] += 1
                else:
                    book.counts["updated" if versions else "inserted"] += 1
                    versions.append((book.month, row))
            return
        snapshots = self.snapshots[book.dataset]
        if book.month in snapshots:
            raise ValueError(f"{book.key}: a second snapshot of the month")
        before = self._as_of(book.dataset, book.month - 1)
        for key, row in accepted.items():
            if key not in before:
                book.counts["inserted"] += 1
            else:
                book.counts["unchanged" if before[key] == row else "updated"] += 1
        snapshots[book.month] = accepted

    def _ever_seen(self, dataset: str, month: int) -> set[int]:
        return {key for other, rows in self.snapshots[dataset].items() if other <= month for key in rows}

    def _as_of(self, dataset: str, month: int) -> dict[int, Values]:
        """Return the state just before the end of the month: the last snapshot up to it."""
        months = [other for other in self.snapshots[dataset] if other <= month]
        return self.snapshots[dataset][max(months)] if months else {}

    def _traffic(self, month: int) -> list[Values]:
        """Return the traffic as known from the files delivered up to the month."""
        known = []
        for versions in self.versions.values():
            for delivered, row in reversed(versions):
                if delivered <= month:
                    known.append(row)
                    break
        return known

    def customers_as_of(self, month: str) -> list[Row]:
        """Return the customers that are current just before the end of the month."""
        rows = self._as_of("customers", month_of(month)).values()
        return [dict(zip(READERS["customers"], row, strict=True)) for row in rows]

    def channels_as_of(self, month: str) -> list[Row]:
        """Return the channels that are current just before the end of the month."""
        rows = self._as_of("channels", month_of(month)).values()
        found = [dict(zip(READERS["channels"], row, strict=True)) for row in rows]
        return [{**row, "unit_price_eur": Decimal(row["unit_price_eur"]).scaleb(-4)} for row in found]

    def traffic_as_of(self, month: str) -> list[Row]:
        """Return all traffic known at the end of the month, of any month."""
        found = [dict(zip(READERS["traffic"], row, strict=True)) for row in self._traffic(month_of(month))]
        return [{**row, "revenue_eur": euro(row["revenue_eur"])} for row in found]

    def expected(self, month: str) -> dict[str, list[Row]]:
        """Return the rows of every report of the month, in the report's order."""
        number = month_of(month)
        start = first_day(number)
        customers = self._as_of("customers", number)
        traffic = self._traffic(number)
        # revenue in cents by calendar month and customer
        revenue: dict[int, Counter[int]] = defaultdict(Counter)
        for row in traffic:
            revenue[row[DATE].year * 12 + row[DATE].month - 1][row[CUSTOMER]] += row[CENTS]
        names = {customer: row[2] for customer, row in customers.items()}
        exposure = industry_exposure(customers, revenue[number])
        reports = {
            "industry_exposure": exposure,
            "segment_share": segment_share(Counter(row[3] for row in customers.values())),
            "segment_changes": self._segment_changes(number),
            "top_customers": top_customers(revenue[number], names),
            "loyal_top_customers": loyal_top_customers(
                [revenue[other] for other in range(number - 11, number + 1)], names
            ),
            "revenue_by_period": revenue_by_period(number, revenue, names),
            "descriptive_statistics": descriptive_statistics(
                [row for row in traffic if start <= row[DATE] < first_day(number + 1)],
                [Fraction(row[3], 10_000) for row in self._as_of("channels", number).values()],
                exposure,
            ),
            "industry_exposure_extended": extended(exposure),
        }
        return {name: [{"month": start, **row} for row in rows] for name, rows in reports.items()}

    def _segment_changes(self, month: int) -> list[Row]:
        then, now = self._as_of("customers", month - 12), self._as_of("customers", month)
        rows = []
        for customer in sorted(then.keys() & now.keys()):
            states = [self._as_of("customers", other).get(customer) for other in range(month - 12, month + 1)]
            segments = [state[3] for state in states if state is not None]
            net = segments[0] != segments[-1]
            ever = any(one != other for one, other in pairwise(segments))
            if net or ever:
                rows.append(
                    {
                        "customer_id": customer,
                        "customer_name": now[customer][2],
                        "segment_12_months_ago": segments[0],
                        "segment_now": segments[-1],
                        "changed_net": net,
                        "changed_ever": ever,
                    }
                )
        return rows


def industry_exposure(customers: dict[int, Values], revenue: Counter[int]) -> list[Row]:
    counts = Counter(row[4] for row in customers.values())
    by_industry = Counter(dict.fromkeys(counts, 0))
    for customer, cents in revenue.items():
        if customer in customers:
            by_industry[customers[customer][4]] += cents
        elif cents:
            by_industry["Unknown"] += cents
    total = sum(by_industry.values())
    order = sorted(by_industry, key=lambda industry: (-by_industry[industry], industry.encode()))
    return [
        {
            "industry": industry,
            "revenue_eur": euro(by_industry[industry]),
            "revenue_share_pct": rounded(Fraction(100 * by_industry[industry], total or 1), 4),
            "customers_count": counts[industry],
            "industry_rank": rank,
        }
        for rank, industry in enumerate(order, start=1)
    ]


def segment_share(counts: Counter[str]) -> list[Row]:
    """Return shares in hundredths of a percent by the method of largest remainders."""
    total = sum(counts.values())
    shares = {segment: count * 10_000 // total for segment, count in counts.items()}
    by_remainder = sorted(counts, key=lambda segment: (-(counts[segment] * 10_000 % total), segment.encode()))
    for segment in by_remainder[: 10_000 - sum(shares.values())]:
        shares[segment] += 1
    return [
        {
            "segment": segment,
            "customers_count": counts[segment],
            "share_pct": Decimal(shares[segment]).scaleb(-2),
        }
        for segment in sorted(counts)
    ]


def ranked(revenue: Counter[int]) -> list[tuple[int, int, int]]:
    """Return (rank, customer, cents) of customers with revenue; ties share a rank and leave a gap."""
    earning = sorted((-cents, customer) for customer, cents in revenue.items() if cents > 0)
    result: list[tuple[int, int, int]] = []
    for place, (negative, customer) in enumerate(earning, start=1):
        rank = result[-1][0] if result and result[-1][2] == -negative else place
        result.append((rank, customer, -negative))
    return result


def top_customers(revenue: Counter[int], names: dict[int, str]) -> list[Row]:
    return [
        {
            "customer_rank": rank,
            "customer_id": customer,
            "customer_name": names.get(customer),
            "revenue_eur": euro(cents),
        }
        for rank, customer, cents in ranked(revenue)
        if rank <= 20
    ]


def loyal_top_customers(months: list[Counter[int]], names: dict[int, str]) -> list[Row]:
    whole_year: Counter[int] = Counter()
    for month in months:
        whole_year.update(month)
    population = ranked(whole_year)
    limit = -(-len(population) // 10)
    return [
        {
            "customer_rank": rank,
            "customer_id": customer,
            "customer_name": names.get(customer),
            "revenue_12_months_eur": euro(cents),
            "months_with_revenue": 12,
        }
        for rank, customer, cents in population
        if rank <= limit and all(month[customer] > 0 for month in months)
    ]


def revenue_by_period(month: int, revenue: dict[int, Counter[int]], names: dict[int, str]) -> list[Row]:
    quarter_end = (month + 1) // 3 * 3  # the first month behind the last complete quarter
    windows = {
        "revenue_last_month_eur": range(month, month + 1),
        "revenue_last_quarter_eur": range(quarter_end - 3, quarter_end),
        "revenue_previous_quarter_eur": range(quarter_end - 6, quarter_end - 3),
        "revenue_month_to_date_eur": range(month, month + 1),
        "revenue_year_to_date_eur": range(month // 12 * 12, month + 1),
    }
    sums: dict[str, Counter[int]] = {}
    for name, months in windows.items():
        sums[name] = Counter()
        for other in months:
            sums[name].update(revenue[other])
    earning = {customer for total in sums.values() for customer, cents in total.items() if cents}
    rows = []
    for customer in sorted(earning | names.keys()):
        last, previous = (sums[f"revenue_{name}_quarter_eur"][customer] for name in ("last", "previous"))
        rows.append(
            {
                "customer_id": customer,
                "customer_name": names.get(customer),
                **{name: euro(total[customer]) for name, total in sums.items()},
                "change_quarter_on_quarter_pct": (
                    rounded(Fraction(100 * (last - previous), previous), 2) if previous else None
                ),
            }
        )
    return rows


def percentile(values: Sequence[Fraction], share: Fraction) -> Fraction:
    """Return the percentile of sorted values by linear interpolation, as percentile_cont does."""
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def descriptive_statistics(traffic: list[Values], prices: list[Fraction], exposure: list[Row]) -> list[Row]:
    columns = [
        ("channels", "unit_price_eur", prices),
        *(
            ("industry_exposure", name, [Fraction(row[name]) for row in exposure])
            for name in ("customers_count", "revenue_eur", "revenue_share_pct")
        ),
        ("traffic", "interactions_count", [Fraction(row[INTERACTIONS]) for row in traffic]),
        ("traffic", "revenue_eur", [Fraction(row[CENTS], 100) for row in traffic]),
    ]
    rows = []
    for table, column, unsorted in columns:
        values = sorted(unsorted)
        count = len(values)
        mean = sum(values, Fraction()) / count if count else None
        deviation = None
        if mean is not None and count > 1:
            squares = sum(((value - mean) ** 2 for value in values), Fraction())
            deviation = exact(squares / (count - 1)).sqrt()
        quartiles = [exact(percentile(values, Fraction(n, 4))) if values else None for n in (1, 2, 3)]
        rows.append(
            {
                "table_name": table,
                "column_name": column,
                "row_count": count,
                "null_count": 0,
                "min_value": exact(values[0]) if values else None,
                "max_value": exact(values[-1]) if values else None,
                "mean_value": exact(mean) if mean is not None else None,
                "median_value": quartiles[1],
                "stddev_value": deviation,
                "q1_value": quartiles[0],
                "q3_value": quartiles[2],
            }
        )
    return rows


def categories(values: list[Fraction]) -> tuple[list[str], bool]:
    """Return Low, Mid or High for each value, and whether the values are degenerate."""
    if len(values) < 4 or len(set(values)) == 1:
        return ["Mid"] * len(values), True
    in_order = sorted(values)
    low, high = percentile(in_order, Fraction(1, 4)), percentile(in_order, Fraction(3, 4))
    return ["Low" if value < low else "High" if value > high else "Mid" for value in values], False


def extended(exposure: list[Row]) -> list[Row]:
    by_revenue, degenerate_revenue = categories([Fraction(row["revenue_eur"]) for row in exposure])
    by_customers, degenerate_customers = categories([Fraction(row["customers_count"]) for row in exposure])
    return [
        {
            **row,
            "revenue_category": revenue,
            "customers_category": customers,
            "is_degenerate_revenue": degenerate_revenue,
            "is_degenerate_customers": degenerate_customers,
        }
        for row, revenue, customers in zip(exposure, by_revenue, by_customers, strict=True)
    ]


@lru_cache(maxsize=4)
def _oracle(files: tuple[tuple[str, bytes], ...]) -> Oracle:
    return Oracle(files)


def oracle(files: Files) -> Oracle:
    """Return the cached oracle of these files."""
    return _oracle(tuple(files))


def expected(files: Files, month: str) -> dict[str, list[Row]]:
    """Return the rows of every report of a month YYYY-MM, by report."""
    return oracle(files).expected(month)


def expected_books(files: Files) -> list[Row]:
    """Return for each file in loading order its seven counts, and `rejects`: the records with their reasons."""
    return [book.as_row() for book in oracle(files).books]
