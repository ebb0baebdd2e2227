"""Write typed values as texts that their columns accept, so that rejected rows can be replayed from them."""

from __future__ import annotations

from psycopg import sql

from waybill.contracts import Column, Contract

_DATES = {"M/D/YYYY": "FMMM/FMDD/YYYY", "D/M/YYYY": "FMDD/FMMM/YYYY"}


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
    if column.physical_type == "date" and "YYYY-MM-DD" not in column.date_forms:
        form = next((_DATES[form] for form in column.date_forms if form in _DATES), None)
        return sql.SQL("to_char({}, {})").format(value, form) if form else None
    if signs := column.number_format:
        factor, unit = (100, "%") if signs.percent == "fraction" else (1, "")
        return sql.SQL("translate(trim_scale({}::text::numeric * {})::text, '.-', {}) || {}").format(
            value, factor, signs.decimal + signs.minus[0], unit
        )
    return None
