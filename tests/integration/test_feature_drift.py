"""The population stability index of features: against numpy, at its edges, and whatever the order of builds."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from math import log
from typing import Any

import numpy as np
import pytest
from psycopg import Connection, sql

from waybill.checks import quality
from waybill.contracts import Contract
from waybill.contracts.odcs import recorded
from waybill.derived.build import Build, BuildInputs, record_build
from waybill.derived.feature_drift import FEWEST_ROWS, SAMPLE_ROWS, measure, stability_index
from waybill.period import Period
from waybill.run import Run
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import columns_sql, relation

RUN = Run("drift_run", "test")
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: billing_feature.payer_spend_v1
version: 1.0.0
domain: billing_feature
schema:
  - name: payer_spend_v1
    customProperties: [{property: loadMode, value: feature}, {property: driftWarn, value: 0.2}]
    properties:
      - {name: day, logicalType: date, physicalType: date, primaryKey: true, primaryKeyPosition: 1}
      - {name: payer_id, logicalType: integer, physicalType: integer, primaryKey: true, primaryKeyPosition: 2}
      - {name: event_ts, logicalType: timestamp, physicalType: timestamptz, required: true}
      - {name: spend, logicalType: number, physicalType: "numeric(12,2)"}
      - {name: ratio, logicalType: number, physicalType: double precision}
      - {name: since, logicalType: date, physicalType: date}
      - {name: plan, logicalType: string, physicalType: text}
      - {name: is_new, logicalType: boolean, physicalType: boolean}
      - {name: agent_id, logicalType: integer, physicalType: integer}
slaProperties: [{property: frequency, value: 1, unit: d}]
"""
NAMES = ("spend", "ratio", "since", "plan", "is_new", "agent_id")
DAY = Period.parse("day", "2026-03-31")

Values = tuple[Any, ...]


@pytest.fixture
def view(warehouse: Connection[Any]) -> Contract:
    """A feature view without rows."""
    contract = recorded(CONTRACT)
    ensure(warehouse, contract)
    return contract


def put(connection: Connection[Any], contract: Contract, period: Period, rows: list[Values]) -> None:
    """Make these the rows of a period, and record its build."""
    table = relation(contract)
    connection.execute(sql.SQL("delete from {} where day = %s").format(table), (period.start,))
    with connection.cursor().copy(
        sql.SQL("copy {} ({}) from stdin").format(table, columns_sql(contract.names))
    ) as copy:
        for number, row in enumerate(rows, start=1):
            copy.write_row((period.start, number, period.end, *row))
    record_build(connection, Build(contract, period, RUN, BuildInputs([]), len(rows), "0" * 64, None))


def indexes(connection: Connection[Any], period: Period = DAY) -> dict[str, float]:
    """Return the stored indexes of a period by feature."""
    rows = connection.execute(
        "select column_name, stability_index from waybill.feature_drift where period = %s", (period.start,)
    ).fetchall()
    return {name: float(index) for name, index in rows}


def random_rows(chance: random.Random, rows: int, shift: float) -> list[Values]:
    """Return rows with nulls and many ties, whose values move with `shift`."""

    def perhaps(value: Any) -> Any:
        return None if chance.random() < 0.05 + shift / 20 else value

    return [
        (
            perhaps(Decimal(chance.choice([0, 0, 0, round(100 * chance.expovariate(1 / (1 + shift)))])) / 4),
            perhaps(chance.gauss(shift, 1)),
            perhaps(date(2026, 1, 1) + timedelta(days=int(chance.random() * 40 + 9 * shift))),
            perhaps(f"plan {int(chance.expovariate(0.2 / (1 + shift)))}"),
            perhaps(chance.random() < 0.3 + shift / 10),
            perhaps(int(chance.expovariate(0.1))),
        )
        for _ in range(rows)
    ]


def by_numpy(values: list[Any], previous: list[Any], *, is_number: bool) -> float:
    """Compute the index a second time."""
    present = [value for value in previous if value is not None]
    if is_number:
        numbers = np.array([float(value.toordinal() if isinstance(value, date) else value) for value in present])
        cuts = np.unique(np.quantile(numbers, np.arange(1, 10) / 10, method="inverted_cdf"))

        def class_of(value: Any) -> Any:
            number = float(value.toordinal() if isinstance(value, date) else value)
            return int(np.digitize(number, cuts))
    else:
        ranked = sorted({*present}, key=lambda value: (-present.count(value), str(value).lower()))[:20]

        def class_of(value: Any) -> Any:
            return value if value in ranked else "rest"

    shares = []
    for rows in (values, previous):
        classes = ["null" if value is None else class_of(value) for value in rows]
        shares.append({one: classes.count(one) / len(rows) for one in classes})
    found = 0.0
    for one in shares[0].keys() | shares[1].keys():
        share, former = shares[0].get(one, 0.5 / len(values)), shares[1].get(one, 0.5 / len(previous))
        found += (share - former) * log(share / former)
    return found


def test_index_by_hand() -> None:
    assert stability_index([(50, 500), (50, 500)]) == 0
    assert stability_index([(80, 50), (20, 50)]) == pytest.approx(0.3 * log(1.6) - 0.3 * log(0.4))
    assert stability_index([(80, 50), (20, 50), (0, 0)]) == stability_index([(20, 50), (80, 50)])
    assert stability_index([(100, 50), (0, 50)]) == pytest.approx(0.5 * log(2) + (0.5 - 0.005) * log(0.5 / 0.005))


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_index_equals_that_of_numpy(warehouse: Connection[Any], view: Contract, shift: float) -> None:
    chance = random.Random(5)
    before, now = random_rows(chance, 900, 0), random_rows(chance, 1100, shift)
    put(warehouse, view, DAY.shift(-1), before)
    put(warehouse, view, DAY, now)
    results = measure(warehouse, view, DAY, RUN)
    found = indexes(warehouse)
    assert list(found) == list(NAMES)
    for place, name in enumerate(NAMES):
        columns = [[row[place] for row in rows] for rows in (now, before)]
        assert found[name] == pytest.approx(by_numpy(*columns, is_number=place < 3), abs=1e-6), name
    assert {result.check.name: float(result.observed or 0) for result in results} == {
        f"payer_spend_v1_{name}_drift": index for name, index in found.items()
    }
    assert {result.check.severity for result in results} == {"warning"}
    assert [result.passed for result in results] == [index <= 0.2 for index in found.values()]
    assert all(result.passed for result in results) == (shift == 0)


def test_features_without_values_and_new_values(warehouse: Connection[Any], view: Contract) -> None:
    none: Values = (None,) * len(NAMES)
    some: Values = (Decimal(1), float("nan"), date(2026, 1, 1), "a", True, 1)
    put(warehouse, view, DAY.shift(-1), [none] * 400)
    put(warehouse, view, DAY, [none] * 200 + [some] * 200)
    measure(warehouse, view, DAY, RUN)
    half = stability_index([(200, 400), (200, 0)])
    assert indexes(warehouse) == {name: pytest.approx(half, abs=1e-6) for name in NAMES}
    put(warehouse, view, DAY, [none] * 400)
    measure(warehouse, view, DAY, RUN)
    assert indexes(warehouse) == dict.fromkeys(NAMES, 0)


def test_few_rows_and_a_missing_period_have_no_index(warehouse: Connection[Any], view: Contract) -> None:
    rows = random_rows(random.Random(1), FEWEST_ROWS, 0)
    put(warehouse, view, DAY.shift(-2), rows)
    put(warehouse, view, DAY, rows)
    assert measure(warehouse, view, DAY, RUN) == []
    put(warehouse, view, DAY.shift(-1), rows[1:])
    assert measure(warehouse, view, DAY, RUN) == []
    put(warehouse, view, DAY.shift(-1), rows)
    assert len(measure(warehouse, view, DAY, RUN)) == len(NAMES)
    assert indexes(warehouse) == dict.fromkeys(NAMES, 0)
    put(warehouse, view, DAY, rows[1:])
    assert measure(warehouse, view, DAY, RUN) == []
    assert indexes(warehouse) == {}


def test_next_period_is_compared_again(warehouse: Connection[Any], view: Contract) -> None:
    """A period that is built again, or late, gives the same indexes and results as one that is built in order."""
    chance = random.Random(3)
    first, second, third = (random_rows(chance, 300, shift) for shift in (0, 2, 2))
    query = "select check_name, observed, passed from waybill.check_result where period = %s order by 1"

    def build(period: Period, rows: list[Values]) -> None:
        put(warehouse, view, period, rows)
        quality.record(warehouse, measure(warehouse, view, period, RUN), RUN)

    build(DAY.shift(-1), first)
    build(DAY, second)
    drifted = warehouse.execute(query, (DAY.start,)).fetchall()
    assert drifted
    build(DAY.shift(-1), third)
    steady = warehouse.execute(query, (DAY.start,)).fetchall()
    assert [name for name, _, _ in steady] == [name for name, _, _ in drifted]
    assert steady != drifted
    build(DAY.shift(-1), third[:10])
    assert warehouse.execute(query, (DAY.start,)).fetchall() == []
    assert indexes(warehouse) == {}
    build(DAY.shift(-1), first)
    assert warehouse.execute(query, (DAY.start,)).fetchall() == drifted


def test_large_periods_are_compared_by_the_same_entities(warehouse: Connection[Any], view: Contract) -> None:
    rows = [(Decimal(number % 97), 1.0, None, None, None, number % 7) for number in range(3 * SAMPLE_ROWS)]
    put(warehouse, view, DAY.shift(-1), rows)
    put(warehouse, view, DAY, rows)
    measure(warehouse, view, DAY, RUN)
    assert indexes(warehouse) == dict.fromkeys(NAMES, 0)
    ((compared, previous),) = warehouse.execute(
        "select distinct rows, previous_rows from waybill.feature_drift"
    ).fetchall()
    assert compared == previous
    assert abs(compared - SAMPLE_ROWS) < SAMPLE_ROWS / 10
