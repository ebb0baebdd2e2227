"""Check the rows of a derived table against the value rules of its contract: they come from no validated file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.contracts.contract import FLOATS
from waybill.warehouse.connection import one_row
from waybill.warehouse.schema import relation

_BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "{} >= {}",
    "exclusiveMinimum": "{} > {}",
    "maximum": "{} <= {}",
    "exclusiveMaximum": "{} < {}",
}
_LENGTHS: Final[Mapping[str, str]] = {
    "minLength": "char_length({}) >= {}",
    "maxLength": "char_length({}) <= {}",
    "minItems": "cardinality({}) >= {}",
    "maxItems": "cardinality({}) <= {}",
}


def _rules(column: Column) -> Iterator[tuple[str, sql.Composed]]:
    """Yield each rule of a column as (reason, condition that valid values meet), with the reasons used for files."""
    name = sql.Identifier(column.name)
    if column.physical_type in FLOATS:
        yield f"type:{column.name}", sql.SQL("{} not in ('NaN', 'Infinity', '-Infinity')").format(name)
    for reason, templates in (("range", _BOUNDS), ("length", _LENGTHS)):
        conditions = [
            sql.SQL(template).format(name, sql.Literal(column.options[option]))
            for option, template in templates.items()
            if option in column.options
        ]
        if conditions:
            yield f"{reason}:{column.name}", sql.SQL(" and ").join(conditions)
    if "pattern" in column.options:
        whole = f"^(?:{column.options['pattern']})$"
        yield f"pattern:{column.name}", sql.SQL("{} ~ {}").format(name, sql.Literal(whole))
    if column.enum:
        values = sql.SQL(", ").join(map(sql.Literal, column.enum))
        yield f"enum:{column.name}", sql.SQL("{} in ({})").format(name, values)


def broken_rules(connection: Connection, contract: Contract, rows: sql.Composable) -> dict[str, int]:
    """Return the number of rows that break each rule of a derived table, among the rows that meet the condition `rows`.

    NULL values break no rule.
    """
    rules = [rule for column in contract.columns for rule in _rules(column)]
    if not rules:
        return {}
    counts = sql.SQL(", ").join(sql.SQL("count(*) filter (where not ({}))").format(holds) for _, holds in rules)
    found = one_row(connection, sql.SQL("select {} from {} where {}").format(counts, relation(contract), rows))
    return {reason: count for (reason, _), count in zip(rules, found, strict=True) if count}
