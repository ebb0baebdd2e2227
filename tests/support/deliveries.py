"""Random deliveries over days: late rows, files that are sent again, equal and different repeats, rejected files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from waybill.contracts import Contract, odcs

FIRST = date(2026, 3, 2)
LANDED_AT = datetime(2026, 3, 20, tzinfo=UTC)
HEADER = "id,at,value,code,run"

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: shop.{name}
name: {name}
version: 1.0.0
status: active
domain: shop
description: {{purpose: Deliveries of a test.}}
schema:
  - name: {name}
    physicalType: table
    customProperties:
      - {{property: loadMode, value: merge}}
      - {{property: periodColumn, value: at}}
      - {{property: rejectThresholdPct, value: {threshold}}}
      - {{property: lookbackPeriods, value: {lookback}}}
      - {{property: fileOrder, value: {order}}}
    properties:
      - name: id
        logicalType: integer
        physicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        required: true
      - name: at
        logicalType: {at[0]}
        physicalType: {at[1]}
        required: true
        {key}
      - name: value
        logicalType: number
        physicalType: numeric(10,2)
      - name: code
        logicalType: string
        physicalType: text
        {unique}
slaProperties:
  - {{property: frequency, value: 1, unit: d}}
"""


@dataclass(frozen=True)
class Kind:
    """The properties of a contract that decide how its files are merged."""

    at: tuple[str, str] = ("date", "date")
    has_day_in_key: bool = True
    order: str = "landing"
    lookback: int = 2
    threshold: int = 100
    unique: bool = False

    def contract(self, name: str) -> Contract:
        return odcs.recorded(
            CONTRACT.format(
                name=name,
                at=self.at,
                order=self.order,
                lookback=self.lookback,
                threshold=self.threshold,
                key="primaryKey: true\n        primaryKeyPosition: 2" if self.has_day_in_key else "description: Day.",
                unique="unique: true" if self.unique else "description: Code.",
            )
        )


@dataclass(frozen=True)
class Delivery:
    """A file that lands, perhaps over an older version."""

    day: date
    name: str
    landed_at: datetime
    body: bytes


def deliveries(kind: Kind, seed: int, runs: int, files: int) -> Iterator[list[Delivery]]:
    """Yield the files that land before each run, each name at most once."""
    chance = random.Random(seed)
    for number in range(runs):
        chosen: dict[tuple[date, str], Delivery] = {}
        for _ in range(chance.randint(1, files)):
            day = FIRST + timedelta(days=chance.randrange(3))
            name = chance.choice(["a.csv", "a (2).csv", "a (10).csv"])
            landed_at = LANDED_AT + timedelta(hours=2 * number + chance.randrange(4))
            rows = [_row(kind, chance, day) for _ in range(chance.choice([0, 5, 10, 10]))]
            lines = [f"{HEADER}{number}", *(f"{row},{number}-{place}" for place, row in enumerate(rows))]
            chosen[day, name] = Delivery(day, name, landed_at, "".join(f"{line}\n" for line in lines).encode())
        yield [*chosen.values()]


def _row(kind: Kind, chance: random.Random, day: date) -> str:
    at = day - timedelta(days=chance.choice([0, 0, 0, 1, 2, 3]))
    written = str(at) if kind.at[1] == "date" else f"{at}T{chance.choice(['00:30', '23:30'])}:00Z"
    value = chance.choice(["1", "1", "1", "1.00", "2", "", "x" if chance.random() < 0.3 else "1"])
    return f"{chance.randint(1, 4)},{written},{value},{chance.choice(['', '', '', 'A'])}"
