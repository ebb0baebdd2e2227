"""Wait for events in another process."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 600
"""Seconds after which something will never happen, also on a busy machine. No test checks the speed."""


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE, every: float = 0.1) -> bool:
    """Return whether the condition becomes true within the time.

    `every` is the time between two looks in seconds: longer if a look costs much, such as a request to Airflow.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
