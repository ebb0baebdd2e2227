"""The command `waybill`."""

from waybill.cli import contracts, files, operations, quarantine, reconciliation
from waybill.cli.terminal import app

__all__ = ["app", "contracts", "files", "operations", "quarantine", "reconciliation"]
