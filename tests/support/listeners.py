from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psutil


def listeners(processes: Iterable[psutil.Process]) -> list[Any]:
    """Return the addresses that processes listen on. Processes that end meanwhile are left out."""
    found = []
    for process in processes:
        try:
            found += [one.laddr for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
        except psutil.NoSuchProcess:  # servers start processes that end with their request
            continue
    return found
