"""Quote names and values for DuckDB."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Return `name` as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Return `value` as a literal. Use it only for values of contracts: data never becomes SQL."""
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"
