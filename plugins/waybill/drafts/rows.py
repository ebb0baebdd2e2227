"""Read every row of the given files as text, through the path of a load, into Parquet files on local disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from waybill.contracts import Contract, load
from waybill.contracts.file_format import FileFormat
from waybill.drafts.documents import document_of
from waybill.drafts.draft_type import DraftType
from waybill.drafts.files import GivenFile
from waybill.drafts.layout import to_yaml
from waybill.drafts.names import synonyms_of
from waybill.errors import DataError
from waybill.files.converted import RowsBelow
from waybill.files.joined_members import check_columns, join
from waybill.files.receive import receive, receive_members
from waybill.files.received_file import ReceivedFile
from waybill.files.spellings import normalise
from waybill.formatting import count
from waybill.intake.rejected_files import BrokenRule, BrokenRules
from waybill.intake.row_source import Rows, read_rows
from waybill.intake.validate import FastReaderFailed, open_duckdb, validate_rows

if TYPE_CHECKING:
    import pyarrow as pa

_LANDED: Final = "waybill_landed"
_KEY: Final = "waybill_key"
"""Columns of contracts that only read."""


@dataclass(frozen=True)
class FileRows:
    """What a load reads of one file."""

    name: str
    rows: int
    brought: list[str]
    """The contract's columns that the file has."""
    unknown: list[str]
    """The file's columns that the contract does not have."""
    below: tuple[RowsBelow, ...]
    """The rows of a sheet below the declared range."""
    rejected: int
    broken: list[BrokenRule]
    """The rules that rejected rows break, the most frequent first."""


def text_column(name: str, header: str = "") -> dict[str, Any]:
    """Return the document of a column that accepts every text."""
    custom = {"allowsPlaceholders": True, "controlCharacters": "any"}
    return {"name": name, **synonyms_of(name, header), **DraftType("text", custom=custom).declared}


def reading_contract(
    domain: str, dataset: str, columns: Sequence[Mapping[str, Any]], file_format: FileFormat, folder: Path
) -> Contract:
    """Return a contract that reads files and rejects no row but malformed ones."""
    key = {**text_column(_KEY), "primaryKey": True}
    landed = {"name": _LANDED, **DraftType("date").declared, "required": True}
    custom = {"loadMode": "merge", "landingDayColumn": _LANDED, "rejectThresholdPct": 100}
    document = document_of(domain, dataset, [key, *columns, landed], custom=custom, file_format=file_format)
    path = folder / f"{dataset}.yaml"
    path.write_text(to_yaml(document, {}), encoding="utf-8")
    contract = load(path)
    _, first, *others = contract.columns
    return replace(contract, columns=(replace(first, key_position=1), *others))


def headers_of(
    file: GivenFile, domain: str, dataset: str, form: FileFormat, folder: Path, *, is_by_order: bool
) -> list[str]:
    """Return the names of a file's columns as it writes them; those of JSON are paths of members, sorted.

    If columns are read by their order, the names are empty.
    """
    found: list[str] = []
    while True:
        with TemporaryDirectory(dir=folder) as name:
            scratch = Path(name)
            known = [text_column(f"member_{place}", header) for place, header in enumerate(found)]
            contract = reading_contract(domain, dataset, known or [text_column("waybill_none")], form, scratch)
            members = receive_members(file.store, file.landed, contract, scratch)
            if members[0][1].members is None:
                return _header_of(members, file.landed.uri, is_by_order=is_by_order)
            received = members[0][1] if len(members) == 1 else join(members, scratch)
            read_rows(received, contract, scratch, lambda rows: rows())
            names = {"", *map(normalise, found)}
            new = {normalise(member): member for member in reversed(received.ignored)}  # `a` and `A` are one column
            if new.keys() <= names:
                return sorted(found)
            found += [member for key, member in new.items() if key not in names]  # at most a hundred are listed


def _header_of(members: Sequence[tuple[str, ReceivedFile]], uri: str, *, is_by_order: bool) -> list[str]:
    """Return the header of the first member; names are empty if columns are read by their order."""
    first_name, first = members[0]
    for name, member in members:
        if is_by_order and len(member.header) != len(first.header):
            raise DataError(
                f"{uri}: the first record of {name} has {count(len(member.header), 'field')}, that of {first_name} has "
                f"{len(first.header)}. Export the members with equal columns."
            )
    if not is_by_order and len(members) > 1:
        check_columns(members)
    return [""] * len(first.header) if is_by_order else first.header


def validated(file: GivenFile, contract: Contract, folder: Path, target: Path) -> FileRows:
    """Return what a load with the contract reads of a file and rejects; keep the rows in `target`, a Parquet file.

    References are not checked. Raises `DataError` if a load rejects the file before its rows.
    """
    with TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        received = receive(file.store, file.landed, contract, scratch)

        def validate(rows: Rows) -> FileRows:
            source, malformed = rows()
            broken = BrokenRules(contract)
            for reject in malformed:
                broken.add(reject.record, reject.reasons, reject.raw)
            with closing(open_duckdb(scratch)) as duck:
                read, rejected = _keep(validate_rows(duck, source, contract, {}), contract, broken, target)
            if read + len(malformed) != source.records and not source.is_numbered:
                raise FastReaderFailed("a load counts other records")
            return FileRows(
                file.name,
                received.rows_in,
                received.brought or [],
                received.ignored,
                received.rows_below,
                len(malformed) + rejected,
                broken.listed(),
            )

        return read_rows(received, contract, scratch, validate)


def _keep(batches: Iterator[pa.RecordBatch], contract: Contract, broken: BrokenRules, target: Path) -> tuple[int, int]:
    """Write the valid rows of a file, with their records, to `target`, and return how many were read and rejected."""
    import pyarrow.parquet as pq

    names = ["_record", *(column.name for column in contract.delivered_columns)]
    writer, read, rejected = None, 0, 0
    for batch in batches:
        bad = batch.filter(batch.column("_reasons").is_valid()).select(["_record", "_reasons", "_raw"])
        for row in bad.to_pylist():
            broken.add(row["_record"], row["_reasons"], row["_raw"])
        read += batch.num_rows
        rejected += bad.num_rows
        rows = batch.filter(batch.column("_reasons").is_null()).select(names)
        writer = writer or pq.ParquetWriter(target, rows.schema)
        writer.write_batch(rows)
    if writer is not None:
        writer.close()
    return read, rejected
