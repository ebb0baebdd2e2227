"""Read a received file with DuckDB, type and judge every row by its contract, in batches of bounded size."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waybill.contracts import Column, Contract, ContractError
from waybill.contracts.quoting import identifier, literal
from waybill.contracts.validation import compile_query, reference_table
from waybill.contracts.values import duckdb_type
from waybill.intake.date_order import doubtful_columns, refusal
from waybill.intake.json_records import read_records
from waybill.intake.landing import LandedFile
from waybill.intake.receive import ReceivedFile, read_chunks, read_fields
from waybill.intake.records import Record, split_records
from waybill.intake.repeated_headers import RepeatedHeaders
from waybill.intake.spellings import find_column
from waybill.period import Period
from waybill.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 32_768
_LINE_BYTES = 8 * 2**20
LINE_FEEDS = "new_line='\\n', "
"""For a CSV file written here. Without a word DuckDB takes the first line end for the file's, be it within a field."""


class FastReaderFailed(Exception):
    """The file is not the plain, regular CSV that the fast reader needs; read it record by record."""


@dataclass(frozen=True)
class Reject:
    """One row that does not meet the contract."""

    record: int
    """Number of the record within the file, from 1; the header is not counted."""
    reasons: list[str]
    raw: str
    """The fields as a JSON object, or the record's text as a JSON string if it has no fields."""


def mend(received: ReceivedFile, target: Path) -> Iterator[Reject]:
    """Write the well-formed records, each led by its number, to `target`; give those that are not.

    Python's csv and json modules read here: slower than the fast reader, and it can say what is wrong with a record.
    """
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for number, record in enumerate(_records(received), start=1):
            if record.reasons:
                is_cut = record.is_unfinished and received.lacks_line_end and number == received.rows_in
                reasons = [*record.reasons, "truncated"] if is_cut else record.reasons
                yield Reject(number, reasons, _json_text(record.text))
            else:
                writer.writerow([number, *record.fields])


def _records(received: ReceivedFile) -> Iterator[Record]:
    spellings = received.spellings
    if spellings is not None:
        members = received.members

        def column_of(name: str) -> str | None:
            """Asked once for each name."""
            column = find_column(spellings, name)
            if members is not None:
                members.note(name, column)
            return column

        yield from read_records(received.body, received.header, column_of)
        return
    headers = RepeatedHeaders(received.header, received.column_names)
    for raw, well_formed in split_records(read_chunks(received.body), len(received.header)):
        reasons = [] if well_formed else ["line_end" if b"\r" in raw and b'"' not in raw else "quote"]
        if b"\0" in raw:
            reasons.append("nul")
        try:
            text = raw.decode("utf-8").removeprefix("\ufeff" if well_formed else "")
            is_unfinished = not well_formed and raw.count(b'"') % 2 == 1
        except UnicodeDecodeError as error:
            text = raw.decode("utf-8", "backslashreplace")
            reasons.append("encoding")
            is_unfinished = error.reason == "unexpected end of data"
        fields = read_fields(text) if well_formed else []
        if well_formed and (reason := headers.reason(fields)):
            reasons.append(reason)
        elif well_formed and len(fields) != len(received.header):
            reasons.append("ragged")
            is_unfinished |= len(fields) < len(received.header)
        yield Record([*fields], reasons, text, is_unfinished)


def _json_text(text: str) -> str:
    import json

    # PostgreSQL text holds no NUL; JSON's escape keeps it readable without being one.
    return json.dumps(text, ensure_ascii=False)


def open_duckdb(folder: Path) -> Any:
    """A DuckDB connection with bounded memory that keeps the order of rows."""
    import duckdb

    connection = duckdb.connect(
        config={
            "threads": 1,  # PostgreSQL has the other core
            "memory_limit": settings().duckdb_memory_limit,
            "temp_directory": str(folder / "duckdb"),
            "preserve_insertion_order": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    connection.execute("set TimeZone = 'UTC'")  # an instant without an offset is one of UTC
    return connection


def csv_source(path: Path, columns: Mapping[str, str], options: str = "") -> str:
    """A CSV file without a header, as a relation of DuckDB's with columns of these names and types."""
    declared = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
    return (
        f"read_csv({literal(path)}, header=false, auto_detect=false, delim=',', quote='\"', escape='\"', "
        f"columns={{{declared}}}, strict_mode=true, parallel=false, {options}"
        f"max_line_size={_LINE_BYTES}, buffer_size={_LINE_BYTES * 2})"
    )


def _keep_references(column: Column, values: str) -> str:
    """The statement that reads the values a column may take from a relation of DuckDB's into a table."""
    # Not a view of something of Arrow's: to read that, DuckDB imports pyarrow.dataset, and that pandas.
    return f"create temp table {identifier(reference_table(column))} as from {values}"


@dataclass(frozen=True)
class RowSource:
    """Rows of one file to validate, as a CSV file on local disk without a header."""

    landed: LandedFile
    """The file to which the rows belong."""
    body: Path
    records: int
    """How many records there are, with the malformed ones, by an independent count."""
    columns: Sequence[str | None]
    """For each field the contract's column, or None for a column that is not loaded."""
    is_numbered: bool
    """Each row begins with its record number. Otherwise the body is the file's as it arrived."""
    is_whole: bool
    """The rows are all well-formed records of the file, not some that are replayed."""
    malformed: int = 0
    """How many of the records are not in the body, because they are malformed."""
    column_names: frozenset[str] = frozenset()
    """Of a body as it arrived: the normalised names by which a header among the rows is found."""

    @classmethod
    def of_file(cls, received: ReceivedFile) -> RowSource:
        """Return the records of a file as it arrived."""
        return cls(
            received.landed,
            received.body,
            received.rows_in,
            received.columns,
            is_numbered=False,
            is_whole=True,
            column_names=received.column_names,
        )

    @classmethod
    def of_reparsed(cls, received: ReceivedFile, body: Path, malformed: int) -> RowSource:
        """Return the well-formed records of a file, which `mend` wrote to `body`."""
        return cls(
            received.landed,
            body,
            received.rows_in,
            received.columns,
            is_numbered=True,
            is_whole=True,
            malformed=malformed,
        )

    def has(self, column: str) -> bool:
        """Return whether the rows have a field of this column."""
        return column in self.columns


def judge(
    connection: Any, source: RowSource, contract: Contract, references: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Yield batches of typed rows with `_record`, `_hash`, and for bad rows `_reasons` and `_raw`.

    `references` has for each referring column a DuckDB relation of the values that it may take. Raises `DataError` if
    the rows of a whole file do not agree on the order of day and month, `FastReaderFailed` if DuckDB cannot parse the
    body or a header may stand among the rows, and `ContractError` if DuckDB cannot parse a row rule.
    """
    import duckdb

    for column in contract.columns:
        if column.checked_reference:
            connection.execute(_keep_references(column, references[column.name]))
    raw_columns = [
        f"raw_{column}" if column else f"ignored_{position}" for position, column in enumerate(source.columns)
    ]
    if source.is_numbered:
        rows = csv_source(source.body, dict.fromkeys(["record", *raw_columns], "varchar"), LINE_FEEDS)
    else:
        fields = ", ".join(identifier(name) for name in raw_columns)
        rows = csv_source(source.body, dict.fromkeys(raw_columns, "varchar"))
        rows = f"(select row_number() over () as record, {fields} from {rows})"
    names = source.column_names
    try:
        query = compile_query(contract, source.landed.period, rows, source.has, names)
        for batch in connection.execute(query).to_arrow_reader(BATCH_ROWS):
            if names and batch["_may_be_header"].true_count:
                raise FastReaderFailed("a header may stand among the rows")
            if source.is_whole and (doubtful := doubtful_columns(contract, batch)):
                raise refusal(connection, rows, contract, doubtful[0], source.landed.uri)
            yield batch.drop_columns("_may_be_header") if names else batch
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
        raise _not_compiled(contract, error) from error
    except duckdb.Error as error:
        raise FastReaderFailed(str(error).splitlines()[0]) from error


def compile_contract(contract: Contract) -> None:
    """Raise `ContractError` if DuckDB does not understand the query of a dataset's contract."""
    import duckdb

    fields = ", ".join(f"null::varchar as {identifier(f'raw_{name}')}" for name in contract.names)
    source = f"(select 1 as record, {fields} where false)"
    period = Period.of(contract.cadence, date(2026, 1, 1))
    with closing(duckdb.connect()) as connection:
        for column in contract.columns:
            if column.checked_reference:
                since = ", null::date as since" if column.in_force_on else ""
                value = f"(select null::{duckdb_type(column)} as value{since} where false)"
                connection.execute(_keep_references(column, value))
        try:
            connection.execute(compile_query(contract, period, source, lambda _: True))
        except duckdb.Error as error:
            raise _not_compiled(contract, error) from error


def _matches(connection: Any, value: str, pattern: str) -> bool:
    return bool(connection.execute("select regexp_full_match(?, ?)", [value, pattern]).fetchone()[0])


def pattern_problems(contract: Contract) -> list[str]:
    """What is wrong with the patterns of a dataset's contract, and allowed values that break them."""
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
                said = str(error).splitlines()[0]
                problems.append(f"{contract.table}: the pattern of {column.name!r} is not understood: {said}")
                continue
            if values := ", ".join(repr(value) for value in broken if value in column.enum):
                problems.append(
                    f"{contract.table}: no row can have {values} of the enum of {column.name!r}: "
                    "the pattern does not allow it"
                )
    return problems


def _not_compiled(contract: Contract, error: Exception) -> ContractError:
    return ContractError(
        f"the contract of {contract.table} (version {contract.version}) cannot be compiled: "
        f"{str(error).splitlines()[0]}; look at its row rules and patterns"
    )
