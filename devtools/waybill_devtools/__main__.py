"""Run the command `waybill` with the commands of development: `python -m waybill_devtools`."""

from waybill_devtools.commands import app

app(prog_name="waybill")
