"""Whoever watches a page shares its values: one thread at a time computes one, at most once a second."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.waiting import PATIENCE, eventually
from waybill.views.live.shared import LONGEST_SECONDS, SECONDS, Busy, Shared


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Computes a number that grows, or fails, while the gate is open."""

    def __init__(self) -> None:
        self.calls = self.running = self.most_running = 0
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> int:
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        number = self.calls
        self.gate.wait(PATIENCE)
        self.running -= 1
        if self.fails:
            raise ValueError(f"call {number} fails")
        return number


def test_a_value_is_computed_once_a_second_for_each_key() -> None:
    clock = Clock()
    shared = Shared[int](clock)
    first, second = Source(), Source()
    assert [shared.get("a", first) for _ in range(50)] == [1] * 50
    assert shared.get("b", second) == 1
    clock.now = SECONDS - 0.001
    assert shared.get("a", first) == 1
    clock.now = SECONDS
    assert [shared.get("a", first) for _ in range(50)] == [2] * 50
    assert (first.calls, second.calls) == (2, 1)


def test_many_threads_wait_for_the_first_value_and_share_it() -> None:
    shared, source = Shared[int](Clock()), Source()
    source.gate.clear()
    with ThreadPoolExecutor(40) as pool:
        found = [pool.submit(shared.get, "a", source) for _ in range(40)]
        assert eventually(lambda: source.running == 1)
        source.gate.set()
        assert [one.result(60) for one in found] == [1] * 40
    assert source.calls == 1


def test_the_value_before_is_returned_while_the_next_one_is_computed_but_not_for_long() -> None:
    clock, source = Clock(), Source()
    shared = Shared[int](clock)
    shared.get("a", source)
    source.gate.clear()
    clock.now = LONGEST_SECONDS - 0.001
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(shared.get, "a", source)
        assert eventually(lambda: source.running == 1)
        assert [shared.get("a", source) for _ in range(20)] == [1] * 20
        clock.now = LONGEST_SECONDS
        waiting = pool.submit(shared.get, "a", source)
        assert not waiting.done()
        source.gate.set()
        assert (slow.result(60), waiting.result(60)) == (2, 2)
    assert (source.calls, source.most_running) == (2, 1)


def test_nobody_waits_for_long() -> None:
    shared, source = Shared[int](Clock(), wait_seconds=0.05), Source()
    source.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(shared.get, "a", source)
        assert eventually(lambda: source.running == 1)
        with pytest.raises(Busy):
            shared.get("a", source)
        source.gate.set()
        assert slow.result(60) == 1
    assert shared.get("a", source) == 1


def test_a_failure_is_shared_for_a_second_too() -> None:
    clock, source = Clock(), Source()
    shared = Shared[int](clock)
    source.fails = True
    for _ in range(20):
        with pytest.raises(ValueError, match="call 1 fails"):
            shared.get("a", source)
    clock.now, source.fails = SECONDS, False
    assert shared.get("a", source) == 2
    assert source.calls == 2


def test_what_takes_long_is_computed_less_often() -> None:
    clock, source = Clock(), Source()
    shared = Shared[int](clock)

    def slow() -> int:
        clock.now += 2
        return source()

    assert shared.get("a", slow) == 1
    clock.now = 2 + 9 * 2 - 0.001
    assert shared.get("a", slow) == 1
    clock.now = 2 + 9 * 2
    assert shared.get("a", slow) == 2
