"""Find the raw files that the lifecycle of the bucket should have removed. The project itself may not delete them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from waybill.contracts import Contract
from waybill.contracts.locations import raw_layout
from waybill.retention.quarantine import start_of
from waybill.retention.removal import DETAILS, MOST, Removal
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GRACE_DAYS: Final = 3
"""How many days later a file is overdue: S3 applies the rules of a lifecycle once a day, and not at once."""


def due_files(s3: S3Client, contract: Contract, kept_from: date) -> Removal:
    """Return the files of a dataset that landed before a day and are still in the bucket.

    At most a million objects are looked at.
    """
    bucket, root = settings().raw_bucket, raw_layout(contract.domain, contract.name, contract.cadence).root
    zone, before = ZoneInfo(settings().timezone), start_of(kept_from)
    overdue = before - timedelta(days=GRACE_DAYS)
    found = Removal(contract.table, "raw", f"s3://{bucket}/{root}", kept_from)
    looked = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root):
        for item in page.get("Contents", []):
            if item["LastModified"] >= before:
                continue
            day = item["LastModified"].astimezone(zone).date()
            found.objects += 1
            found.overdue += item["LastModified"] < overdue
            found.first_day = min(found.first_day or day, day)
            found.last_day = max(found.last_day or day, day)
            if len(found.details) < DETAILS:
                found.details.append(f"s3://{bucket}/{item['Key']}")
        looked += len(page.get("Contents", []))
        if looked >= MOST:
            found.is_cut = True
            break
    return found
