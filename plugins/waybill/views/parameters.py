"""Parameters of requests: paths and queries."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from fastapi import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from waybill.errors import DataError
from waybill.period import Period
from waybill.views import catalog


class BlankParameters:
    """Middleware that drops blank parameters of queries: a form sends its empty fields, and they count as absent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["query_string"]:
            given = parse_qsl(scope["query_string"].decode("latin-1"))
            scope["query_string"] = urlencode([(name, value) for name, value in given if value.strip()]).encode()
        await self._app(scope, receive, send)


def check_domain(domain: str) -> None:
    """Raise HTTP 404 for an unknown domain."""
    if domain not in catalog.domains():
        known = ", ".join(catalog.domains()) or "none"
        raise HTTPException(404, f"The domain {domain!r} does not exist. Existing domains: {known}.")


def period_of(key: str) -> Period:
    """Return the period that a key such as `2026-03` names. Raises HTTP 404 for any other text."""
    try:
        return Period.named(key)
    except DataError as error:
        raise HTTPException(404, str(error)) from error
