"""Fixtures of the tests that land files."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("landing_support")

from landing_support import (  # noqa: E402
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
