"""`python -m waybill_devtools`: the command `waybill` as development has it."""

from waybill_devtools.commands import app

app(prog_name="waybill")
