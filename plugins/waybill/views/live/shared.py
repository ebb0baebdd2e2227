"""Values that all who watch a page share, so that the warehouse is asked once, however many watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

SECONDS: Final = 1.0
"""How long a value, or a failure, is shared at least."""
TIMES: Final = 9
"""How many times as long as it took to compute a value is shared: the warehouse works a tenth of the time at most."""
LONGEST_SECONDS: Final = 10.0
"""How old a value may be that is returned while the next one is computed."""
WAIT_SECONDS: Final = 5.0
"""How long one waits for a value that another thread computes, so that waiting requests do not fill the web server."""


class Busy(Exception):
    """Another thread still computes the value, and there is none before it."""


T = TypeVar("T")


@dataclass
class _Entry(Generic[T]):
    """The newest value of a key, or why there is none."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    value: T | None = None
    valued_at: float = float("-inf")
    failure: Exception | None = None
    due_at: float = float("-inf")


class Shared(Generic[T]):
    """The newest value of each key. One thread at a time computes the value of a key, at most once a second.

    A value or a failure that takes longer than 0.1 s is shared nine times as long.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, wait_seconds: float = WAIT_SECONDS) -> None:
        self._clock, self._wait_seconds = clock, wait_seconds
        self._entries: dict[str, _Entry[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, compute: Callable[[], T]) -> T:
        """Return the value of a key, which is computed unless it is fresh.

        While another thread computes it, the one before is returned, up to ten seconds long. Raises the exception of
        `compute`, also to the others who ask soon after it, and `Busy` if the other thread takes too long.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        if not entry.lock.acquire(blocking=False):
            value, is_usable = entry.value, self._clock() - entry.valued_at < LONGEST_SECONDS
            if value is not None and is_usable:
                return value
            if not entry.lock.acquire(timeout=self._wait_seconds):
                raise Busy
        try:
            return self._fresh(entry, compute)
        finally:
            entry.lock.release()

    def _fresh(self, entry: _Entry[T], compute: Callable[[], T]) -> T:
        begin = self._clock()
        if begin < entry.due_at:
            if entry.failure:
                raise entry.failure.with_traceback(None)
            if entry.value is not None:
                return entry.value
        try:
            value = compute()
        except Exception as error:
            entry.failure = error
            raise
        else:
            entry.value, entry.failure, entry.valued_at = value, None, self._clock()
            return value
        finally:
            end = self._clock()
            entry.due_at = end + max(SECONDS, TIMES * (end - begin))
