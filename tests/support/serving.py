"""The views on a port of this machine, for a browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from waybill.views.app import make_app

if TYPE_CHECKING:
    from waybill.views.access import Access


@contextmanager
def served(access: Access) -> Iterator[str]:
    """Serve the views on a free port. Yield the address of data operations."""
    server = uvicorn.Server(uvicorn.Config(make_app(access), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/operations/index.html?domain=messaging"
    finally:
        server.should_exit = True
        thread.join()
