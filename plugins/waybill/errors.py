"""The one error that a retry cannot mend."""

from __future__ import annotations


class DataError(Exception):
    """What arrived is wrong: a retry meets the same file again, so the run fails at once.

    The message names the file or table, the column and the numbers, and says what to do next.
    """


class CommandFailed(Exception):
    """A command cannot go on. The message says why, and what to do next."""
