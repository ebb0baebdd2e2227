"""Let a stage of a pipeline run ahead of the next one, in a thread of its own."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_TURN_SECONDS = 0.0002


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Let threads hand Python's lock to each other more often, while several stages work.

    Python's own turns of 5 ms are long beside what a stage does with a batch: the stages would wait for each other,
    and a core for both.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def ahead(items: Iterable[T], depth: int = 4) -> Generator[T]:
    """The items in their order, made by a thread that runs up to `depth` items ahead.

    What the thread raises is raised here. Closing the iterator stops the thread.
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
        while (taken := ready.get()) != (None, None):
            item, error = taken
            if error is not None:
                raise error
            assert item is not None
            yield item
    finally:
        stopped.set()
        thread.join()
