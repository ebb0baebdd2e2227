"""The command `waybill`."""

from waybill.cli import data, demo, stack
from waybill.cli.terminal import app

__all__ = ["app", "data", "demo", "stack"]
