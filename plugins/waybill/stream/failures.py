"""Describe errors for logs without the details of PostgreSQL, which may quote rows."""

from __future__ import annotations

import traceback
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from psycopg import Error, InterfaceError, OperationalError

from waybill.warehouse.connection import without_values

UNREACHABLE: Final = (OperationalError, InterfaceError, BotoCoreError, ClientError)
"""The errors after which a consumer tries again."""


def told(error: Exception) -> str:
    """Return the type and the first line of an error; with the places in the code if it is not expected."""
    said = str(without_values(error) if isinstance(error, Error) else error)
    text = f"{type(error).__name__}: {next(iter(said.splitlines()), '')}"
    if isinstance(error, UNREACHABLE):
        return text
    return f"{text}\n{''.join(traceback.format_tb(error.__traceback__))}"
