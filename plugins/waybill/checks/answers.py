"""The task that asks for an approval, and the answers to its question."""

from __future__ import annotations

from typing import Final

PUBLISH: Final = "publish"
"""The id of the task."""
APPROVE: Final = "Approve"
REJECT: Final = "Reject"
