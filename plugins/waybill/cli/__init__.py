"""The command `waybill`."""

from waybill.cli import contracts, dashboard, data
from waybill.cli.terminal import app

__all__ = ["app", "contracts", "dashboard", "data"]
