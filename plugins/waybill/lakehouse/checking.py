"""Check one file against its contract, as a load on one machine does: its valid rows, rejected rows and books.

The same code receives the file, reads its records and validates them. DuckDB then settles repeated keys and values
within the file. Rows wait on disk, so that memory does not grow with the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from waybill.contracts import Contract
from waybill.contracts.quoting import identifier, literal
from waybill.errors import DataError
from waybill.files.content import ObjectChanged
from waybill.files.landed_file import LandedFile
from waybill.files.receive import receive
from waybill.files.received_file import ReceivedFile
from waybill.intake import columns
from waybill.intake.arrow_buffers import bits_of, numbers_of, rows_where, texts_of_uuids
from waybill.intake.duplicate_candidates import SeenKeys
from waybill.intake.form_warnings import form_warnings
from waybill.intake.ledger import Books
from waybill.intake.rejected_files import BrokenRules, RejectedFileError, too_many_rejects
from waybill.intake.row_source import Rows, read_rows
from waybill.intake.validate import FastReaderFailed, Reject, open_duckdb, validate_rows
from waybill.lakehouse.exchange import LoadedFile
from waybill.lakehouse.facts import facts_of
from waybill.outputs.export import arrow_type
from waybill.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client

BATCH_ROWS: Final = 32_768


class CheckedFile:
    """What is known about a file, and its rows in a folder on disk."""

    def __init__(self, contract: Contract, landed: LandedFile, folder: Path) -> None:
        self._contract, self._landed, self._folder = contract, landed, folder
        self.books = Books()
        self.facts: dict[str, Any] = {}
        self.warnings: list[tuple[str, str]] = []
        self.status = "loaded"
        self.error: str | None = None
        self.broken: dict[str, int] = {}
        self.newest: datetime | None = None

    def summary(self) -> LoadedFile:
        """Return the facts, books and messages for the result of the job."""
        loaded = self.status == "loaded"
        return LoadedFile.model_validate(
            {
                "dataset": self._contract.name,
                "period": self._landed.period.start,
                "key": self._landed.key,
                "status": self.status,
                "error": self.error,
                "broken": self.broken,
                "facts": self.facts,
                "books": asdict(self.books) if loaded else {},
                "newest": self.newest if loaded else None,
                "warnings": self.warnings if loaded else [],
            }
        )

    def valid_rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the first valid row of each key, as `_record` and the columns of the contract."""
        return self._read(self._path("valid")) if self.status == "loaded" else iter(())

    def rejected_rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the rejected rows, as `_record`, `_reasons` and `_raw`."""
        return self._read(self._path("rejected")) if self.status == "loaded" else iter(())

    def check(self, s3: S3Client) -> None:
        """Receive the file, validate its rows and settle those that repeat others. Never raises `DataError`."""
        try:
            received = receive(s3, self._landed, self._contract, self._folder)
            self.facts = facts_of(received)
            if received.brought is not None:
                issues = columns.find_issues(self._contract, received.brought, received.ignored, {})
                columns.raise_errors(self._landed.uri, issues)
            read_rows(received, self._contract, self._folder, lambda rows: self._validate(received, rows))
        except ObjectChanged as error:
            self.status, self.error = "changed", str(error)
        except DataError as error:
            self.status, self.error = "rejected", str(error)
            if isinstance(error, RejectedFileError):
                self.broken = {rule.reason: rule.rows for rule in error.broken}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"

    def _read(self, path: Path) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS)

    def _validate(self, received: ReceivedFile, rows: Rows) -> None:
        """Write the valid and the rejected rows of the file, and count them."""
        contract, landed = self._contract, self._landed
        source, malformed = rows()
        self.books = books = Books(rows_in=source.records)
        seen = SeenKeys(source.records)
        read, candidates = 0, False
        with (
            _Writer(self._path("first"), _schema(contract, candidates=True)) as valid,
            _Writer(self._path("rejects"), _rejects_schema()) as rejects,
        ):
            rejects.write_rejects(malformed)
            with closing(open_duckdb(self._folder)) as duck:
                for batch in validate_rows(duck, source, contract, {}):
                    read += batch.num_rows
                    candidates |= self._route(batch, seen, valid, rejects)
        if read + source.malformed != source.records:
            message = f"the reader found {read + source.malformed} records and the count {source.records}"
            if not source.is_numbered:
                raise FastReaderFailed(message)
            raise DataError(f"{landed.uri}: {message}; nothing was loaded. Look for stray quotes or line ends.")
        self._settle(has_candidates=candidates)
        if not contract.tolerates(books.rejected, books.rows_in):
            broken = BrokenRules(contract)
            for batch in self._read(self._path("rejected")):
                for row in batch.to_pylist():
                    broken.add(row["_record"], row["_reasons"], row["_raw"])
            raise too_many_rejects(landed.uri, contract, books.rejected, books.rows_in, broken.listed(), received.hint)
        self.newest = self._newest()
        self.warnings = [*form_warnings(received, malformed, source.repaired)]

    def _route(self, batch: pa.RecordBatch, seen: SeenKeys, valid: _Writer, rejects: _Writer) -> bool:
        """Write the rows of a batch. Return whether some may repeat the key of an earlier row."""
        import numpy as np
        import pyarrow as pa

        bad = bits_of(batch.column("_reasons").is_valid())
        candidate = seen.candidates(numbers_of(batch.column("_hash"), np.uint64)) & ~bad
        rejects.write(rows_where(bad, batch.select(["_record", "_reasons", "_raw"])))
        left_out = bad
        if self._contract.filter_column:
            filtered = bits_of(batch.column("_is_filtered"))
            self.books.filtered += int(np.count_nonzero(filtered))
            left_out, candidate = left_out | filtered, candidate & ~filtered
        bits = pa.Array.from_buffers(
            pa.bool_(), len(candidate), [None, pa.py_buffer(np.packbits(candidate, bitorder="little"))]
        )
        schema = valid.schema
        typed = [
            _converted(batch.column(column.name), column.physical_type, schema.field(column.name).type)
            for column in self._contract.columns
        ]
        rows = pa.RecordBatch.from_arrays([batch.column("_record"), *typed, bits], schema=schema)
        valid.write(rows_where(~left_out, rows))
        return bool(candidate.any())

    def _settle(self, *, has_candidates: bool) -> None:
        """Leave the first row of each key in the valid rows; count the equal ones and reject the others."""
        contract, books = self._contract, self.books
        unique = [column.name for column in contract.columns if column.unique and [column.name] != contract.key]
        if (has_candidates or unique) and self._leave_out(unique, has_candidates=has_candidates):
            return
        self._path("rejects").rename(self._path("rejected"))
        self._path("first").rename(self._path("valid"))
        books.inserted, books.rejected = _rows(self._path("valid")), _rows(self._path("rejected"))

    def _leave_out(self, unique: Sequence[str], *, has_candidates: bool) -> bool:
        """Write the valid and the rejected rows without repeats, and count them; return False if none repeats."""
        contract, books = self._contract, self.books
        first, rejects = self._path("first"), self._path("rejects")
        with closing(open_duckdb(self._folder)) as duck:
            duck.execute("create temp table gone (_record integer, reason varchar, raw varchar)")
            if has_candidates:
                duck.execute(_repeated_keys(contract, first))
            for name in unique:
                duck.execute(_repeated_values(contract, first, name))
            ((gone, books.duplicate),) = duck.execute(
                "select count(*), count(*) filter (reason is null) from gone"
            ).fetchall()
            if not gone:
                return False
            kept = duck.execute(_without_gone(contract, first))
            with _Writer(self._path("valid"), _schema(contract)) as valid:
                for batch in kept.to_arrow_reader(BATCH_ROWS):
                    valid.write(batch.cast(valid.schema))
                books.inserted = valid.rows
            late = duck.execute("select _record, [reason], raw from gone where reason is not null order by 1")
            with _Writer(self._path("rejected"), _rejects_schema()) as target:
                for batch in self._read(rejects):
                    target.write(batch)
                while some := late.fetchmany(BATCH_ROWS):
                    target.write_rejects([Reject(record, reasons, raw) for record, reasons, raw in some])
                books.rejected = target.rows
        return True

    def _newest(self) -> datetime | None:
        import pyarrow.parquet as pq

        contract = self._contract
        if contract.period_column is None:
            return None
        with pq.ParquetFile(self._path("valid")) as file:
            place = file.schema_arrow.get_field_index(contract.period_column)
            groups = [file.metadata.row_group(number).column(place) for number in range(file.metadata.num_row_groups)]
            found = max((group.statistics.max for group in groups if group.statistics.has_min_max), default=None)
        if found is None or (isinstance(found, datetime) and found.tzinfo):
            return found
        moment = found if isinstance(found, datetime) else datetime.combine(found, time())
        return moment.replace(tzinfo=ZoneInfo(settings().timezone))


def _whole(contract: Contract) -> str:
    """Return the expression of a whole row."""
    return f"struct_pack({', '.join(f'{identifier(name)} := {identifier(name)}' for name in contract.names)})"


def _repeated_keys(contract: Contract, first: Path) -> str:
    """Return the statement that adds the rows after the first one of their key to `gone`.

    Equal ones have no reason. Only keys of rows that may repeat another one are looked at.
    """
    key, whole = ", ".join(map(identifier, contract.row_key)), _whole(contract)
    return f"""
        insert into gone
        with suspect as (select distinct {key} from {literal(first)} where _candidate),
        ranked as (
          select
            _record,
            {whole} as this,
            first_value({whole}) over of_key as first,
            row_number() over of_key as number
          from {literal(first)}
          semi join suspect using ({key})
          window of_key as (partition by {key} order by _record)
        )
        select
          _record,
          case when this is distinct from first then 'conflict' end,
          case when this is distinct from first then to_json(this)::varchar end
        from ranked
        where number > 1
    """


def _repeated_values(contract: Contract, first: Path, name: str) -> str:
    """Return the statement that adds the rows after the first one of a value of a unique column to `gone`."""
    value = identifier(name)
    return f"""
        insert into gone
        with numbered as (
          select
            _record,
            row_number() over (partition by {value} order by _record) as number,
            to_json({_whole(contract)})::varchar as raw
          from {literal(first)}
          anti join gone using (_record)
          where {value} is not null
        )
        select _record, {literal(f"unique:{name}")}, raw from numbered where number > 1
    """


def _without_gone(contract: Contract, first: Path) -> str:
    """Return the query of the rows that are not in `gone`."""
    names = ", ".join(map(identifier, contract.names))
    return f"select _record, {names} from {literal(first)} anti join gone using (_record)"


class _Writer:
    """Writes batches of rows to a Parquet file."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self.schema, self.rows = schema, 0
        self._file = pq.ParquetWriter(path, schema, compression="lz4")

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._file.write_batch(batch)
            self.rows += batch.num_rows

    def write_rejects(self, rejects: Sequence[Reject]) -> None:
        import pyarrow as pa

        columns = [[one.record for one in rejects], [one.reasons for one in rejects], [one.raw for one in rejects]]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self.schema, strict=True)]
        self.write(pa.RecordBatch.from_arrays(arrays, schema=self.schema))


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _rejects_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("_record", pa.int32()), ("_reasons", pa.list_(pa.string())), ("_raw", pa.string())])


def _schema(contract: Contract, *, candidates: bool = False) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("_record", pa.int32()),
            *((column.name, lake_type(column.physical_type)) for column in contract.columns),
            *([("_candidate", pa.bool_())] if candidates else []),
        ]
    )


def lake_type(physical_type: str) -> Any:
    """Return the Arrow type of a column in the tables on Spark, which have no smaller type than an integer."""
    import pyarrow as pa

    return pa.int32() if physical_type == "smallint" else arrow_type(physical_type)


def _converted(values: pa.Array, physical_type: str, kind: pa.DataType) -> pa.Array:
    """Return validated values in the type of the lake's tables, where UUIDs, times and JSON are text."""
    import pyarrow as pa

    if physical_type == "uuid":
        return texts_of_uuids(values)
    texts: dict[str, Callable[[Any], str]] = {"jsonb": _json, "time": time.isoformat}
    text = texts.get(physical_type)
    if text:
        return pa.array([None if one is None else text(one) for one in values.to_pylist()], kind)
    return values.cast(kind)


def _json(value: bytes) -> str:
    """Return JSON so that equal values have equal texts, whatever the order of members and the form of numbers.

    The first byte is the version of PostgreSQL's binary format.
    """
    return _canonical(json.loads(value[1:], parse_float=Decimal, parse_int=Decimal))


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_canonical(name)}: {_canonical(one)}" for name, one in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_canonical, value)) + "]"
    if isinstance(value, Decimal):
        number = "0" if value.is_zero() else f"{value:f}"  # -0 is 0
        return number.rstrip("0").rstrip(".") if "." in number else number
    return json.dumps(value, ensure_ascii=False)
