"""Descriptive statistics and quartile categories against numpy, pandas and the standard library."""

from __future__ import annotations

import statistics
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection, sql

from waybill.contracts import Column
from waybill.derived.statistics import Description, describe, measures, quartile_categories

AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=2)
# few distinct values, so that ties are common
TIED = st.integers(min_value=-3, max_value=3)
MISSING = st.sampled_from([None, Decimal("NaN"), Decimal("sNaN")])


def exact_quartile(values: list[Any], quarters: int) -> Fraction:
    """Return the quartile in fractions: linear between the two values around the place (n - 1) * q."""
    ordered = sorted(Fraction(value) for value in values)
    place = Fraction((len(ordered) - 1) * quarters, 4)
    below = ordered[int(place)]
    above = ordered[min(int(place) + 1, len(ordered) - 1)]
    return below + (above - below) * (place - int(place))


# Categories


@given(st.lists(AMOUNTS | TIED, min_size=1, max_size=60))
def test_cut_points_are_linear_quartiles(values: list[Decimal | int]) -> None:
    found = quartile_categories(values)
    assert found.q1 is not None
    assert found.q3 is not None
    assert Fraction(found.q1) == exact_quartile(values, 1)
    assert Fraction(found.q3) == exact_quartile(values, 3)
    q1, q3 = np.quantile(np.array([float(value) for value in values]), [0.25, 0.75])
    assert float(found.q1) == pytest.approx(q1, abs=1e-3)
    assert float(found.q3) == pytest.approx(q3, abs=1e-3)


@given(st.lists(TIED | MISSING, max_size=40))
def test_categories_follow_the_cut_points(values: list[Decimal | int | None]) -> None:
    found = quartile_categories(values)
    numbers = [value for value in values if value is not None and not Decimal(value).is_nan()]
    assert found.is_degenerate is (len(numbers) < 4 or len(set(numbers)) == 1)
    assert len(found.categories) == len(values)
    for value, category in zip(values, found.categories, strict=True):
        if value is None or Decimal(value).is_nan():
            assert category is None
        elif found.is_degenerate:
            assert category == "Mid"
        else:
            q1, q3 = exact_quartile(numbers, 1), exact_quartile(numbers, 3)
            assert category == ("Low" if value < q1 else "High" if value > q3 else "Mid")


@given(st.lists(AMOUNTS | TIED, max_size=30), st.lists(MISSING, max_size=5), st.randoms(use_true_random=False))
def test_missing_values_do_not_move_the_cut_points(values: list[Any], missing: list[Any], chance: Any) -> None:
    mixed = values + missing
    chance.shuffle(mixed)
    plain, with_missing = quartile_categories(values), quartile_categories(mixed)
    assert (plain.q1, plain.q3, plain.is_degenerate) == (
        with_missing.q1,
        with_missing.q3,
        with_missing.is_degenerate,
    )
    assert with_missing.categories.count(None) == len(missing)


def test_values_on_the_cut_points_are_mid() -> None:
    found = quartile_categories([10, 20, 30, 40, 50])
    assert found.q1 == 20
    assert found.q3 == 40
    assert found.categories == ["Low", "Mid", "Mid", "Mid", "High"]


def test_equal_values_share_a_category() -> None:
    found = quartile_categories([0, 0, 0, 0, 0, 100])
    assert found.categories == ["Mid"] * 5 + ["High"]
    assert not found.is_degenerate


@pytest.mark.parametrize(
    "values", [[1], [1, 2], [1, 2, 3], [None, 1, 2, 3], [5, 5, 5, 5, 5], [5, Decimal("5.00"), 5, 5]]
)
def test_few_or_equal_values_are_mid_and_degenerate(values: list[Any]) -> None:
    found = quartile_categories(values)
    assert found.is_degenerate
    assert [category for category in found.categories if category] == ["Mid"] * sum(v is not None for v in values)


def test_four_different_values_are_not_degenerate() -> None:
    assert quartile_categories([4, 3, 2, 1]).categories == ["High", "Mid", "Mid", "Low"]


@pytest.mark.parametrize("values", [[], [None], [Decimal("NaN"), None]])
def test_no_values_have_no_cut_points(values: list[Any]) -> None:
    found = quartile_categories(values)
    assert found.categories == [None] * len(values)
    assert (found.q1, found.q3, found.is_degenerate) == (None, None, True)


def test_cut_points_keep_every_digit() -> None:
    long = [Decimal(f"12345678901234567890123456789{digit}.01") for digit in (0, 1, 2, 4)]
    assert quartile_categories(long).q1 == Decimal("123456789012345678901234567890.76")


def test_infinite_value_is_rejected() -> None:
    with pytest.raises(ValueError, match="infinite"):
        quartile_categories([1, 2, 3, Decimal("Infinity")])


# Measures


def test_measures_are_numbers_that_neither_identify_nor_rank() -> None:
    def column(name: str, physical_type: str, **more: Any) -> Column:
        return Column(name, "", "number", physical_type, **more)

    columns = [
        column("month", "date"),
        column("level", "integer", key_position=1),
        column("supplier", "integer", reference=("suppliers", "number")),
        column("traffic_id", "bigint"),
        column("customer_rank", "bigint"),
        column("name", "text"),
        column("is_late", "boolean"),
        column("revenue_eur", "numeric(12,2)"),
        column("share_pct", "NUMERIC (5, 2)"),
        column("total", "numeric"),
        column("interactions_count", "integer"),
        column("bytes_count", "bigint"),
    ]
    assert measures(columns) == ["revenue_eur", "share_pct", "total", "interactions_count", "bytes_count"]


# Descriptions


def table(connection: Connection[Any], name: str, columns: dict[str, list[Any]], physical_type: str) -> None:
    connection.execute(
        sql.SQL("create temp table {} ({})").format(
            sql.Identifier(name),
            sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(physical_type)) for c in columns),
        )
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} from stdin").format(sql.Identifier(name))) as copy,
    ):
        for row in zip(*columns.values(), strict=True):
            copy.write_row(row)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 8, 101, 1002])
def test_descriptions_equal_those_of_pandas(warehouse: Connection[Any], rows: int) -> None:
    chance = np.random.default_rng(rows)
    columns: dict[str, list[Any]] = {}
    for name, distinct in [("few values", 5), ("many_values", 10**9), ('with "quotes"', 100)]:
        cents = chance.integers(-distinct, distinct, rows)
        missing = chance.random(rows) < 0.2
        columns[name] = [None if no else Decimal(int(c)) / 100 for c, no in zip(cents, missing, strict=True)]
    table(warehouse, "numbers", columns, "numeric(14,2)")
    found = describe(warehouse, sql.Identifier("numbers"), list(columns), {})
    assert [description.column_name for description in found] == list(columns)
    for description, values in zip(found, columns.values(), strict=True):
        present = [value for value in values if value is not None]
        series = pd.Series([float(value) for value in present], dtype="float64")
        assert (description.row_count, description.null_count) == (len(present), values.count(None))
        if not present:
            assert description == Description(description.column_name, 0, rows, *[None] * 7)
            continue
        assert (description.min_value, description.max_value) == (min(present), max(present))
        for number, quarters in [
            (description.q1_value, 1),
            (description.median_value, 2),
            (description.q3_value, 3),
        ]:
            assert number is not None
            assert Fraction(number) == exact_quartile(present, quarters)
            assert float(number) == pytest.approx(series.quantile(quarters / 4))
        mean = Fraction(sum(Fraction(value) for value in present), len(present))
        assert description.mean_value is not None
        assert abs(Fraction(description.mean_value) - mean) <= Fraction(1, 2 * 10**10)
        if len(present) == 1:
            assert description.stddev_value is None
        else:
            assert description.stddev_value is not None
            assert description.stddev_value == pytest.approx(statistics.stdev(present), abs=Decimal("1e-9"))
            assert float(description.stddev_value) == pytest.approx(series.std())


def test_description_of_integers_is_exact_beyond_double_precision(warehouse: Connection[Any]) -> None:
    large = 2**62
    table(warehouse, "numbers", {"n": [large + 1, large + 3, None, large + 2, large + 6]}, "bigint")
    [found] = describe(warehouse, sql.Identifier("numbers"), ["n"], {})
    assert found == Description(
        column_name="n",
        row_count=4,
        null_count=1,
        min_value=Decimal(large + 1),
        max_value=Decimal(large + 6),
        mean_value=Decimal(large + 3),
        median_value=Decimal(large) + Decimal("2.5"),
        stddev_value=Decimal("2.1602468995"),  # of -2, 0, -1, 3: sqrt(14 / 3)
        q1_value=Decimal(large) + Decimal("1.75"),
        q3_value=Decimal(large) + Decimal("3.75"),
    )


def test_mean_and_deviation_are_rounded_once(warehouse: Connection[Any]) -> None:
    chance = np.random.default_rng(1)
    columns = {f"c{n}": [Decimal(int(cents)) / 100 for cents in chance.integers(0, 10**7, 11)] for n in range(60)}
    table(warehouse, "numbers", columns, "numeric(14,2)")
    for found, values in zip(
        describe(warehouse, sql.Identifier("numbers"), list(columns), {}), columns.values(), strict=True
    ):
        with localcontext(prec=60):
            mean = sum(values) / len(values)
            deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)).sqrt()
            wanted = [one.quantize(Decimal("1e-10"), ROUND_HALF_UP) for one in (mean, deviation)]
        assert [found.mean_value, found.stddev_value] == wanted


def test_equal_values_deviate_by_zero(warehouse: Connection[Any]) -> None:
    table(warehouse, "numbers", {"n": [Decimal("0.10")] * 7}, "numeric(12,2)")
    [found] = describe(warehouse, sql.Identifier("numbers"), ["n"], {})
    assert (found.stddev_value, found.mean_value, found.q1_value, found.q3_value) == (
        0,
        *[Decimal("0.1")] * 3,
    )


def test_not_a_number_is_a_missing_value(warehouse: Connection[Any]) -> None:
    table(warehouse, "numbers", {"n": [Decimal("NaN"), None, Decimal("NaN"), 4, 2]}, "numeric")
    [found] = describe(warehouse, sql.Identifier("numbers"), ["n"], {})
    assert (found.row_count, found.null_count) == (2, 3)
    assert found.max_value == 4
    assert found.mean_value == 3


def test_description_without_rows_or_columns(warehouse: Connection[Any]) -> None:
    table(warehouse, "numbers", {"a": [], "b": []}, "integer")
    assert describe(warehouse, sql.Identifier("numbers"), ["b", "a"], {}) == [
        Description("b", 0, 0, *[None] * 7),
        Description("a", 0, 0, *[None] * 7),
    ]
    assert describe(warehouse, sql.Identifier("numbers"), [], {}) == []


def test_relation_may_be_a_subquery_with_parameters(warehouse: Connection[Any]) -> None:
    relation = sql.SQL("(select n from generate_series(1, 9) as n where n <= %(limit)s)")
    [found] = describe(warehouse, relation, ["n"], {"limit": 5})
    assert found.row_count == 5
    assert [found.q1_value, found.median_value, found.q3_value] == [Decimal(2), Decimal(3), Decimal(4)]
