"""The command `waybill` with the commands of development: the embedded stack, sample data and the demo."""

from waybill.cli import app
from waybill_devtools.commands import demo, sampledata, stack

__all__ = ["app", "demo", "sampledata", "stack"]
