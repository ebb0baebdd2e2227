"""The routes of the live view."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from waybill.stream.declared import Declared, declared_streams
from waybill.views import pages
from waybill.views.access import Access, CurrentAccess
from waybill.views.live.content import Content, content, milliseconds
from waybill.views.live.figures import current_instant, figures
from waybill.views.live.shared import Busy, Shared
from waybill.views.responses import HEADERS, html

router = APIRouter(prefix="/live")


@dataclass(frozen=True)
class Answer:
    """The content of a stream's page, and the same as JSON."""

    content: Content
    body: str
    tag: str
    """The entity tag. It does not depend on the current instant."""
    read_at: float
    """When the warehouse was read, by the monotonic clock."""

    @property
    def age_seconds(self) -> int:
        """How long ago the warehouse was read."""
        return int(time.monotonic() - self.read_at)


@router.get("/index.html")
def page(access: CurrentAccess, request: Request, dataset: str | None = None) -> Response:
    """Show the figures of a stream, by default of the first one. Its script keeps them up to date."""
    streams = declared_streams()
    found = _answer(access, request, _chosen(streams, dataset))
    return html(pages.live(found.content, found.age_seconds, [one.dataset for one in streams]))


@router.get("/data.json")
def data(access: CurrentAccess, request: Request, dataset: str | None = None) -> Response:
    """Return the figures of a stream as JSON, or HTTP 304 if the client has them, with their age in seconds."""
    found = _answer(access, request, _chosen(declared_streams(), dataset))
    headers = HEADERS | {"ETag": found.tag, "Age": str(found.age_seconds)}
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if known & {found.tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type="application/json")


def _chosen(streams: list[Declared], dataset: str | None) -> Declared:
    """Return the stream of a dataset, by default the first one. Raises HTTP 404 without one."""
    if not streams:
        raise HTTPException(404, "No manifest of a domain declares a stream.")
    found = next((one for one in streams if dataset in (None, one.dataset)), None)
    if found is None:
        known = ", ".join(one.dataset for one in streams)
        raise HTTPException(404, f"The dataset {dataset!r} has no stream. Datasets with one: {known}.")
    return found


def _answer(access: Access, request: Request, declared: Declared) -> Answer:
    shared: Shared[Answer] = request.app.state.live

    def compute() -> Answer:
        read_at = time.monotonic()
        with access.reader() as connection:
            now = current_instant(connection)
            found = content(declared, now, figures(connection, declared, now))
        changing = found.as_data() | {"version": pages.assets_version()}
        tag = hashlib.sha256(json.dumps(changing).encode()).hexdigest()[:32]
        return Answer(found, json.dumps(changing | {"now": milliseconds(now)}), f'"{tag}"', read_at)

    try:
        return shared.get(declared.dataset, compute)
    except Busy:
        raise HTTPException(503, "The warehouse takes long to respond. Try again in a minute.") from None
