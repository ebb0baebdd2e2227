"""The route of style sheet, script and icons."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response

from waybill.views.pages import ASSETS, assets_version
from waybill.views.responses import HEADERS

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FILES = {path.name: path for path in ASSETS.iterdir() if path.suffix in _MEDIA_TYPES}

router = APIRouter()


@router.get("/{view}/assets/{name}")
@router.get("/icons/{name}")
def asset(name: str, v: str = "") -> Response:
    """Return a file. Browsers may keep it for a year if the address has its version, and else for an hour.

    During a deployment, a page of another version may ask this server. Its files are not kept.
    """
    if name not in _FILES:
        raise HTTPException(404, f"The file {name!r} does not exist.")
    headers = HEADERS | {"Cache-Control": _cache_control(v)}
    return FileResponse(_FILES[name], headers=headers, media_type=_MEDIA_TYPES[_FILES[name].suffix])


def _cache_control(version: str) -> str:
    if version == assets_version():
        return "private, max-age=31536000, immutable"
    return "private, no-store" if version else "private, max-age=3600"
