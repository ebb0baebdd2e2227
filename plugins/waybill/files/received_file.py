"""The model of a landed file that was received: its records on local disk, and the facts about its form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from waybill.contracts.file_format import UNDECLARED, FileFormat
from waybill.files.content import Content
from waybill.files.converted import RowsBelow
from waybill.files.json_members import MemberNames
from waybill.files.json_records import JsonBody
from waybill.files.landed_file import LandedFile
from waybill.files.spellings import normalise
from waybill.files.transcoding import is_utf_8

_MEMBERS_SHOWN = 5


class ArchiveMember(NamedTuple):
    """A member of a zip archive, and its records in the numbering of the whole file."""

    name: str
    first_record: int
    records: int

    def __str__(self) -> str:
        return f"{self.name} from record {self.first_record:,}" if self.records else f"{self.name} without records"


@dataclass(frozen=True)
class ReceivedFile:
    """A landed file on local disk."""

    landed: LandedFile
    content: Content
    body: Path
    """The records, without the header."""
    rows_in: int
    """Number of records, counted on receipt and so independently of the loader."""
    columns: list[str | None]
    """For each field of the header the contract's column, or None if the field is not loaded."""
    header: list[str]
    is_regular: bool
    """Whether DuckDB can read the file as it arrived: UTF-8 without NUL, no malformed record, no blank line."""
    json: tuple[JsonBody, ...] = ()
    """The records of a JSON file, or of the members of an archive. They have no header and may have every column."""
    members: MemberNames | None = None
    """For a JSON file, the names of its members; complete after its records were read."""
    lacks_line_end: bool = False
    """Whether the last record has no line end, although the header or an earlier record has one."""
    multiline_records: int = 0
    """Records with a quoted field that contains line ends and looks like several records."""
    first_multiline_record: int = 0
    likely_encoding: str | None = None
    """For a file with bytes that its encoding does not define: the likely encoding of such bytes."""
    file_format: FileFormat = UNDECLARED
    ignored_lines: Mapping[str, int] = field(default_factory=dict)
    """The number of lines that each pattern of the contract ignored."""
    suspect_patterns: tuple[str, ...] = ()
    """Those of the patterns that may have ignored rows."""
    rows_below: tuple[RowsBelow, ...] = ()
    """The rows of a workbook, or of the workbooks of an archive, that are below the declared range."""
    column_names: frozenset[str] = frozenset()
    """For a CSV file, the normalised column names of its header and of the contract."""
    archive_members: tuple[ArchiveMember, ...] = ()
    """The members of an archive, if it has several that are data."""
    unended_records: frozenset[int] = frozenset()
    """The last records of members without a line end, except the last member."""

    @property
    def last_without_line_end(self) -> frozenset[int]:
        """Return the last record of the file, and of each member of an archive, if it has no line end."""
        return self.unended_records | ({self.rows_in} if self.lacks_line_end else set())

    @property
    def ignored(self) -> list[str]:
        """Return the header fields, or members of JSON records, that are not in the contract."""
        if self.members is not None:
            return sorted(self.members.unknown)
        fields = enumerate(zip(self.header, self.columns, strict=True), start=1)
        return [
            name if normalise(name) else f"(field {place} without a name)"
            for place, (name, column) in fields
            if column is None
        ]

    @property
    def hint(self) -> str:
        """Return sentences for messages that reject the file or its rows: where its records are, and the encoding."""
        hints = []
        if self.archive_members:
            shown = ", ".join(map(str, self.archive_members[:_MEMBERS_SHOWN]))
            more = len(self.archive_members) - _MEMBERS_SHOWN
            hints.append(f" Members: {shown}{f' and {more} more' if more > 0 else ''}.")
        declared = self.file_format.encoding
        if self.likely_encoding is not None and (not is_utf_8(declared) or is_utf_8(self.likely_encoding)):
            hints.append(
                f" The file has bytes that {declared} does not define: correct `encoding` in the contract, or export "
                "the file as declared."
            )
        elif self.likely_encoding is not None:
            hints.append(
                f" Bytes that are not valid UTF-8 look like {self.likely_encoding}: declare `encoding: "
                f"{self.likely_encoding}` in the server of the contract, or export the file as UTF-8."
            )
        return "".join(hints)

    @property
    def brought(self) -> list[str] | None:
        """Return the contract's columns that the file has; None for JSON without records, where it is unknown."""
        if self.members is None:
            return [column for column in self.columns if column]
        return [column for column in self.columns if column in self.members.columns] if self.rows_in else None

    def has(self, column: str) -> bool:
        """Return whether the file has this column of the contract."""
        return column in self.columns
