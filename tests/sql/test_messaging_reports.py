"""The reports of the messaging domain: small cases worked out by hand, and their checks."""

from __future__ import annotations

import operator
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import ClientCursor, Connection, sql

from messaging.reports import industry_exposure_extended
from support.messaging_months import database
from support.messaging_tables import INPUT_TABLES
from waybill.contracts import Check, Contract, load
from waybill.derived.statistics import Source, descriptive_statistics, measures
from waybill.period import Period

if TYPE_CHECKING:
    from collections.abc import Iterator

    from waybill_devtools.stack import Stack

INCLUDE = Path(__file__).parents[2] / "include"
QUESTIONS = sorted((INCLUDE / "sql" / "messaging").glob("*.sql"))
CONTRACTS = {path.stem: load(path) for path in (INCLUDE / "contracts" / "messaging_report").glob("*.yaml")}
REPORTS = [*(path.stem for path in QUESTIONS), "descriptive_statistics", "industry_exposure_extended"]
CHECKS = {check.name: (report, check) for report, contract in CONTRACTS.items() for check in contract.checks}
OPERATORS = {
    "=": operator.eq,
    "<>": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
FOREVER = date.max


def day(text: str) -> date:
    return date.fromisoformat(text)


def first_of(month: str) -> date:
    return day(f"{month}-01")


def months_later(first: date, months: int) -> date:
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def amounts(*texts: str | int | None) -> list[Decimal | None]:
    return [None if text is None else Decimal(text) for text in texts]


def period(month: str) -> dict[str, date]:
    start = first_of(month)
    return {"period_start": start, "period_end": months_later(start, 1)}


@dataclass
class Messaging:
    """The inputs of the reports, and the reports."""

    connection: Connection[Any]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def customer(
        self,
        customer_id: int,
        *,
        industry: str = "Retail",
        segment: str = "Startup",
        name: str | None = None,
        since: str = "2020-01",
        until: str | None = None,
    ) -> None:
        """Insert a state of a customer, from the snapshot of month `since` to before that of month `until`."""
        values = (customer_id, customer_id, name or f"Customer {customer_id}", segment, industry)
        self.connection.execute(
            "insert into messaging.customers_history values (%s, %s, %s, %s, %s, 'AU', '2020-01-01', %s, %s)",
            (*values, first_of(since), first_of(until) if until else FOREVER),
        )

    def sent(
        self,
        customer_id: int,
        send_date: str | date,
        revenue: str | int | Decimal,
        delivered: str | None = None,
    ) -> None:
        """Insert traffic of a customer on a day, by default delivered with the files of its own month."""
        on = day(send_date) if isinstance(send_date, str) else send_date
        self.connection.execute(
            "insert into messaging.deliveries values (%s, %s, %s, %s, 1, 10, %s, %s)",
            (
                next(self.numbers),
                on,
                customer_id,
                customer_id,
                revenue,
                first_of(delivered) if delivered else on.replace(day=1),
            ),
        )

    def ask(self, report: str, month: str) -> list[tuple[Any, ...]]:
        """Return the rows of a report without their month, which is checked."""
        query = (INCLUDE / "sql" / "messaging" / f"{report}.sql").read_text("utf-8")
        rows = self.connection.execute(query, period(month)).fetchall()
        assert all(row[0] == first_of(month) for row in rows)
        return [row[1:] for row in rows]

    def store(self, report: str, month: str) -> None:
        """Put the report's rows into a table made from its contract."""
        contract = CONTRACTS[report]
        table = self.table(contract)
        if report == "industry_exposure_extended":
            rows = industry_exposure_extended(self.connection, Period.of("month", first_of(month)))
        elif report == "descriptive_statistics":
            exposure = CONTRACTS["industry_exposure"]
            traffic = load(INCLUDE / "contracts" / "messaging" / "traffic.yaml")
            in_month = sql.SQL(
                "(select * from messaging.traffic_as_of(%(period_end)s) "
                "where send_date >= %(period_start)s and send_date < %(period_end)s)"
            )
            in_exposure = sql.SQL("(select * from messaging_report.industry_exposure where month = %(period_start)s)")
            sources = [
                Source("traffic", in_month, measures(traffic.columns)),
                Source("industry_exposure", in_exposure, measures(exposure.columns)),
            ]
            rows = descriptive_statistics(self.connection, first_of(month), sources, period(month))
        else:
            answers = [(first_of(month), *row) for row in self.ask(report, month)]
            rows = [dict(zip(contract.names, answer, strict=True)) for answer in answers]
        assert all(list(row) == contract.names for row in rows)
        holders = sql.SQL(", ").join(map(sql.Placeholder, contract.names))
        with self.connection.cursor() as cursor:
            cursor.executemany(sql.SQL("insert into {} values ({})").format(table, holders), rows)

    def table(self, contract: Contract) -> sql.Identifier:
        table = sql.Identifier("messaging_report", contract.name)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {} {}").format(
                sql.Identifier(column.name),
                sql.SQL(column.physical_type),
                sql.SQL("not null" if column.required else ""),
            )
            for column in contract.columns
        )
        key = sql.SQL(", ").join(map(sql.Identifier, contract.key))
        self.connection.execute(
            sql.SQL("create table if not exists {} ({}, primary key ({}))").format(table, columns, key)
        )
        return table

    def passes(self, check: Check, month: str) -> bool:
        assert check.query
        rows = self.connection.execute(check.query, period(month)).fetchall()
        assert len(rows) == 1
        assert len(rows[0]) == 1
        return bool(OPERATORS[check.operator](rows[0][0], check.threshold))


@pytest.fixture(scope="module")
def inputs(stack: Stack) -> Iterator[Connection[Any]]:
    """A connection to a warehouse with the tables that reports read, empty."""
    with database(stack) as dsn, psycopg.connect(dsn) as connection:
        connection.execute(INPUT_TABLES)
        connection.commit()
        yield connection


@pytest.fixture
def messaging(inputs: Connection[Any]) -> Iterator[Messaging]:
    """The tables; changes of a test are rolled back."""
    with inputs.transaction(force_rollback=True):
        yield Messaging(inputs)


# Every report


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda path: path.stem)
def test_report_without_any_input_is_empty(messaging: Messaging, question: Path) -> None:
    assert messaging.ask(question.stem, "2026-03") == []


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda path: path.stem)
def test_report_selects_the_columns_and_types_of_its_contract(messaging: Messaging, question: Path) -> None:
    with ClientCursor(messaging.connection) as cursor:
        query = "create temp table selected as " + question.read_text("utf-8")
        cursor.execute(query, period("2026-03"))
        selected = cursor.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = 'selected'::regclass and attnum > 0 order by attnum"
        ).fetchall()
    declared = CONTRACTS[question.stem].columns
    assert selected == [(column.name, column.physical_type) for column in declared]


def test_every_report_has_a_question_or_is_computed_by_the_statistics() -> None:
    assert set(REPORTS) == set(CONTRACTS)


# Industry exposure


def test_industry_exposure_ranks_industries_by_revenue(messaging: Messaging) -> None:
    messaging.customer(1, industry="Retail")
    messaging.customer(2, industry="Retail")
    messaging.customer(3, industry="Finance")
    messaging.sent(1, "2026-03-05", "10.00")
    messaging.sent(2, "2026-03-05", "5.50")
    messaging.sent(3, "2026-03-31", "31.00")
    assert messaging.ask("industry_exposure", "2026-03") == [
        ("Finance", Decimal("31.00"), Decimal("66.6667"), 1, 1),
        ("Retail", Decimal("15.50"), Decimal("33.3333"), 2, 2),
    ]


def test_industry_exposure_counts_industries_without_traffic_and_breaks_ties_by_bytes(
    messaging: Messaging,
) -> None:
    for customer_id, industry in enumerate(["apps", "Zoos", "Banks"], start=1):
        messaging.customer(customer_id, industry=industry)
    messaging.sent(2, "2026-03-01", 0)
    assert messaging.ask("industry_exposure", "2026-03") == [
        ("Banks", 0, 0, 1, 1),
        ("Zoos", 0, 0, 1, 2),
        ("apps", 0, 0, 1, 3),
    ]


def test_industry_exposure_lists_former_customers_under_unknown(messaging: Messaging) -> None:
    messaging.customer(1, industry="Retail")
    messaging.customer(2, industry="Finance", until="2026-03")
    messaging.sent(1, "2026-03-05", 25)
    messaging.sent(2, "2026-03-05", 75)
    messaging.sent(3, "2026-03-05", 0)
    assert messaging.ask("industry_exposure", "2026-03") == [
        ("Unknown", 75, 75, 0, 1),
        ("Retail", 25, 25, 1, 2),
    ]
    messaging.customer(4, industry="Unknown")
    messaging.sent(4, "2026-03-05", 100)
    assert messaging.ask("industry_exposure", "2026-03") == [
        ("Unknown", 175, Decimal("87.5"), 1, 1),
        ("Retail", 25, Decimal("12.5"), 1, 2),
    ]


def test_industry_exposure_has_no_unknown_without_revenue(messaging: Messaging) -> None:
    messaging.customer(1)
    messaging.sent(2, "2026-03-05", 0)
    assert messaging.ask("industry_exposure", "2026-03") == [("Retail", 0, 0, 1, 1)]


@pytest.mark.parametrize(("month", "last_day"), [("2024-02", 29), ("2026-02", 28), ("2025-12", 31), ("2026-04", 30)])
def test_month_is_half_open(messaging: Messaging, month: str, last_day: int) -> None:
    messaging.customer(1)
    start = first_of(month)
    for on, revenue in [
        (start - timedelta(days=1), 1000),
        (start, 1),
        (start.replace(day=last_day), 20),
        (months_later(start, 1), 300),
    ]:
        messaging.sent(1, on, revenue)
    assert [row[1] for row in messaging.ask("industry_exposure", month)] == [21]
    assert [row[3] for row in messaging.ask("top_customers", month)] == [21]
    assert [row[2] for row in messaging.ask("revenue_by_period", month)] == [21]


def test_month_is_computed_as_known_at_its_end(messaging: Messaging) -> None:
    messaging.customer(1, industry="Retail", until="2026-04")
    messaging.customer(1, industry="Finance", since="2026-04")
    messaging.sent(1, "2026-03-05", 10)
    messaging.sent(1, "2026-03-05", 99, delivered="2026-04")
    messaging.sent(1, "2026-03-06", 50, delivered="2026-04")
    assert messaging.ask("industry_exposure", "2026-03") == [("Retail", 10, 100, 1, 1)]
    assert messaging.ask("top_customers", "2026-03") == [(1, 1, "Customer 1", 10)]
    assert messaging.ask("revenue_by_period", "2026-04")[0][3:] == (149, 0, 0, 149, None)


# Segment share


@pytest.mark.parametrize(
    ("segments", "shares"),
    [
        ({"Startup": 3}, {"Startup": "100.00"}),
        # a third each is 33.33 and a third of a hundredth; one hundredth is left and goes to the first name
        ({"b": 1, "a": 1, "C": 1}, {"C": "33.34", "a": "33.33", "b": "33.33"}),
        # 14.2857, 28.5714, 57.1428: rounded down 99.99, and 14.2857 lost most
        ({"x": 1, "y": 2, "z": 4}, {"x": "14.29", "y": "28.57", "z": "57.14"}),
        # six sixths of 16.6667: 99.96 rounded down, so the first four names get a hundredth
        (dict.fromkeys("fedcba", 1), {**dict.fromkeys("abcd", "16.67"), **dict.fromkeys("ef", "16.66")}),
    ],
)
def test_segment_share_sums_to_100(messaging: Messaging, segments: dict[str, int], shares: dict[str, str]) -> None:
    numbers = count(1)
    for segment, customers in segments.items():
        for _ in range(customers):
            messaging.customer(next(numbers), segment=segment)
    messaging.customer(next(numbers), segment="left", until="2026-03")
    messaging.customer(next(numbers), segment="to come", since="2026-04")
    rows = messaging.ask("segment_share", "2026-03")
    assert rows == [(name, segments[name], Decimal(share)) for name, share in shares.items()]
    assert sum(row[2] for row in rows) == Decimal("100.00")


def test_segment_share_equals_an_independent_largest_remainder(messaging: Messaging) -> None:
    numbers, chance = count(1), random.Random(7)
    for month, segments in [("2025-01", 3), ("2025-02", 7), ("2025-03", 23)]:
        until = f"2025-0{int(month[-1]) + 1}"
        counts = {f"s{index:02}": chance.randint(1, 40) for index in range(segments)}
        for segment, customers in counts.items():
            for _ in range(customers):
                messaging.customer(next(numbers), segment=segment, since=month, until=until)
        total = sum(counts.values())
        floors = {name: 10000 * customers // total for name, customers in counts.items()}
        by_loss = sorted(counts, key=lambda name: (-(10000 * counts[name] / Decimal(total) - floors[name]), name))
        for name in by_loss[: 10000 - sum(floors.values())]:
            floors[name] += 1
        rows = messaging.ask("segment_share", month)
        assert {name: share for name, _, share in rows} == {
            name: Decimal(share) / 100 for name, share in floors.items()
        }


# Segment changes: for 2026-03 the window is from the state of the March 2025 snapshot to that of March 2026


def changes(messaging: Messaging, month: str = "2026-03") -> list[tuple[Any, ...]]:
    return messaging.ask("segment_changes", month)


def test_segment_change_is_net_and_ever(messaging: Messaging) -> None:
    messaging.customer(1, segment="A", until="2025-08", name="Old name")
    messaging.customer(1, segment="B", since="2025-08", name="New name")
    assert changes(messaging) == [(1, "New name", "A", "B", True, True)]


def test_segment_that_came_back_changed_ever_but_not_net(messaging: Messaging) -> None:
    messaging.customer(1, segment="A", until="2025-08")
    messaging.customer(1, segment="B", since="2025-08", until="2025-09")
    messaging.customer(1, segment="A", since="2025-09")
    assert changes(messaging) == [(1, "Customer 1", "A", "A", False, True)]


def test_change_of_another_attribute_is_no_change_of_segment(messaging: Messaging) -> None:
    messaging.customer(1, industry="Retail", until="2025-08")
    messaging.customer(1, industry="Finance", since="2025-08", until="2025-10")
    messaging.customer(1, industry="Finance", name="New name", since="2025-10")
    assert changes(messaging) == []


@pytest.mark.parametrize(
    ("changed", "listed"),
    [("2025-03", False), ("2025-04", True), ("2026-03", True), ("2026-04", False)],
)
def test_segment_change_counts_only_inside_the_window(messaging: Messaging, changed: str, listed: bool) -> None:
    messaging.customer(1, segment="A", until=changed)
    messaging.customer(1, segment="B", since=changed)
    assert bool(changes(messaging)) is listed


def test_new_and_lost_customers_did_not_change(messaging: Messaging) -> None:
    messaging.customer(1, segment="A", since="2025-04", until="2025-06")
    messaging.customer(1, segment="B", since="2025-06")
    messaging.customer(2, segment="A", until="2025-06")
    messaging.customer(2, segment="B", since="2025-06", until="2026-03")
    assert changes(messaging) == []


def test_states_around_an_absence_are_compared(messaging: Messaging) -> None:
    messaging.customer(1, segment="A", until="2025-06")
    messaging.customer(1, segment="A", since="2025-09")
    messaging.customer(2, segment="A", until="2025-06")
    messaging.customer(2, segment="B", since="2025-09")
    messaging.customer(3, segment="A", until="2025-06")
    messaging.customer(3, segment="B", since="2025-09", until="2025-10")
    messaging.customer(3, segment="A", since="2025-12")
    assert changes(messaging) == [
        (2, "Customer 2", "A", "B", True, True),
        (3, "Customer 3", "A", "A", False, True),
    ]


def test_segment_change_before_an_absence_at_the_start_of_the_window_is_not_seen(
    messaging: Messaging,
) -> None:
    # absent in March 2025, so not a customer of twelve months ago
    messaging.customer(1, segment="A", until="2025-02")
    messaging.customer(1, segment="B", since="2025-05")
    assert changes(messaging) == []


@pytest.mark.parametrize("month", ["2024-02", "2025-02", "2026-02"])
def test_segment_changes_of_a_february_look_back_a_whole_year(messaging: Messaging, month: str) -> None:
    a_year_ago = f"{int(month[:4]) - 1}-02"
    messaging.customer(1, segment="A", until=a_year_ago)
    messaging.customer(1, segment="B", since=a_year_ago)
    messaging.customer(2, segment="A", until=f"{a_year_ago[:4]}-03")
    messaging.customer(2, segment="B", since=f"{a_year_ago[:4]}-03")
    assert [row[0] for row in changes(messaging, month)] == [2]


# Top customers


def test_top_customers_keep_ties_at_rank_20(messaging: Messaging) -> None:
    for customer_id in range(1, 20):
        messaging.sent(customer_id, "2026-03-10", 1000 - customer_id)
    for customer_id in (32, 31, 30):
        messaging.sent(customer_id, "2026-03-10", 500)
    messaging.sent(33, "2026-03-10", "499.99")
    rows = messaging.ask("top_customers", "2026-03")
    assert [row[:2] for row in rows] == [(rank, rank) for rank in range(1, 20)] + [
        (20, 30),
        (20, 31),
        (20, 32),
    ]


def test_top_customers_skip_ranks_after_a_tie(messaging: Messaging) -> None:
    for customer_id in range(1, 23):
        messaging.sent(customer_id, "2026-03-10", 100 if customer_id in (19, 20, 21) else 200 - customer_id)
    rows = messaging.ask("top_customers", "2026-03")
    # 22 brings 178 and is the 19th; three share rank 20
    assert [row[:2] for row in rows][18:] == [(19, 22), (20, 19), (20, 20), (20, 21)]


def test_top_customers_exclude_customers_without_revenue_and_include_former_ones(messaging: Messaging) -> None:
    messaging.customer(1)
    messaging.customer(2, until="2026-03")
    messaging.customer(3)
    messaging.sent(1, "2026-03-01", "0.01")
    messaging.sent(2, "2026-03-01", 7)
    messaging.sent(3, "2026-03-01", 0)
    assert messaging.ask("top_customers", "2026-03") == [
        (1, 2, None, Decimal("7.00")),
        (2, 1, "Customer 1", Decimal("0.01")),
    ]


# Loyal top customers: for 2026-03 the twelve months are 2025-04 to 2026-03


def sent_monthly(
    messaging: Messaging, customer_id: int, revenue: int, last: str = "2026-03", without: str | None = None
) -> None:
    """Insert traffic on the last day of each of the twelve months up to `last`, except the month `without`."""
    for back in range(12):
        end = months_later(first_of(last), 1 - back) - timedelta(days=1)
        if f"{end:%Y-%m}" != without:
            messaging.sent(customer_id, end, revenue)


def loyal(messaging: Messaging, month: str = "2026-03") -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in messaging.ask("loyal_top_customers", month)]


def test_one_customer_is_its_own_top_tenth(messaging: Messaging) -> None:
    messaging.customer(1)
    sent_monthly(messaging, 1, 10)
    assert messaging.ask("loyal_top_customers", "2026-03") == [(1, 1, "Customer 1", Decimal("120.00"), 12)]


@pytest.mark.parametrize(("customers", "top"), [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_top_tenth_is_rounded_up(messaging: Messaging, customers: int, top: int) -> None:
    for customer_id in range(1, customers + 1):
        sent_monthly(messaging, customer_id, 1000 - customer_id)
    assert loyal(messaging) == [(rank, rank) for rank in range(1, top + 1)]


def test_ties_at_the_boundary_of_the_top_tenth_are_kept(messaging: Messaging) -> None:
    for customer_id in range(1, 12):
        sent_monthly(messaging, customer_id, {1: 100, 2: 50, 3: 50, 4: 50}.get(customer_id, 1))
    # 11 customers: the top tenth is 2, and three share rank 2
    assert loyal(messaging) == [(1, 1), (2, 2), (2, 3), (2, 4)]


def test_filter_on_months_comes_after_the_top_tenth(messaging: Messaging) -> None:
    sent_monthly(messaging, 1, 1000, without="2025-12")
    for customer_id in range(2, 11):
        sent_monthly(messaging, customer_id, 10)
    assert loyal(messaging) == []


def test_population_is_only_customers_with_revenue(messaging: Messaging) -> None:
    sent_monthly(messaging, 1, 20)
    sent_monthly(messaging, 2, 10)
    for customer_id in range(3, 20):
        messaging.customer(customer_id)
        sent_monthly(messaging, customer_id, 0)
    assert loyal(messaging) == [(1, 1)]


def test_month_of_zero_or_refunded_revenue_breaks_loyalty(messaging: Messaging) -> None:
    sent_monthly(messaging, 1, 10, without="2025-07")
    messaging.sent(1, "2025-07-15", 0)
    assert loyal(messaging) == []
    messaging.sent(1, "2025-07-16", -5)
    assert loyal(messaging) == []
    messaging.sent(1, "2025-07-17", 6)
    assert loyal(messaging) == [(1, 1)]


@pytest.mark.parametrize("month", ["2026-03", "2026-02", "2024-02", "2025-12", "2026-01", "2025-04"])
def test_twelve_calendar_months_end_with_the_month(messaging: Messaging, month: str) -> None:
    sent_monthly(messaging, 1, 10, last=month)
    first = months_later(first_of(month), -11)
    messaging.sent(1, first - timedelta(days=1), 5000)
    messaging.sent(1, months_later(first_of(month), 1), 5000)
    assert messaging.ask("loyal_top_customers", month) == [(1, 1, None, Decimal("120.00"), 12)]


def test_eleven_months_and_a_thirteenth_are_not_twelve(messaging: Messaging) -> None:
    sent_monthly(messaging, 1, 10, without="2025-04")
    messaging.sent(1, "2025-03-31", 10)
    assert loyal(messaging) == []


# Revenue by period


def test_revenue_by_period_by_hand(messaging: Messaging) -> None:
    messaging.customer(1)
    for month, revenue in [
        ("2025-06", 1), ("2025-07", 2), ("2025-09", 4), ("2025-10", 8), ("2025-12", 16),
        ("2026-01", 32), ("2026-02", 64), ("2026-03", 128), ("2026-04", 256),
    ]:  # fmt: skip
        messaging.sent(1, months_later(first_of(month), 1) - timedelta(days=1), revenue)
    # last month, last quarter, quarter before, month to date, year to date, change
    expected = {
        "2025-12": (16, 24, 6, 16, 31, 300),  # Q4 against Q3
        "2026-01": (32, 24, 6, 32, 32, 300),  # still Q4 against Q3; the year begins
        "2026-02": (64, 24, 6, 64, 96, 300),
        "2026-03": (128, 224, 24, 128, 224, Decimal("833.33")),  # March ends Q1
        "2026-04": (256, 224, 24, 256, 480, Decimal("833.33")),
        "2025-09": (4, 6, 1, 4, 7, 500),  # Q3 against Q2
    }
    for month, numbers in expected.items():
        assert messaging.ask("revenue_by_period", month) == [(1, "Customer 1", *numbers)]


def test_change_quarter_on_quarter_is_null_only_where_the_previous_quarter_is_zero(
    messaging: Messaging,
) -> None:
    messaging.sent(1, "2026-01-15", 10)
    messaging.sent(2, "2025-10-01", 10)
    messaging.sent(3, "2025-12-31", 3)
    messaging.sent(3, "2026-03-31", 2)
    rows = messaging.ask("revenue_by_period", "2026-03")
    assert [(row[0], *row[3:5], row[7]) for row in rows] == [
        (1, *amounts(10, 0, None)),
        (2, *amounts(0, 10, "-100.00")),
        (3, *amounts(2, 3, "-33.33")),
    ]


def test_change_from_a_cent_to_the_largest_amount_fits(messaging: Messaging) -> None:
    messaging.sent(1, "2025-12-31", "0.01")
    messaging.sent(1, "2026-01-01", "9999999999.99")
    assert messaging.ask("revenue_by_period", "2026-03")[0][7] == Decimal("99999999999800.00")


def test_revenue_by_period_lists_the_snapshot_and_all_customers_with_revenue(messaging: Messaging) -> None:
    messaging.customer(1)
    messaging.customer(2, until="2026-01")
    messaging.customer(3, until="2025-08")
    messaging.customer(4, since="2026-06")
    messaging.sent(2, "2025-12-31", 5)
    messaging.sent(3, "2025-06-30", 5)  # before the previous quarter and the year
    messaging.sent(5, "2026-02-01", 0)
    assert messaging.ask("revenue_by_period", "2026-02") == [
        (1, "Customer 1", 0, 0, 0, 0, 0, None),
        (2, None, 0, 5, 0, 0, 0, None),
    ]


def test_revenue_by_period_equals_an_independent_computation(messaging: Messaging) -> None:
    chance = random.Random(3)
    sent: dict[tuple[int, date], Decimal] = {}
    for offset in range(0, 900, 3):
        on = day("2024-01-01") + timedelta(days=offset)
        sent[chance.randint(1, 4), on] = Decimal(chance.randint(1, 99999)) / 100
    for (customer_id, on), revenue in sent.items():
        messaging.sent(customer_id, on, revenue)
    for back in range(14):
        start = months_later(first_of("2026-05"), -back)
        this_quarter = start.year * 4 + (start.month - 1) // 3
        last_quarter = this_quarter if start.month % 3 == 0 else this_quarter - 1
        sums: dict[int, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        for (customer_id, on), revenue in sent.items():
            quarter = on.year * 4 + (on.month - 1) // 3
            if (on.year, on.month) == (start.year, start.month):
                sums[customer_id]["month"] += revenue
            if quarter == last_quarter:
                sums[customer_id]["last"] += revenue
            if quarter == last_quarter - 1:
                sums[customer_id]["previous"] += revenue
            if on.year == start.year and on.month <= start.month:
                sums[customer_id]["year"] += revenue
        expected = []
        for customer_id, found in sorted(sums.items()):
            last, previous = found["last"], found["previous"]
            change = (100 * (last - previous) / previous) if previous else None
            expected.append(
                (customer_id, None, found["month"], last, previous, found["month"], found["year"],
                 None if change is None else change.quantize(Decimal("0.01"), ROUND_HALF_UP))
            )  # fmt: skip
        assert messaging.ask("revenue_by_period", f"{start:%Y-%m}") == expected


# Checks


def fill(messaging: Messaging, month: str) -> None:
    """Insert inputs that give every report rows, and the stored reports of the month."""
    for customer_id in range(1, 31):
        messaging.customer(
            customer_id,
            industry=f"Industry {customer_id % 6}",
            segment="A" if customer_id % 3 else "B",
            until="2025-10" if customer_id == 3 else None,
        )
        sent_monthly(messaging, customer_id, 10 * customer_id)
    messaging.customer(3, segment="C", since="2025-10")
    for report in REPORTS:
        messaging.store(report, month)


def test_checks_pass_on_reports_that_are_right(messaging: Messaging) -> None:
    fill(messaging, "2026-03")
    for report in CONTRACTS:
        table = sql.Identifier("messaging_report", report)
        assert messaging.connection.execute(sql.SQL("select from {}").format(table)).fetchone() is not None
    assert [name for name, (_, check) in CHECKS.items() if not messaging.passes(check, "2026-03")] == []


def test_checks_pass_without_any_rows(messaging: Messaging) -> None:
    for report in REPORTS:
        messaging.store(report, "2026-03")
    assert [name for name, (_, check) in CHECKS.items() if not messaging.passes(check, "2026-03")] == []


SPOILERS = {
    "descriptive_statistics_disordered": "update {} set q1_value = q3_value + 1 where row_count > 20",
    "descriptive_statistics_missing_pct": "update {} set null_count = row_count",
    "descriptive_statistics_rows_difference": "update {} set row_count = row_count - 1",
    "industry_exposure_customers_difference": "update {} set customers_count = 9 where industry_rank = 1",
    "industry_exposure_extended_categories_disordered":
        "update {} set revenue_category = 'Low' where industry_rank = 1",
    "industry_exposure_extended_rows_difference": "update {} set revenue_eur = 1 where industry_rank = 2",
    "industry_exposure_revenue_difference_eur": "update {} set revenue_eur = 0.01 where industry_rank = 6",
    "industry_exposure_share_excess_pct": "update {} set revenue_share_pct = revenue_share_pct - 0.01",
    "industry_exposure_unknown_pct": "update {} set industry = 'Unknown' where industry_rank = 1",
    "loyal_top_customers_beyond_tenth": "update {} set customer_rank = customer_rank + 1",
    "loyal_top_customers_revenue_difference_eur": "update {} set revenue_12_months_eur = 1",
    "loyal_top_customers_unnamed": "update {} set customer_name = null where customer_rank = 1",
    "revenue_by_period_contradictions": "update {} set revenue_year_to_date_eur = 0",
    "revenue_by_period_customers_missing": "delete from {} where customer_id = 30",
    "revenue_by_period_month_difference_eur": "delete from {} where customer_id = 30",
    "revenue_by_period_year_difference_eur": "update {} set revenue_year_to_date_eur = 1",
    "segment_changes_contradictions": "update {} set changed_net = false",
    "segment_changes_missing": "delete from {}",
    "segment_changes_pct":
        "insert into {} select month, n, '', 'A', 'B', true, true from {}, generate_series(100, 120) as n",
    "segment_share_customers_difference": "update {} set customers_count = 1 where segment = 'A'",
    "segment_share_shift_pct": "update {} set share_pct = share_pct + 11 where segment = 'A'",
    "segment_share_total_pct": "update {} set share_pct = share_pct - 0.01 where segment = 'A'",
    "top_customers_beyond_20":
        "insert into {} select month, 21, 99, null, 0.01 from {} where customer_rank = 1",
    "top_customers_unnamed": "update {} set customer_name = null where customer_rank = 20",
    "top_customers_wrong": "delete from {} where customer_rank = 4",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_check_fails_on_a_report_that_is_wrong(messaging: Messaging, name: str) -> None:
    report, check = CHECKS[name]
    fill(messaging, "2026-03")
    table = sql.Identifier("messaging_report", report)
    messaging.connection.execute(sql.SQL(SPOILERS[name].replace("{}", "{0}")).format(table))
    assert not messaging.passes(check, "2026-03")


def test_a_segment_that_vanishes_shifts_the_shares_whether_or_not_the_month_before_was_built(
    messaging: Messaging,
) -> None:
    for customer_id in range(1, 9):
        messaging.customer(customer_id, segment="A")
    for customer_id in (9, 10):
        messaging.customer(customer_id, segment="B", until="2026-03")
        messaging.customer(customer_id, segment="A", since="2026-03")
    messaging.store("segment_share", "2026-03")
    _, check = CHECKS["segment_share_shift_pct"]
    assert not messaging.passes(check, "2026-03")  # from 80 and 20 to 100 percent
    messaging.store("segment_share", "2026-04")
    assert messaging.passes(check, "2026-04")


def test_extended_exposure_sorts_industries_into_categories(messaging: Messaging) -> None:
    for customer_id, revenue in enumerate([10, 20, 30, 40, 50], start=1):
        messaging.customer(customer_id, industry=f"Industry {customer_id}")
        messaging.sent(customer_id, "2026-03-01", revenue)
    messaging.store("industry_exposure", "2026-03")
    rows = industry_exposure_extended(messaging.connection, Period.parse("month", "2026-03"))
    # the quartiles are 20 and 40; every industry has one customer
    assert [tuple(row.values())[1:2] + tuple(row.values())[6:] for row in rows] == [
        ("Industry 5", "High", "Mid", False, True),
        ("Industry 4", "Mid", "Mid", False, True),
        ("Industry 3", "Mid", "Mid", False, True),
        ("Industry 2", "Mid", "Mid", False, True),
        ("Industry 1", "Low", "Mid", False, True),
    ]
