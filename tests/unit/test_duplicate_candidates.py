from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from waybill.intake.duplicate_candidates import SeenKeys

# Few values make repeats; low and high bits both occur, and both ends of the range.
HASHES = st.one_of(st.integers(0, 30), st.integers(2**64 - 30, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(st.lists(st.lists(HASHES, max_size=40), max_size=8))
def test_no_repeat_is_missed_within_or_across_batches(batches: list[list[int]]) -> None:
    keys, before = SeenKeys(sum(map(len, batches))), set[int]()
    for batch in batches:
        candidates = keys.candidates(np.array(batch, dtype=np.uint64))
        assert len(candidates) == len(batch)
        for value, is_candidate in zip(batch, candidates, strict=True):
            assert is_candidate or value not in before
            before.add(value)


def test_distinct_keys_are_seldom_candidates() -> None:
    rows = 200_000
    hashes = np.random.default_rng(7).integers(0, 2**64, rows, dtype=np.uint64)
    keys = SeenKeys(rows)
    candidates = sum(int(keys.candidates(batch).sum()) for batch in np.array_split(hashes, 7))
    assert candidates < rows / 50


def test_a_file_without_rows_has_no_candidates() -> None:
    assert not SeenKeys(0).candidates(np.array([], dtype=np.uint64)).any()
