"""Produce the items of an iterable in a thread, ahead of their consumer."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_SWITCH_SECONDS = 0.0002


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Shorten the interval at which threads hand over Python's global lock, while several stages work.

    A stage needs less time for a batch than Python's default interval of 5 ms: with it, stages and cores would idle.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def prefetch(items: Iterable[T], depth: int = 4) -> Generator[T]:
    """Yield the items in order. A thread produces up to `depth` items in advance.

    An exception in the thread is raised here. Closing the iterator stops the thread.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def produce() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    return
        except BaseException as error:
            put(None, error)
        else:
            put(None, None)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while (received := ready.get()) != (None, None):
            item, error = received
            if error is not None:
                raise error
            assert item is not None
            yield item
    finally:
        stopped.set()
        thread.join()
