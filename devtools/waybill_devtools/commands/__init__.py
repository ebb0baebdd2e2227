"""The command `waybill` with the commands of development: the embedded stack, sample data and the demos."""

from waybill.cli import app
from waybill_devtools.commands import demo, sampledata, stack, stream

__all__ = ["app", "demo", "sampledata", "stack", "stream"]
