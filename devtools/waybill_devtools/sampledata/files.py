"""Sample files, the answer key that grows while they are planted, and their upload."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from waybill.contracts.locations import raw_prefix
from waybill.intake.ledger import COUNTS
from waybill.period import Cadence, Period
from waybill.warehouse.file_order import natural_key

if TYPE_CHECKING:
    from waybill_devtools.sampledata.lines import Spliced

UPLOAD_THREADS = 4
ANSWER_KEYS = "answer_key/"
"""Prefix of the answer keys, beside the raw zone in its bucket."""


@dataclass(frozen=True)
class SampleFile:
    """One file as it lands in the raw bucket.

    `period` is YYYY-MM or YYYY-MM-DD. `body` is gzipped when the key says so.
    """

    dataset: str
    period: str
    key: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class SampleData:
    """The files in loading order, and the answer key: plain JSON values, see `Planting.answer_key`."""

    domain: str
    files: list[SampleFile]
    answer_key: dict[str, Any]


@dataclass(frozen=True)
class Uploaded:
    """How many objects an upload wrote and how many were there already with the same content."""

    uploaded: int
    unchanged: int


@dataclass
class Planting:
    """Collects files and what loading them in order of (period, key) must give, while they are made."""

    domain: str
    cadence: Cadence = "month"
    lands_any_time: bool = False
    """Whether the files lie where their dataset lands, not in a folder of their period."""
    files: list[SampleFile] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)

    def add(
        self,
        dataset: str,
        period: str,
        name: str,
        spliced: Spliced,
        *,
        inserted: int,
        updated: int,
        unchanged: int,
        filtered: int = 0,
    ) -> None:
        """Add one file with its books; a name that ends in `.gz` is compressed, without a time stamp."""
        of_period = None if self.lands_any_time else Period.parse(self.cadence, period)
        key = raw_prefix(self.domain, dataset, of_period) + name
        body = gzip.compress(spliced.body, mtime=0) if name.endswith(".gz") else spliced.body
        self.files.append(SampleFile(dataset, period, key, body))
        self.entries.append(
            {
                "dataset": dataset,
                "period": period,
                "key": key,
                "rows_in": spliced.rows_in,
                "inserted": inserted,
                "updated": updated,
                "unchanged": unchanged,
                "rejected": spliced.rejected,
                "duplicate": spliced.duplicate,
                "stale": 0,  # loaded in order, no file comes after a newer one
                "filtered": filtered,
            }
        )

    def story(self, period: str, text: str) -> None:
        """Say in words what was planted in a period."""
        self.stories.append(f"{period}: {text}")

    def answer_key(self, options: dict[str, Any]) -> dict[str, Any]:
        """Say what is in the files: `options`, `totals`, `totals_by_dataset`, `files`, `planted` (in words).

        In `files`, `rejected` lists the records (1-based, header not counted) with all their reasons; in the
        totals it is their number. The counts hold when files are loaded in order of (period, key).
        """
        totals: Counter[str] = Counter()
        datasets: dict[str, Counter[str]] = {}
        for entry in self.entries:
            counts = Counter({name: _number(entry[name]) for name in COUNTS})
            totals.update(counts)
            datasets.setdefault(entry["dataset"], Counter()).update(counts)
        return {
            "options": options,
            "totals": dict(totals),
            "totals_by_dataset": {name: dict(counts) for name, counts in datasets.items()},
            "files": self.entries,
            "planted": self.stories,
        }


def upload(s3_client: Any, bucket: str, sample: SampleData) -> Uploaded:
    """Put the files and `answer_key/<domain>.json` into the bucket; leave alone what is there already.

    An object counts as there when its ETag is the MD5 of the content (true for single-part, not KMS-encrypted
    objects; others are written again, which changes nothing but their time stamp). Retries are the client's:
    give it a botocore `Config(retries=...)`. Raises the client's errors.
    """
    bodies = {file.key: file.body for file in sample.files}
    answer_key = json.dumps(sample.answer_key, indent=1, sort_keys=True, ensure_ascii=False)
    bodies[f"{ANSWER_KEYS}{sample.domain}.json"] = answer_key.encode()
    there: dict[str, str] = {}
    for prefix in sorted({ANSWER_KEYS, *(raw_prefix(sample.domain, file.dataset) for file in sample.files)}):
        for page in s3_client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            there.update({item["Key"]: item["ETag"].strip('"') for item in page.get("Contents", ())})
    wanted = {
        key: body
        for key, body in bodies.items()
        if there.get(key) != hashlib.md5(body, usedforsecurity=False).hexdigest()
    }

    def put(keys: list[str]) -> None:
        for key in keys:
            s3_client.put_object(Bucket=bucket, Key=key, Body=wanted[key])

    with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
        list(pool.map(put, _by_folder(wanted)))
    return Uploaded(uploaded=len(wanted), unchanged=len(bodies) - len(wanted))


def _by_folder(keys: Iterable[str]) -> list[list[str]]:
    """The keys of each folder in order of name, since files of a period count in the order in which they land."""
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0], []).append(key)
    return [sorted(found, key=natural_key) for found in folders.values()]


def _number(value: int | list[Any]) -> int:
    return value if isinstance(value, int) else len(value)
