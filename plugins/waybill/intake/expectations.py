"""What the contract requires of the values that a rejected row breaks it with."""

from __future__ import annotations

from typing import Final

from waybill.contracts import Column, Contract
from waybill.formatting import count
from waybill.settings import settings

_TYPES: Final = {
    "double precision": "a finite number with at most the digits of a double precision",
    "jsonb": "a JSON object or array without repeated names",
    "real": "a finite number with at most the digits of a real",
    "text[]": "a JSON array of texts",
    "time": "a time like 08:30:00",
    "timestamp": "a date and time like 2026-03-31T12:00:00, without an offset",
}
"""The form of values whose type has more than one rule."""


def expected_form(contract: Contract, reason: str) -> str:
    """Return what a row rule, or the form of a value, requires; "" for other reasons."""
    kind, _, name = reason.partition(":")
    if kind == "rule":
        return next((rule.expression for rule in contract.row_rules if rule.name == name), "")
    if kind == "type":
        column = next((column for column in contract.columns if column.name == name), None)
        if column and column.number_format:
            return f"a number like {column.number_format.example}"
        if column and (column.physical_type == "date" or column.date_forms != Column.date_forms):
            return " or ".join(column.date_forms)
        if column and column.list_separator:
            return f"texts separated by {column.list_separator!r}, or a JSON array of texts"
        return _TYPES.get(column.physical_type, "") if column else ""
    return ""


def columns_of(contract: Contract, reason: str) -> list[str]:
    """Return the columns that the rule of a reason reads."""
    kind, _, name = reason.partition(":")
    if kind == "rule":
        words = next((rule.words for rule in contract.row_rules if rule.name == name), set())
        return [column.name for column in contract.delivered_columns if column.name in words]
    if kind == "in_force":
        dates = [column.in_force_on for column in contract.columns if column.name == name and column.in_force_on]
        return [name, *dates]
    if name in contract.names:
        return [name]
    if kind in ("after_arrival", "after_period", "too_late") and contract.period_column:
        return [contract.period_column]
    return contract.row_key


_LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}
_LENGTHS: Final = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
_OF_COLUMNS: Final = {
    "control": "a text without control characters",
    "date_order": "a date with day and month in the same order as in the other rows",
    "doubled_hour": "a local time that occurs once",
    "enum": "an allowed value",
    "in_force": "a value whose row is effective on the date",
    "pattern": "a text that matches the pattern",
    "placeholder": "a value instead of a word such as NULL",
    "reference": "a value of the dataset that it refers to",
    "required": "a value",
    "skipped_hour": "a local time that exists",
    "unique": "a value that occurs once",
}
_OF_ROWS: Final = {
    "after_period": "a day of the file's period, or an earlier one",
    "conflict": "one row for each key",
}
RECORD: Final = "a record that can be split into fields"
"""What is required of a record that has no fields."""
_LISTED: Final = 8


def expectation(contract: Contract, reason: str) -> str:
    """Return what the contract requires where a reason says that it is broken, like `at least 0`."""
    kind, _, name = reason.partition(":")
    column = next((column for column in contract.columns if column.name == name), None)
    if kind == "too_late":
        return f"a day at most {count(contract.lookback_periods or 0, contract.cadence)} before the file's period"
    if kind == "after_arrival":
        return f"an instant at most {settings().stream_ahead_seconds:g} seconds after the arrival of the event"
    if kind == "rule":
        return expected_form(contract, reason) or "as the row rule of an earlier contract says"
    if column is None:
        return _OF_ROWS.get(kind, RECORD if not name else "as an earlier contract says")
    return _of_value(contract, column, kind) or _OF_COLUMNS.get(kind, "as the contract says")


def _of_value(contract: Contract, column: Column, kind: str) -> str:
    """Return what rules with values of their own require of a column; "" for other rules."""
    if kind == "type":
        return expected_form(contract, f"type:{column.name}") or f"a value of type {column.physical_type}"
    if kind in ("range", "length"):
        forms = _LIMITS if kind == "range" else _LENGTHS
        limits = [form.format(column.options[name]) for name, form in forms.items() if name in column.options]
        return " and ".join(limits) or "a plausible date"
    if kind == "pattern":
        return f"a text that matches {column.options['pattern']}" if "pattern" in column.options else ""
    if kind == "enum" and column.enum:
        listed = ", ".join(map(str, column.enum[:_LISTED]))
        return f"one of {listed}" + (" and others" if len(column.enum) > _LISTED else "")
    if kind in ("reference", "in_force") and column.reference:
        target = ".".join(column.reference)
        return f"a value of {target}" + (f" that is effective on {column.in_force_on}" if column.in_force_on else "")
    return ""
