"""Errors that a retry cannot fix."""

from __future__ import annotations


class DataError(Exception):
    """Data, a contract or a setting is wrong. A retry would fail in the same way, so the run fails at once.

    The message names the file or table, the column, the numbers and the next step.
    """


class CommandFailed(Exception):
    """A command cannot continue. The message has the cause and the next step."""
