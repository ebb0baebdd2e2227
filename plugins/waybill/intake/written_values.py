"""Write typed values as texts that their columns accept, so that rejected rows can be replayed from them."""

from __future__ import annotations

from typing import Final

from psycopg import sql

from waybill.contracts import Column, Contract
from waybill.contracts.date_patterns import is_iso, most_exact, parts, postgres_pattern


def fields_sql(contract: Contract, alias: str) -> sql.Composed:
    """Return the expression of the JSON text with the fields of a staged row."""
    fields = sql.SQL("to_jsonb({}) - '_record'").format(sql.Identifier(alias))
    written = {column.name: _written(column, sql.Identifier(alias, column.name)) for column in contract.columns}
    pairs = [sql.SQL("{}, {}").format(sql.Literal(name), text) for name, text in written.items() if text]
    if pairs:
        fields = sql.SQL("{} || jsonb_build_object({})").format(fields, sql.SQL(", ").join(pairs))
    return sql.SQL("({})::text").format(fields)


def _written(column: Column, value: sql.Identifier) -> sql.Composed | None:
    """Return the expression of a value's text; None if the column accepts what JSON has for the value."""
    if column.physical_type in ("jsonb", "text[]"):
        return sql.SQL("to_jsonb({})::text").format(value)
    if column.logical_type in ("date", "time", "timestamp"):
        return _date_or_time(column, value)
    if signs := column.number_format:
        factor, unit = (100, "%") if signs.percent == "fraction" else (1, "")
        return sql.SQL("translate(trim_scale({}::text::numeric * {})::text, '.-', {}) || {}").format(
            value, factor, signs.decimal + signs.minus[0], unit
        )
    return None


_EPOCHS: Final = {"epoch_seconds": 1, "epoch_milliseconds": 1000}


def _date_or_time(column: Column, value: sql.Identifier) -> sql.Composed | None:
    form = most_exact(column.date_forms)
    if is_iso(form):
        return None
    if form in _EPOCHS:
        return sql.SQL("trim_scale(extract(epoch from {}) * {})::text").format(value, _EPOCHS[form])
    local: sql.Composable = value
    if column.physical_type == "timestamptz":
        zone = None if "offset" in parts(form) else column.local_zone
        local = sql.SQL("({} at time zone {})").format(value, zone or "UTC")
    if pattern := postgres_pattern(form):
        # PostgreSQL writes a time of day only as part of a timestamp.
        moment = sql.SQL("(date '2000-01-01' + {})" if column.physical_type == "time" else "{}").format(local)
        return sql.SQL("to_char({}, {})").format(moment, pattern)
    serial = sql.SQL(
        "trim_scale(round(extract(epoch from {0} - case when {0} < '1900-03-01' then timestamp '1899-12-31' "
        "else '1899-12-30' end) / 86400, 12))::text"
    )
    return serial.format(local)
