"""The feature view of the messaging domain: a second computation, as of the end of each month, and its checks."""

from __future__ import annotations

import operator
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from psycopg import ClientCursor, Connection, sql

from oracles.messaging import rounded
from support.messaging_tables import INPUT_TABLES
from waybill.checks.quality import query_of
from waybill.contracts import load
from waybill.period import Period
from waybill.settings import PROJECT_ROOT
from waybill.warehouse.schema import columns_sql, definitions

VIEW = "customer_revenue_v1"
CONTRACT = load(PROJECT_ROOT / "include" / "contracts" / "messaging_feature" / f"{VIEW}.yaml")
TEXT = (PROJECT_ROOT / "include" / "sql" / "messaging_feature" / f"{VIEW}.sql").read_text("utf-8")
CHECKS = {check.name: check for check in CONTRACT.checks if check.metric != "drift"}
OPERATORS = {"=": operator.eq, "<=": operator.le}
TYPES = ("chat", "email", "push", "sms", "voice")
ZONE = "Europe/Berlin"
FOREVER = date.max
TABLE = sql.Identifier("messaging_feature", VIEW)

Row = dict[str, Any]


def month(text: str) -> Period:
    return Period.parse("month", text)


def index_of(day: date) -> int:
    return 12 * day.year + day.month


@dataclass(frozen=True)
class Sent:
    """Traffic of a customer on a day, as a file of a month delivered it."""

    customer: int
    channel: int
    on: date
    interactions: int
    revenue: Decimal
    delivered: date


@dataclass
class World:
    """Deliveries, and (channel, type, first day, end) of each state of a channel."""

    sent: list[Sent] = field(default_factory=list)
    channels: list[tuple[int, str, date, date]] = field(default_factory=list)

    def add(
        self, customer: int, on: str, revenue: str | int, *, channel: int = 1, delivered: str | None = None
    ) -> None:
        day = date.fromisoformat(on)
        known = month(delivered).start if delivered else day.replace(day=1)
        self.sent.append(Sent(customer, channel, day, 10, Decimal(revenue), known))

    def load(self, connection: Connection[Any]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany("insert into messaging.channels_history values (%s, %s, %s, %s)", self.channels)
            cursor.executemany(
                "insert into messaging.deliveries values (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (number, one.on, *[one.customer] * 2, one.channel, one.interactions, one.revenue, one.delivered)
                    for number, one in enumerate(self.sent, start=1)
                ],
            )

    def expected(self, period: Period) -> list[Row]:
        """Return the rows of the view for a month."""
        counted: dict[tuple[int, int, date], Sent] = {}
        for one in sorted(self.sent, key=lambda one: one.delivered):
            if one.delivered < period.end:
                counted[one.customer, one.channel, one.on] = one
        kinds = {channel: kind for channel, kind, first, end in self.channels if first < period.end <= end}
        by_age: dict[int, dict[int, list[Sent]]] = defaultdict(lambda: defaultdict(list))
        for one in counted.values():
            age = index_of(period.start) - index_of(one.on)
            if 0 <= age < 12:
                by_age[one.customer][age].append(one)
        return [self._row(period, customer, ages, kinds) for customer, ages in sorted(by_age.items())]

    @staticmethod
    def _row(period: Period, customer: int, ages: dict[int, list[Sent]], kinds: dict[int, str]) -> Row:
        def during(first: int, end: int) -> list[Sent]:
            return [one for age in range(first, end) for one in ages.get(age, [])]

        def revenue(rows: Iterable[Sent]) -> Decimal:
            return sum((one.revenue for one in rows), Decimal(0))

        recent, before = revenue(during(0, 3)), revenue(during(3, 6))
        by_channel: dict[int, Decimal] = defaultdict(Decimal)
        by_kind: dict[str, Decimal] = defaultdict(Decimal)
        for one in during(0, 3):
            by_channel[one.channel] += one.revenue
            kind = kinds.get(one.channel, "other")
            by_kind[kind if kind in TYPES else "other"] += one.revenue
        shares = {
            f"{kind}_share_pct": rounded(Fraction(100 * by_kind[kind]) / Fraction(recent), 4) if recent else None
            for kind in (*TYPES, "other")
        }
        squares = sum(Fraction(one) ** 2 for one in by_channel.values())
        end = datetime.combine(period.end, time(), ZoneInfo(ZONE)).astimezone(UTC)
        return {
            "month": period.start,
            "customer_id": customer,
            "event_ts": end,
            "revenue_1_month_eur": revenue(during(0, 1)),
            "revenue_3_months_eur": recent,
            "revenue_12_months_eur": revenue(during(0, 12)),
            "revenue_trend_3_months_pct": rounded(Fraction(100 * (recent - before)) / Fraction(before), 2)
            if before
            else None,
            "interactions_3_months": sum(one.interactions for one in during(0, 3)),
            "months_active_12_months": sum(revenue(rows) > 0 for rows in ages.values()),
            "months_since_traffic": min(ages),
            **shares,
            "channel_concentration": rounded(squares / Fraction(recent) ** 2, 6) if recent else None,
        }


def random_world(seed: int) -> World:
    """Return traffic with corrections, late rows, months without traffic or revenue, and channels that come and go."""
    chance, world = random.Random(seed), World()
    world.channels = [
        (1, "sms", date(2024, 1, 1), FOREVER),
        (2, "chat", date(2024, 1, 1), date(2025, 12, 1)),
        (2, "voice", date(2025, 12, 1), FOREVER),
        (3, "email", date(2024, 1, 1), date(2026, 2, 1)),
        (4, "pigeon", date(2024, 1, 1), FOREVER),
        (5, "push", date(2024, 1, 1), FOREVER),
        (6, "chat", date(2025, 8, 1), FOREVER),
    ]
    for _ in range(500):
        on = date(2024, 11, 1).replace(year=chance.choice([2024, 2025, 2025, 2026]), month=chance.randint(1, 12))
        if on > date(2026, 6, 30):
            continue
        on = on.replace(day=chance.choice([1, 15, 28]))
        late = chance.choice([0, 0, 0, 1, 5])
        delivered = Period.of("month", on).shift(late).start
        world.sent.append(
            Sent(
                chance.choice([1, 1, 2, 3, 4, 5, chance.randint(6, 30)]),
                chance.randint(1, 7),
                on,
                chance.randint(0, 9),
                Decimal(chance.choice(["0", "0.01", "5", "99.99"])),
                delivered,
            )
        )
    newest: dict[tuple[int, int, date, date], Sent] = {
        (one.customer, one.channel, one.on, one.delivered): one for one in world.sent
    }
    world.sent = [*newest.values()]
    return world


@pytest.fixture
def inputs(warehouse: Connection[Any]) -> Connection[Any]:
    warehouse.execute(INPUT_TABLES)
    warehouse.execute(
        sql.SQL("create table {} ({}, primary key ({}))").format(
            TABLE, definitions(CONTRACT), columns_sql(CONTRACT.key)
        )
    )
    return warehouse


def ask(connection: Connection[Any], period: Period) -> list[Row]:
    rows = connection.execute(TEXT, period.parameters(ZONE)).fetchall()
    return [dict(zip(CONTRACT.names, row, strict=True)) for row in rows]


def answer(connection: Connection[Any], world: World, text: str) -> list[Row]:
    """Return the rows of a month, compared with the second computation."""
    with connection.transaction(force_rollback=True):
        world.load(connection)
        found = ask(connection, month(text))
    assert found == world.expected(month(text))
    return found


def test_question_selects_the_columns_and_types_of_its_contract(inputs: Connection[Any]) -> None:
    assert ask(inputs, month("2026-03")) == []
    with ClientCursor(inputs) as cursor:
        cursor.execute("create temp table selected as " + TEXT, month("2026-03").parameters(ZONE))
        selected = cursor.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = 'selected'::regclass and attnum > 0 order by attnum"
        ).fetchall()
    assert [(name, kind.replace("timestamp with time zone", "timestamptz")) for name, kind in selected] == [
        (column.name, column.physical_type) for column in CONTRACT.columns
    ]


def test_features_equal_an_independent_computation(inputs: Connection[Any]) -> None:
    world, rows = random_world(7), 0
    world.load(inputs)
    for period in month("2024-10").until(month("2027-06")):
        expected = world.expected(period)
        assert ask(inputs, period) == expected, str(period)
        rows += len(expected)
    assert rows > 200


def test_row_of_a_month_does_not_know_later_files(inputs: Connection[Any]) -> None:
    world = World(channels=[(1, "sms", date(2024, 1, 1), FOREVER)])
    world.add(1, "2026-03-31", 100)
    before = answer(inputs, world, "2026-03")
    world.add(1, "2026-03-31", 1, delivered="2026-04")
    world.add(1, "2026-04-01", 7)
    assert answer(inputs, world, "2026-03") == before
    (row,) = answer(inputs, world, "2026-04")
    assert (row["revenue_1_month_eur"], row["revenue_3_months_eur"]) == (7, 8)


def test_trend_mix_and_silence_of_a_customer(inputs: Connection[Any]) -> None:
    world = World(channels=[(1, "sms", date(2024, 1, 1), FOREVER), (2, "chat", date(2024, 1, 1), FOREVER)])
    world.add(1, "2025-10-31", 40)
    world.add(1, "2026-01-01", 30)
    world.add(1, "2026-01-02", 10, channel=2)
    world.add(1, "2026-02-28", 0, channel=9)
    (row,) = answer(inputs, world, "2026-03")
    assert (row["revenue_trend_3_months_pct"], row["months_since_traffic"], row["months_active_12_months"]) == (0, 1, 2)
    assert (row["sms_share_pct"], row["chat_share_pct"], row["other_share_pct"]) == (75, 25, 0)
    assert row["channel_concentration"] == Decimal("0.625")
    (row,) = answer(inputs, world, "2026-05")
    assert (row["revenue_3_months_eur"], row["sms_share_pct"], row["channel_concentration"]) == (0, None, None)
    assert row["revenue_trend_3_months_pct"] == -100
    (row,) = answer(inputs, world, "2027-01")
    assert (row["months_since_traffic"], row["revenue_trend_3_months_pct"]) == (11, None)
    assert answer(inputs, world, "2027-02") == []


def fill(connection: Connection[Any]) -> None:
    world = World(channels=[(1, "sms", date(2024, 1, 1), FOREVER)])
    for customer in range(1, 11):
        for on in ("2025-11-30", "2026-03-31"):
            world.add(customer, on, 10 * customer)
    world.load(connection)
    statement = sql.SQL("insert into {} ({names}) select {names} from ({}) as selected").format(
        TABLE, sql.SQL(TEXT), names=columns_sql(CONTRACT.names)
    )
    connection.execute(statement, month("2026-03").parameters(ZONE))


def failed(connection: Connection[Any]) -> list[str]:
    """Return the names of checks that fail."""
    found = []
    for name, check in CHECKS.items():
        query = query_of(CONTRACT, check)
        ((observed,),) = connection.execute(query, month("2026-03").parameters(ZONE)).fetchall()
        if observed is None or not OPERATORS[check.operator](observed, check.threshold):
            found.append(name)
    return found


SPOILERS = {
    "customer_revenue_v1_contradictions": "update {} set sms_share_pct = 99",
    "customer_revenue_v1_customers_difference": "delete from {} where customer_id = 1",
    "customer_revenue_v1_input_age_days": "update messaging.deliveries set send_date = send_date - 4",
    "customer_revenue_v1_other_share_pct_mean": "update {} set sms_share_pct = 79, other_share_pct = 21",
    "customer_revenue_v1_revenue_difference_eur": "update {} set revenue_1_month_eur = 0 where customer_id = 1",
    "customer_revenue_v1_revenue_trend_3_months_pct_null_pct":
        "update {} set revenue_trend_3_months_pct = null where customer_id < 8",
}  # fmt: skip


def test_every_check_fails_on_a_view_that_is_wrong(inputs: Connection[Any]) -> None:
    assert SPOILERS.keys() == CHECKS.keys()
    assert failed(inputs) == []
    fill(inputs)
    assert failed(inputs) == []
    for name, spoiler in SPOILERS.items():
        with inputs.transaction(force_rollback=True):
            inputs.execute(sql.SQL(spoiler).format(TABLE))
            assert name in failed(inputs)
