"""Provide a temporary folder for each load, and remove the folders of killed loads."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waybill.settings import settings

_PREFIX = "waybill-load-"
_YOUNG_SECONDS = 60
"""Younger folders may not be locked yet."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a folder, lock it while its process lives, and remove it at the end."""
    parent = Path(settings().scratch_dir or tempfile.gettempdir())
    for folder in parent.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        lock = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
            return
        lock = os.open(folder, os.O_RDONLY)
    except OSError:  # removed, or owned by another user
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # the load is running
    finally:
        os.close(lock)
