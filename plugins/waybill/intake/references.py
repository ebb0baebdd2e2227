"""The values that columns with a checked reference may take, for the validation of a file's rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.contracts.values import duckdb_type
from waybill.intake.validate import LINE_FEEDS, csv_source
from waybill.warehouse.schema import relation

_AS_CSV = sql.SQL("copy ({}) to stdout (format csv, force_quote *)")


def reference_values(
    connection: Connection,
    contract: Contract,
    contracts: Mapping[str, Contract],
    known_before: date | None,
    folder: Path,
) -> dict[str, str]:
    """Return for each column with a checked reference a DuckDB relation of the values that it may take.

    These are the values delivered before the day `known_before` (None: all). If the referenced row must be effective on
    a date of the referring row, the relation has all values, each with its first effective day. The relations are
    CSV files in `folder`: as Python or Arrow objects they would cost more than the rest of a small load.
    """
    found = {}
    for column in contract.columns:
        if column.checked_reference is None:
            continue
        dataset, name = column.checked_reference
        target = contracts[dataset]
        types = {"value": duckdb_type(next(one for one in target.columns if one.name == name))}
        parts = {"value": sql.Identifier(name), "table": relation(target)}
        if column.in_force_on:
            types["since"] = "date"
            query = _first_effective_days(target, name)
        else:
            query = sql.SQL("select distinct {value} from {table} where {since} < {until}").format(
                **parts,
                since=sql.Identifier("valid_from" if target.load_mode == "snapshot" else "_delivered"),
                until=sql.Literal(known_before or "infinity"),
            )
        path = folder / f"{column.name}.references"
        with path.open("wb") as file, connection.cursor().copy(_AS_CSV.format(query)) as copy:
            for chunk in copy:
                file.write(chunk)
        found[column.name] = csv_source(path, types, LINE_FEEDS + "allow_quoted_nulls=false, ")
    return found


def effective_since(
    connection: Connection, contract: Contract, contracts: Mapping[str, Contract]
) -> dict[str, dict[Any, date]]:
    """Return the first effective day of each value, for each column whose reference must be effective on a date."""
    found: dict[str, dict[Any, date]] = {}
    for column in contract.columns:
        if column.checked_reference and column.in_force_on:
            dataset, name = column.checked_reference
            found[column.name] = dict(connection.execute(_first_effective_days(contracts[dataset], name)).fetchall())
    return found


def _first_effective_days(target: Contract, name: str) -> sql.Composed:
    """Return the query for the values of a column, each with its first effective day."""
    assert target.period_column
    return sql.SQL("select {name}, min({since}) from {table} group by {name}").format(
        name=sql.Identifier(name), since=sql.Identifier(target.period_column), table=relation(target)
    )
