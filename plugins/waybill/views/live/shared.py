"""Values that all who watch a page share, so that the warehouse is asked once, however many watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

SECONDS: Final = 1.0
"""How long a value, or a failure, is shared after it was computed."""
LONGEST_SECONDS: Final = 10.0
"""How old a value may be that is returned while the next one is computed."""


T = TypeVar("T")


@dataclass
class _Entry(Generic[T]):
    """The newest value of a key, or why there is none."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    value: T | None = None
    valued_at: float = float("-inf")
    failure: Exception | None = None
    tried_at: float = float("-inf")


class Shared(Generic[T]):
    """The newest value of each key. One thread at a time computes the value of a key, at most once a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, compute: Callable[[], T]) -> T:
        """Return the value of a key, which is computed unless it is fresh.

        While another thread computes it, the one before is returned, up to ten seconds long. Raises the exception of
        `compute`, also to the others who ask in the second after it.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        if not entry.lock.acquire(blocking=False):
            value, is_usable = entry.value, self._clock() - entry.valued_at < LONGEST_SECONDS
            if value is not None and is_usable:
                return value
            entry.lock.acquire()
        try:
            return self._fresh(entry, compute)
        finally:
            entry.lock.release()

    def _fresh(self, entry: _Entry[T], compute: Callable[[], T]) -> T:
        if self._clock() - entry.tried_at < SECONDS:
            if entry.failure:
                raise entry.failure.with_traceback(None)
            if entry.value is not None:
                return entry.value
        try:
            value = compute()
        except Exception as error:
            entry.failure, entry.tried_at = error, self._clock()
            raise
        entry.value, entry.failure = value, None
        entry.valued_at = entry.tried_at = self._clock()
        return value
