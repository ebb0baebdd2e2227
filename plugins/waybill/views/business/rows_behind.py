"""The rows behind a number: from a row of a report to the rows of the datasets that it rests on, and to their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waybill.contracts import Contract
from waybill.contracts.classification import RESTRICTED
from waybill.contracts.display import cell
from waybill.contracts.domains import is_on_spark
from waybill.ops.provenance import trace
from waybill.outputs.masking import masked_columns, masked_select, use_key
from waybill.period import Period
from waybill.views import catalog
from waybill.warehouse.schema import relation

LISTED = 50
"""How many rows of a dataset the page shows."""


@dataclass(frozen=True)
class SourceRow:
    """A row of a dataset, and where it came from."""

    cells: list[str]
    object_key: str
    record: int


@dataclass(frozen=True)
class Behind:
    """The rows of one dataset."""

    table: str
    matched: list[str]
    """The columns of the report by which they were found; empty for any rows of the report's files."""
    headings: list[str]
    rows: list[SourceRow]
    has_more: bool


def key_columns(contract: Contract) -> list[str]:
    """Return the columns that tell the rows of a period of a report apart, without restricted ones."""
    restricted = {column.name for column in contract.columns if column.classification == RESTRICTED}
    return [name for name in contract.key[1:] if name != "cadence" and name not in restricted]


def rows_behind(connection: Connection, contract: Contract, period: Period, values: Mapping[str, str]) -> list[Behind]:
    """Return the rows of each dataset in the files of a report that belong to the row with these key values.

    A dataset without the columns is searched through the datasets that it refers to. Restricted columns hold
    pseudonyms. Raises `DataError` if the report was not built for the period.
    """
    files = {file["file_id"]: file for file in trace(connection, contract.table, period).files}
    known = {name: values[name] for name in key_columns(contract) if name in values}
    return [
        _of_dataset(connection, catalog.contracts()[table], files, known)
        for table in sorted({file["dataset"] for file in files.values()})
        if table in catalog.contracts() and not is_on_spark(catalog.contracts()[table].domain)  # rows in the lake
    ]


def _of_dataset(
    connection: Connection, dataset: Contract, files: Mapping[int, Mapping[str, object]], known: Mapping[str, str]
) -> Behind:
    conditions, matched = _conditions(dataset, known)
    own = [file_id for file_id, file in files.items() if file["dataset"] == dataset.table]
    use_key(connection, dataset)
    query = sql.SQL(
        "select {columns}, _file_id, _record from {table} as d where {conditions} "
        "order by _file_id desc, _record limit {limit}"
    ).format(
        columns=masked_select(dataset),
        table=relation(dataset),
        conditions=sql.SQL(" and ").join([sql.SQL("_file_id = any({})").format(sql.Literal(own)), *conditions]),
        limit=sql.Literal(LISTED + 1),
    )
    found = connection.cursor(row_factory=dict_row).execute(query).fetchall()
    columns = masked_columns(dataset)
    rows = [
        SourceRow(
            [cell(column, row[column.name]) for column in columns],
            str(files[row["_file_id"]]["object_key"]),
            row["_record"],
        )
        for row in found[:LISTED]
    ]
    headings = [catalog.column_heading(column) for column in columns]
    return Behind(dataset.table, matched, headings, rows, len(found) > LISTED)


def _conditions(dataset: Contract, known: Mapping[str, str]) -> tuple[list[sql.Composable], list[str]]:
    """Return the conditions for the rows with the known values, and the columns by which they search."""
    conditions: list[sql.Composable] = [_equals(name, value) for name, value in known.items() if name in dataset.names]
    matched = [name for name in known if name in dataset.names]
    for column in dataset.columns:
        if column.reference is None:
            continue
        referenced = catalog.contracts()[f"{dataset.domain}.{column.reference[0]}"]
        further = [name for name in known if name in referenced.names and name not in matched]
        if further:
            conditions.append(
                sql.SQL("{} in (select {} from {} as r where {})").format(
                    sql.Identifier(column.name),
                    sql.Identifier(column.reference[1]),
                    relation(referenced),
                    sql.SQL(" and ").join(_equals(name, known[name]) for name in further),
                )
            )
            matched += further
    return conditions, matched


def _equals(name: str, value: str) -> sql.Composable:
    return sql.SQL("{}::text = {}").format(sql.Identifier(name), sql.Literal(value))
