"""`python -m waybill`: the command where the package is not installed, but on the path."""

from waybill.cli import app

app(prog_name="waybill")
