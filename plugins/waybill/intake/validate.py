"""Read the rows of a file with DuckDB, type them and validate them against a contract, in batches of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.contracts import Column, Contract, ContractError
from waybill.contracts.file_format import PLAIN, Dialect
from waybill.contracts.quoting import identifier, literal
from waybill.contracts.validation import FORGOTTEN_KEY, compile_query, forgotten_table, reference_table
from waybill.contracts.values import duckdb_type
from waybill.errors import DataError
from waybill.intake.date_order import ambiguous_columns, date_order_error
from waybill.period import Period
from waybill.settings import PREFIX, settings
from waybill.warehouse.pseudonyms import padded_keys

if TYPE_CHECKING:
    import pyarrow as pa

    from waybill.intake.row_source import RowSource
    from waybill.warehouse.forgotten import Forgotten

BATCH_ROWS = 32_768
_QUOTED = re.compile("""["'].*["']""", re.DOTALL)
_LINE_BYTES = 8 * 2**20
LINE_FEEDS = "new_line='\\n', "
"""For CSV files that Waybill writes. By default DuckDB takes the first line end in a file as its row separator, even
one within a quoted field."""


class FastReaderFailed(Exception):
    """DuckDB cannot read the file as it arrived. Reparse the file record by record."""


@dataclass(frozen=True)
class Reject:
    """A row that does not meet the contract."""

    record: int
    """Number of the record within the file, from 1, without the header."""
    reasons: list[str]
    raw: str
    """The fields as a JSON object, or the record's text as a JSON string if the record has no fields."""


def open_duckdb(folder: Path) -> Any:
    """Return a DuckDB connection that has bounded memory and keeps the order of rows."""
    import duckdb

    connection = duckdb.connect(
        config={
            "threads": 1,  # PostgreSQL uses the other core
            "memory_limit": settings().duckdb_memory_limit,
            "temp_directory": str(folder / "duckdb"),
            "preserve_insertion_order": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    connection.execute("set TimeZone = 'UTC'")  # an instant without an offset is in UTC
    return connection


def csv_source(path: Path, columns: Mapping[str, str], options: str = "", dialect: Dialect = PLAIN) -> str:
    """Return the DuckDB relation of a CSV file without a header; `columns` gives the type of each column."""
    delimiter, quote, escape = (literal(text) for text in (dialect.delimiter, dialect.quote, dialect.escape))
    declared = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
    return (
        f"read_csv({literal(path)}, header=false, auto_detect=false, delim={delimiter}, quote={quote}, "
        f"escape={escape}, columns={{{declared}}}, strict_mode=true, parallel=false, {options}"
        f"max_line_size={_LINE_BYTES}, buffer_size={_LINE_BYTES * 2})"
    )


def _keep_references(column: Column, values: str) -> str:
    """Return the statement that stores the allowed values of a referring column in a table."""
    # A view of Arrow data would make DuckDB import pyarrow.dataset, which imports pandas.
    return f"create temp table {identifier(reference_table(column))} as from {values}"


def _keep_people(connection: Any, forgotten: Forgotten) -> None:
    """Create the tables of forgotten people, and of the key by which their ids are recognised."""
    connection.execute(_create(FORGOTTEN_KEY, "inside blob, outside blob"))
    connection.execute(_insert(FORGOTTEN_KEY, "?, ?"), [*padded_keys(forgotten.key)])
    for kind, people in forgotten.known.items():
        table = forgotten_table(kind)
        connection.execute(_create(table, "person varchar, number integer, tombstone varchar"))
        numbers, tombstones = [one.number for one in people.values()], [one.tombstone for one in people.values()]
        connection.execute(_insert(table, "unnest(?), unnest(?), unnest(?)"), [[*people], numbers, tombstones])


def _create(table: str, columns: str) -> str:
    return f"create or replace temp table {identifier(table)} ({columns})"


def _insert(table: str, values: str) -> str:
    return f"insert into {identifier(table)} select {values}"


def validate_rows(
    connection: Any,
    source: RowSource,
    contract: Contract,
    references: Mapping[str, str],
    forgotten: Forgotten | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield batches of typed rows with `_record`, `_hash` and, for rows that break a rule, `_reasons` and `_raw`.

    `references` gives, for each referring column, the DuckDB relation of its allowed values (and their first days).
    The values of `forgotten` people are replaced before rules are checked; `_forgotten` has the fields of their rows.
    Raises `RejectedFileError` if dates of a whole file disagree on the order of day and month, `FastReaderFailed` if
    DuckDB cannot parse the file or a row may be a repeated header, and `ContractError` if DuckDB cannot compile a rule.
    Raises `DataError` if DuckDB cannot read rows that Waybill wrote, for example because it lacks memory.
    """
    import duckdb

    for column in contract.columns:
        if column.checked_reference:
            connection.execute(_keep_references(column, references[column.name]))
    raw_columns = [
        f"_raw_{column}" if column else f"_ignored_{position}" for position, column in enumerate(source.columns)
    ]
    if source.is_numbered:
        rows = csv_source(source.body, dict.fromkeys(["_record", *raw_columns], "varchar"), LINE_FEEDS)
    else:
        fields = ", ".join(identifier(name) for name in raw_columns)
        rows = csv_source(source.body, dict.fromkeys(raw_columns, "varchar"), dialect=source.dialect)
        rows = f"(select row_number() over () as _record, {fields} from {rows})"
    names = source.header_names
    try:
        people = forgotten.people if forgotten else ()
        if forgotten:
            _keep_people(connection, forgotten)
        query = compile_query(contract, source.landed.period, rows, source.has, settings().timezone, names, people)
        for batch in connection.execute(query).to_arrow_reader(BATCH_ROWS):
            if names and batch["_may_be_header"].true_count:
                raise FastReaderFailed("a row may be a repeated header")
            if source.is_whole and (ambiguous := ambiguous_columns(contract, batch)):
                raise date_order_error(connection, rows, contract, ambiguous[0], source.landed.uri)
            found = _without_people(batch, forgotten) if forgotten else batch
            yield found.drop_columns("_may_be_header") if names else found
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
        raise _not_compiled(contract, error) from error
    except duckdb.Error as error:
        cause = _without_values(str(error).splitlines()[0])
        if not source.is_numbered:
            raise FastReaderFailed(cause) from None
        raise DataError(
            f"{source.landed.uri}: the rows cannot be validated: {cause}.{_remedy(contract, error)}"
        ) from None


def _without_people(batch: pa.RecordBatch, forgotten: Forgotten) -> pa.RecordBatch:
    """Return a batch in which the rejected records are without forgotten people whose ids could not be read."""
    import pyarrow as pa

    raws = batch["_raw"]
    if raws.null_count == len(raws):
        return batch
    texts = [None if raw is None else forgotten.without_people(raw) for raw in raws.to_pylist()]
    at = batch.schema.get_field_index("_raw")
    return batch.set_column(at, batch.schema.field(at), pa.array(texts, raws.type))


def _without_values(message: str) -> str:
    """Return a message of DuckDB without what it quotes, which may be a value of a row."""
    return _QUOTED.sub("…", message)


def _remedy(contract: Contract, error: Exception) -> str:
    """Return a sentence on what helps against an error of DuckDB, if something does."""
    import duckdb

    if not isinstance(error, duckdb.OutOfMemoryException):
        return ""
    return (
        f" The contract of {contract.table} has {len(contract.columns)} columns: raise {PREFIX}DUCKDB_MEMORY_LIMIT, "
        f"which is {settings().duckdb_memory_limit}."
    )


def compile_contract(contract: Contract) -> None:
    """Raise `ContractError` if DuckDB cannot compile the validation query of a dataset's contract."""
    import duckdb

    fields = ", ".join(f"null::varchar as {identifier(f'_raw_{name}')}" for name in contract.names)
    source = f"(select 1 as _record, {fields} where false)"
    period = Period.of(contract.cadence, date(2026, 1, 1))
    with closing(duckdb.connect()) as connection:
        for column in contract.columns:
            if column.checked_reference:
                since = ", null::date as since" if column.in_force_on else ""
                value = f"(select null::{duckdb_type(column)} as value{since} where false)"
                connection.execute(_keep_references(column, value))
        try:
            connection.execute(compile_query(contract, period, source, lambda _: True, "UTC"))
        except duckdb.Error as error:
            raise _not_compiled(contract, error) from error


def _matches(connection: Any, value: str, pattern: str) -> bool:
    return bool(connection.execute("select regexp_full_match(?, ?)", [value, pattern]).fetchone()[0])


def pattern_problems(contract: Contract) -> list[str]:
    """Return the problems of a dataset's patterns: invalid ones, and enum values that do not match them."""
    import duckdb

    problems = []
    with closing(duckdb.connect()) as connection:
        for column in contract.columns:
            pattern = column.options.get("pattern")
            if pattern is None:
                continue
            try:
                broken = [value for value in ("", *column.enum) if not _matches(connection, value, pattern)]
            except duckdb.Error as error:
                cause = str(error).splitlines()[0]
                problems.append(f"{contract.table}: the pattern of {column.name!r} is invalid: {cause}")
                continue
            if values := ", ".join(repr(value) for value in broken if value in column.enum):
                problems.append(
                    f"{contract.table}: the enum of {column.name!r} has values that its pattern excludes: {values}. "
                    "Correct the pattern, or remove the values."
                )
    return problems


def _not_compiled(contract: Contract, error: Exception) -> ContractError:
    return ContractError(
        f"the contract of {contract.table} (version {contract.version}) cannot be compiled: "
        f"{str(error).splitlines()[0]}. Check its row rules and patterns."
    )
