"""Fixtures of the tests that land files and look into the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from support.landing import (
    amend,
    empty_connection,
    landing,
    landing_bucket,
    landing_connection,
    landing_dsn,
    operations_dsn,
)
from waybill.contracts.locations import CATALOG_DATABASE

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
def glue(stack_environment: dict[str, str]) -> Iterator[Any]:
    """A client of a catalog without tables."""
    client: Any = boto3.client("glue")
    yield client
    for table in client.get_tables(DatabaseName=CATALOG_DATABASE)["TableList"]:
        client.delete_table(DatabaseName=CATALOG_DATABASE, Name=table["Name"])
