"""The command `waybill` as development has it: the commands of production, and those of the stack and the demo."""

from waybill.cli import app
from waybill_devtools.commands import demo, sampledata, stack

__all__ = ["app", "demo", "sampledata", "stack"]
