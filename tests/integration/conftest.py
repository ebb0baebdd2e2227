"""Fixtures of the tests that land files."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("landing_support")

from landing_support import amend, landing, landing_bucket, landing_connection, landing_dsn  # noqa: E402

__all__ = ["amend", "landing", "landing_bucket", "landing_connection", "landing_dsn"]
