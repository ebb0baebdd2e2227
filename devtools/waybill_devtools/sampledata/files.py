"""Sample files, their ground truth, which is recorded while errors are injected, and their upload."""

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
    from mypy_boto3_s3 import S3Client

    from waybill_devtools.sampledata.lines import Spliced

UPLOAD_THREADS = 4
GROUND_TRUTH_PREFIX = "answer_key/"
"""Prefix in the raw bucket. The stored name stays as it is, so that buckets from earlier versions are recognised."""


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
    """The files in loading order, and the ground truth as JSON values; see `SampleBuilder.ground_truth`."""

    domain: str
    files: list[SampleFile]
    ground_truth: dict[str, Any]


@dataclass(frozen=True)
class Uploaded:
    """The numbers of objects that an upload wrote, and that had the same content already."""

    uploaded: int
    unchanged: int


@dataclass
class SampleBuilder:
    """Collects files and the expected result of loading them in order of (period, key)."""

    domain: str
    cadence: Cadence = "month"
    lands_any_time: bool = False
    """Whether the files lie directly under the prefix of their dataset, not in a folder of their period."""
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
        """Add one file with its books. If its name ends in `.gz`, it is compressed without a time stamp."""
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
                "stale": 0,  # files are loaded in order, so none is stale
                "filtered": filtered,
            }
        )

    def story(self, period: str, text: str) -> None:
        """Describe in words what was injected in a period."""
        self.stories.append(f"{period}: {text}")

    def ground_truth(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return what the files hold: `options`, `totals`, `totals_by_dataset`, `files`, `stories` (in words).

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
            "stories": self.stories,
        }


def upload(s3: S3Client, bucket: str, sample: SampleData) -> Uploaded:
    """Upload the files and `answer_key/<domain>.json` unless the bucket has them already.

    An object is unchanged if its ETag is the MD5 of the content. That holds for single-part objects without KMS
    encryption; others are written again with the same content. Retries are configured in the client, whose errors are
    raised.
    """
    bodies = {file.key: file.body for file in sample.files}
    ground_truth = json.dumps(sample.ground_truth, indent=1, sort_keys=True, ensure_ascii=False)
    bodies[f"{GROUND_TRUTH_PREFIX}{sample.domain}.json"] = ground_truth.encode()
    stored: dict[str, str] = {}
    for prefix in sorted({GROUND_TRUTH_PREFIX, *(raw_prefix(sample.domain, file.dataset) for file in sample.files)}):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            stored.update({item["Key"]: item["ETag"].strip('"') for item in page.get("Contents", ())})
    wanted = {
        key: body
        for key, body in bodies.items()
        if stored.get(key) != hashlib.md5(body, usedforsecurity=False).hexdigest()
    }

    def put(keys: list[str]) -> None:
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=wanted[key])

    with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
        list(pool.map(put, _by_folder(wanted)))
    return Uploaded(uploaded=len(wanted), unchanged=len(bodies) - len(wanted))


def _by_folder(keys: Iterable[str]) -> list[list[str]]:
    """Group keys by folder, ordered by name, because the order of landing decides which file of a period counts."""
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0], []).append(key)
    return [sorted(found, key=natural_key) for found in folders.values()]


def _number(value: int | list[Any]) -> int:
    return value if isinstance(value, int) else len(value)
