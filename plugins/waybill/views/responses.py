"""Responses with the headers that every answer of the views has."""

from __future__ import annotations

from fastapi.responses import HTMLResponse, Response

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer."""


def html(body: str) -> Response:
    """Return a page as a response."""
    return HTMLResponse(body, headers=HEADERS)
