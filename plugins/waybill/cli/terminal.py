"""The Typer application, its consoles and its error handling."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
console = Console()
# Progress and errors go to standard error, so that scripts can read standard output.
messages = Console(stderr=True)

P = ParamSpec("P")
R = TypeVar("R")


@app.callback()
def main() -> None:
    """Waybill: audited tables and reports from files in S3."""


def print_line(text: str, style: str | None = None) -> None:
    """Print text on standard output as it is: no markup, no highlighting, lines of any width."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def print_message(text: str, style: str | None = None) -> None:
    """Print text on standard error as it is: no markup, no highlighting, lines of any width."""
    messages.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def operating_system_user() -> str:
    """Return the name of the account that runs the command. Variables such as `USER` do not change it."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers may run as a number without a name
        return f"uid {os.getuid()}"


def report_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the expected errors of a command into a message and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from botocore.exceptions import EndpointConnectionError
        from psycopg import OperationalError

        from waybill.errors import CommandFailed, DataError
        from waybill.warehouse.connection import quote_no_rows

        try:
            with quote_no_rows():
                return command(*args, **kwargs)
        except (CommandFailed, DataError) as error:
            text = str(error)
        except OperationalError as error:
            text = f"The warehouse does not answer. On the embedded stack, run `make up`. Cause: {error}"
        except EndpointConnectionError as error:
            text = f"S3 does not answer. On the embedded stack, run `make up`. Cause: {error}"
        print_message(text, "red")
        raise typer.Exit(1)

    return wrapped
