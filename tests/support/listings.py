"""An S3 client that lists objects in pages of any size and looks at single ones, and fails for everything else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError


class PagedBucket:
    """A bucket of (ETag, landing) by key. Lists in the order of keys, or in an arbitrary but repeatable one."""

    name: Final = "listed"

    def __init__(self, page_size: int, *, is_sorted: bool = True) -> None:
        self.objects: dict[str, tuple[str, datetime]] = {}
        self._page_size, self._is_sorted = page_size, is_sorted
        self.pages = 0
        """The number of pages that were listed."""

    @property
    def client(self) -> Any:
        """Return the bucket as a client of boto3."""
        return self

    def get_paginator(self, operation: str) -> PagedBucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(
        self,
        *,
        Bucket: str,  # noqa: N803  # boto3's names
        Prefix: str,  # noqa: N803
        StartAfter: str = "",  # noqa: N803
        Delimiter: str = "",  # noqa: N803
    ) -> Iterator[dict[str, Any]]:
        for page in self._pages(Bucket, Prefix, StartAfter, Delimiter):
            self.pages += 1
            yield page

    def _pages(self, bucket: str, prefix: str, start_after: str, delimiter: str) -> Iterator[dict[str, Any]]:
        assert bucket == self.name
        if delimiter:
            below = {key: key[len(prefix) :].partition(delimiter) for key in self.objects if key.startswith(prefix)}
            found = {key if not cut else prefix + name + cut for key, (name, cut, _) in below.items()}
            entries = sorted(found, key=str.encode)
            for first in range(0, len(entries), self._page_size):
                some = entries[first : first + self._page_size]
                folders = [
                    one for one in some if one not in self.objects or (one != prefix and one.endswith(delimiter))
                ]
                yield {
                    "Contents": [self._item(one) for one in some if one not in folders],
                    "CommonPrefixes": [{"Prefix": one} for one in folders],
                }
            return
        keys = sorted((key for key in self.objects if key.startswith(prefix)), key=str.encode)
        keys = [key for key in keys if key.encode() > start_after.encode()]
        if not self._is_sorted:
            random.Random(len(keys)).shuffle(keys)
        if not keys:
            yield {"KeyCount": 0}
        for first in range(0, len(keys), self._page_size):
            yield {"Contents": [self._item(key) for key in keys[first : first + self._page_size]]}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803  # boto3's names
        assert Bucket == self.name
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        item = self._item(Key)
        return {"ETag": item["ETag"], "ContentLength": item["Size"], "LastModified": item["LastModified"]}

    def _item(self, key: str) -> dict[str, Any]:
        etag, landed_at = self.objects[key]
        return {"Key": key, "ETag": f'"{etag}"', "Size": 1, "LastModified": landed_at}
