"""Read the keys of objects from event notifications of S3."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote_plus


def named_keys(bodies: Iterable[str], bucket: str) -> frozenset[str] | None:
    """Return the keys of a bucket's objects that notifications name, or None if one of them cannot be read.

    Notifications come from S3 or EventBridge, directly or through SNS. Keys of other buckets are left out.
    """
    try:
        return frozenset(key for body in bodies for at, key in _objects(json.loads(body)) if at == bucket)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _objects(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (bucket, key) of each object of a message. Raises errors of look-ups for another kind of message."""
    if message.get("Type") == "Notification":
        yield from _objects(json.loads(message["Message"]))
    elif "detail" in message:
        yield _text(message["detail"]["bucket"]["name"]), _text(message["detail"]["object"]["key"])
    else:
        for record in message["Records"]:
            key = unquote_plus(_text(record["s3"]["object"]["key"]), errors="strict")
            yield _text(record["s3"]["bucket"]["name"]), key


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
