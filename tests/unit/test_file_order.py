"""The natural order of object keys, as text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from waybill.warehouse.file_order import natural_key

NAMES = st.text(st.sampled_from("ab 019()-_.é"), min_size=1, max_size=8)


def test_names_sort_in_natural_order() -> None:
    names = [
        "week48.csv",
        "week48.csv.gz",
        "week48 (1).csv",
        "week48 (2).csv",
        "week48 (10).csv",
        "week48 v2.csv",
        "week48-corrected.csv",
        "week48_final.CSV",
        "week049.csv",
        "week50.csv",
        "week100.csv",
    ]
    assert sorted(names, key=natural_key) == names
    keys = [f"raw/shop/transactions/dt=2026-03-{day:02d}/x.csv" for day in range(1, 32)]
    assert sorted(keys, key=natural_key) == keys


@given(st.lists(st.integers(0, 10**30), min_size=2, max_size=6, unique=True), NAMES)
def test_numbers_compare_by_value_in_any_surrounding_text(numbers: list[int], around: str) -> None:
    names = [f"raw/{around}({number}){around}.csv" for number in sorted(numbers)]
    assert sorted(names, key=natural_key) == names


@given(NAMES, NAMES)
def test_different_keys_are_never_equal_and_bytes_decide_as_python_does(one: str, other: str) -> None:
    first, second = natural_key(one), natural_key(other)
    assert (first == second) == (one == other)
    assert (first < second) == (first.encode() < second.encode())
