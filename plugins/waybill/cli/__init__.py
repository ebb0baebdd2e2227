"""The command `waybill`."""

from waybill.cli import dashboard, data, demo, stack
from waybill.cli.terminal import app

__all__ = ["app", "dashboard", "data", "demo", "stack"]
