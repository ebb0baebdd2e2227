"""The page of the command line, from Typer."""

from __future__ import annotations

import re
from typing import Any

import typer.main
from typer.cli import get_docs_for_click

from waybill_devtools.commands import app

HELP_OPTION = re.compile(r"(\*\*Options\*\*:\n\n)?\* `--help`: Show this message and exit\.\n\n?")
TRUNCATED_LIST = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n?")


def page() -> str:
    """Return every command with its arguments and options."""
    command = typer.main.get_command(app)
    context: Any = command.make_context("waybill", [], resilient_parsing=True)
    text = get_docs_for_click(obj=command, ctx=context, name="waybill")
    for left_out in (TRUNCATED_LIST, HELP_OPTION):
        text = left_out.sub("", text)
    note = f"These commands are part of development installations only: {', '.join(_of_development())}.\n\n"
    return text.replace("# `waybill`", "# Commands", 1).replace("## ", f"{note}## ", 1)


def _of_development() -> list[str]:
    found = ((one.name or one.callback.__name__, one.callback) for one in app.registered_commands if one.callback)
    return [f"`{name}`" for name, callback in found if callback.__module__.startswith("waybill_devtools")]
