"""The terminal: the application that commands join, where they print, and how they fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
console = Console()
# Progress and errors do not belong in what a script reads.
messages = Console(stderr=True)

P = ParamSpec("P")
R = TypeVar("R")


@app.callback()
def main() -> None:
    """Waybill: audited tables and reports from files in S3."""


def failures_in_words(command: Callable[P, R]) -> Callable[P, R]:
    """A command that ends with a message and exit code 1, not a traceback, when something expected goes wrong."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from botocore.exceptions import EndpointConnectionError
        from psycopg import OperationalError

        from waybill.errors import CommandFailed, DataError

        try:
            return command(*args, **kwargs)
        except (CommandFailed, DataError) as error:
            text = str(error)
        except OperationalError as error:
            text = f"The warehouse does not answer; locally, `make up` starts it: {error}"
        except EndpointConnectionError as error:
            text = f"S3 does not answer; locally, `make up` starts it: {error}"
        messages.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)

    return wrapped
