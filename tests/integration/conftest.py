"""Fixtures of the tests that land files and look into the lake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.lake import Lake, lake_in
from support.landing import (
    amend,
    empty_connection,
    landing,
    landing_bucket,
    landing_connection,
    landing_dsn,
    operations_dsn,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = [
    "amend",
    "empty_connection",
    "landing",
    "landing_bucket",
    "landing_connection",
    "landing_dsn",
    "operations_dsn",
]


@pytest.fixture
def lake(bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake of the test's own in a versioned bucket, and the key for pseudonyms."""
    with lake_in(bucket, s3, monkeypatch) as found:
        yield found
