"""List the objects of a dataset: which are data, and of which periods."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from waybill.contracts import Contract, locations
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake import object_keys
from waybill.period import Period
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def in_order(contract: Contract, files: Iterable[LandedFile]) -> list[LandedFile]:
    """Return the files in the order in which they apply: by period, landing and name, or by period and name."""
    by_name = contract.file_order == "name"
    return sorted(files, key=lambda file: (file.period.key, *(() if by_name else (file.landed_at,)), file.name_key))


_PAGE: Final = 1000
"""Number of objects in a page, as in a listing of S3."""


_MANY_FOLDERS: Final = 100
"""With more folders that name no period, listing all objects needs fewer requests than listing each folder."""


@dataclass(frozen=True)
class Misplaced:
    """An object whose folders do not name a period of its dataset. It is not loaded."""

    file: LandedFile
    """The object; its period is the one in which it landed."""
    error: DataError
    """The problem, the expected layout and the next step."""

    @property
    def message(self) -> str:
        """Return the text of the error."""
        return str(self.error)


@dataclass(frozen=True)
class Listing:
    """Objects of a dataset: one page of a listing of the bucket."""

    landed: list[LandedFile]
    """Files of the requested periods in the order of their keys."""
    misplaced: list[Misplaced]
    """Misplaced objects in the order of their keys, for any requested periods."""
    ignored: dict[str, str]
    """For the key of each ignored object, the reason."""


def list_pages(
    s3: S3Client, bucket: str, contract: Contract, first: Period | None, last: Period | None
) -> Iterator[Listing]:
    """Yield the objects of a dataset page by page, each with its files of the periods `first` to `last` (None: any).

    The module `object_keys` decides what is data and the period of each object.
    """
    prefix = locations.raw_prefix(contract.domain, contract.name)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield _listing(bucket, contract, page.get("Contents", []), first, last)


def list_within(s3: S3Client, bucket: str, contract: Contract, first: Period, last: Period) -> Iterator[Listing]:
    """Yield the objects of a dataset in the folders of the periods `first` to `last`, and those in no period's folder.

    Folders are listed first: the number of requests grows with them, and not with the objects of other periods.
    """
    layout = locations.raw_layout(contract.domain, contract.name, contract.cadence)
    paginator = s3.get_paginator("list_objects_v2")
    parents, others = [layout.root], list[str]()
    for parent in parents:
        for page in paginator.paginate(Bucket=bucket, Prefix=parent, Delimiter="/"):
            yield _listing(bucket, contract, page.get("Contents", []), None, None)
            for found in page.get("CommonPrefixes", []):
                folders = found["Prefix"].removeprefix(layout.root).split("/")[:-1]
                if not layout.begins_period(folders):
                    others.append(found["Prefix"])
                elif len(folders) < len(layout.folders):
                    parents.append(found["Prefix"])
    if len(others) > _MANY_FOLDERS:
        prefixes = [layout.root]
    else:
        # Begin with the folder before: some stores leave out the folder that StartAfter names.
        before, *wanted = (layout.prefix(period.start) for period in first.shift(-1).until(last))
        prefixes, elsewhere = others, (before, *others)
        start, end = min(before, *wanted), max(wanted)
        for page in paginator.paginate(Bucket=bucket, Prefix=layout.root, StartAfter=start):
            items = page.get("Contents", [])
            inside = [item for item in items if not item["Key"].startswith(elsewhere)]
            yield _listing(bucket, contract, _below(parents, inside), None, None)
            if items and items[-1]["Key"].encode() > end.encode() and not items[-1]["Key"].startswith(end):
                break
    for prefix in prefixes:
        for page in paginator.paginate(Bucket=bucket, Prefix=prefix):
            yield _listing(bucket, contract, _below(parents, page.get("Contents", [])), None, None)


def _below(parents: Collection[str], items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the entries of a listing that are not directly in one of the folders."""
    return [item for item in items if item["Key"][: item["Key"].rfind("/") + 1] not in parents]


def list_likely(
    s3: S3Client, bucket: str, contract: Contract, folders: tuple[str, ...], after: str | None
) -> Iterator[Listing]:
    """Yield the objects of a dataset in some folders, and those whose keys follow the key `after`, each once."""
    paginator = s3.get_paginator("list_objects_v2")
    for folder in folders:
        for page in paginator.paginate(Bucket=bucket, Prefix=folder):
            yield _listing(bucket, contract, page.get("Contents", []), None, None)
    if after is not None:
        prefix = locations.raw_prefix(contract.domain, contract.name)
        for page in paginator.paginate(Bucket=bucket, Prefix=prefix, StartAfter=after):
            items = [item for item in page.get("Contents", []) if not item["Key"].startswith(folders)]
            yield _listing(bucket, contract, items, None, None)


def look_at(s3: S3Client, bucket: str, contract: Contract, keys: Iterable[str]) -> Iterator[Listing]:
    """Yield those of the named objects that are in the bucket and below the prefix of the dataset, in pages."""
    from botocore.exceptions import ClientError

    prefix = locations.raw_prefix(contract.domain, contract.name)
    below = sorted(key for key in keys if key.startswith(prefix))
    for first in range(0, len(below), _PAGE):
        items = []
        for key in below[first : first + _PAGE]:
            try:
                found = s3.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    continue
                raise
            items.append({**found, "Key": key, "Size": found["ContentLength"]})
        yield _listing(bucket, contract, items, None, None)


def _listing(
    bucket: str, contract: Contract, items: Iterable[Mapping[str, Any]], first: Period | None, last: Period | None
) -> Listing:
    """Return the objects of one page of an S3 listing."""
    landed, misplaced, others = [], [], {}
    for item in items:
        key, landed_at = item["Key"], item["LastModified"].astimezone(UTC)
        if rule := object_keys.ignore_reason(contract, key):
            others[key] = rule
            continue
        etag, size = item["ETag"].strip('"'), item["Size"]
        try:
            period = object_keys.period_of(contract, bucket, key, landed_at)
        except DataError as error:
            landing_day = landed_at.astimezone(ZoneInfo(settings().timezone)).date()
            file = LandedFile(bucket, key, etag, size, Period.of(contract.cadence, landing_day), landed_at)
            misplaced.append(Misplaced(file, error))
            continue
        if (first is None or first <= period) and (last is None or period <= last):
            landed.append(LandedFile(bucket, key, etag, size, period, landed_at))
    return Listing(landed, misplaced, others)


def list_landed(
    s3: S3Client, bucket: str, contract: Contract, first: Period | None, last: Period | None
) -> list[LandedFile]:
    """Return the files of a dataset and of the periods `first` to `last` (None: any) in the order they apply."""
    pages = list_pages(s3, bucket, contract, first, last)
    return in_order(contract, (file for page in pages for file in page.landed))


def has_landed(s3: S3Client, bucket: str, contract: Contract, period: Period) -> bool:
    """Return whether the dataset has a file of the period."""
    prefix = locations.raw_prefix(contract.domain, contract.name, period)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return any(is_file_of(item, bucket, contract, period) for page in pages for item in page.get("Contents", []))


def is_file_of(item: Mapping[str, Any], bucket: str, contract: Contract, period: Period) -> bool:
    """Return whether an entry of an S3 listing is a file of a dataset and period."""
    key = item["Key"]
    if object_keys.ignore_reason(contract, key):
        return False
    with contextlib.suppress(DataError):
        return object_keys.period_of(contract, bucket, key, item["LastModified"]) == period
    return False


def with_first_landing(
    s3: S3Client, contract: Contract, todo: list[LandedFile], landed: Counter[Period] | None
) -> list[LandedFile]:
    """Return the files to load in the order they apply, each with the first landing of its content.

    A repeated upload of the same content does not correct files that landed in between. In a bucket without versions
    only the last upload is known. Versions are listed only for files of periods with several files; `landed` has the
    number of files of each period (None: not known).
    """
    if contract.file_order == "name":
        return todo
    return in_order(
        contract,
        (
            replace(file, landed_at=_first_landing(s3, file)) if landed is None or landed[file.period] > 1 else file
            for file in todo
        ),
    )


def _first_landing(s3: S3Client, file: LandedFile) -> datetime:
    """Return the landing of the oldest of the latest versions that have the file's ETag."""
    landed_at = file.landed_at
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=file.bucket, Prefix=file.key):
        for version in page.get("Versions", []):  # by key, the newest version first
            if version["Key"] != file.key or version["ETag"].strip('"') != file.etag:
                return landed_at
            landed_at = version["LastModified"].astimezone(UTC)
    return landed_at
