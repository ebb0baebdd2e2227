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
    """A client of an empty catalog."""
    client: Any = boto3.client("glue")
    yield client
    for database in client.get_databases()["DatabaseList"]:
        client.delete_database(Name=database["Name"])
