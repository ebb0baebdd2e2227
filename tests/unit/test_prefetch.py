"""A prefetched iterator yields the same items, raises errors at the same position and leaves no thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.files.prefetch import prefetch, short_switch_interval


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_items_keep_their_order(items: list[int], depth: int) -> None:
    assert list(prefetch(items, depth)) == items


def test_an_error_is_raised_at_its_position() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("the second")

    items_read = prefetch(items())
    assert next(items_read) == 1
    with pytest.raises(LookupError, match="the second"):
        next(items_read)


def test_closing_the_iterator_early_stops_the_thread() -> None:
    threads, made = threading.active_count(), 0

    def items() -> Iterator[int]:
        nonlocal made
        while True:
            made += 1
            yield made

    with closing(prefetch(items(), depth=2)) as items_read:
        assert next(items_read) == 1
    assert made <= 5
    assert threading.active_count() == threads


def test_the_switch_interval_is_restored() -> None:
    before = sys.getswitchinterval()
    with short_switch_interval():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == pytest.approx(before)
