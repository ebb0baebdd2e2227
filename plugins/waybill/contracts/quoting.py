"""Quote names and values for DuckDB."""

from __future__ import annotations


def identifier(name: str) -> str:
    """`name` quoted for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """`value` as a DuckDB literal; only for text of the contract, data never becomes SQL."""
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"
