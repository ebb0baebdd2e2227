"""The page of the command line, from Typer."""

from __future__ import annotations

import re
from typing import Any

import typer.main
from typer.cli import get_docs_for_click

from waybill_devtools.commands import app

TRUNCATED_LIST = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n?")


def page() -> str:
    """Return every command with its arguments and options."""
    command = typer.main.get_command(app)
    context: Any = command.make_context("waybill", [], resilient_parsing=True)
    text = get_docs_for_click(obj=command, ctx=context, name="waybill")
    return TRUNCATED_LIST.sub("", text).replace("# `waybill`", "# Commands", 1)
