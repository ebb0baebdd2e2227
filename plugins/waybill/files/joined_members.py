"""Join the members of an archive: the records of one file that is sent in parts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from waybill.errors import DataError
from waybill.files.received_file import ArchiveMember, ReceivedFile
from waybill.files.spellings import normalise
from waybill.files.value_kinds import TYPED, kind
from waybill.formatting import count


def join(members: Sequence[tuple[str, ReceivedFile]], folder: Path) -> ReceivedFile:
    """Return the members, each with its name, as one file. Record numbers run on.

    Bodies of CSV are moved to one body in `folder`; those of JSON are kept. Raises `DataError` if their columns differ,
    or if some are JSON and some not.
    """
    first, last = members[0][1], members[-1][1]
    body, records, parts = folder / f"body{first.body.suffix}", 0, []
    first_multiline_record, unended = 0, set()
    check_columns(members)
    with body.open("wb") as target:
        for name, one in members:
            if not one.json:
                with one.body.open("rb") as source:
                    shutil.copyfileobj(source, target)
                if one.lacks_line_end and one is not last:
                    target.write((one.file_format.line_end or "\n").encode())
                one.body.unlink()
            if one.multiline_records and not first_multiline_record:
                first_multiline_record = records + one.first_multiline_record
            parts.append(ArchiveMember(name, records + 1, one.rows_in))
            records += one.rows_in
            if one.lacks_line_end and one is not last:
                unended.add(records)
    files = [one for _, one in members]
    return replace(
        first,
        content=last.content,
        body=body,
        rows_in=records,
        is_regular=all(one.is_regular for one in files),
        lacks_line_end=last.lacks_line_end,
        multiline_records=sum(one.multiline_records for one in files),
        first_multiline_record=first_multiline_record,
        likely_encoding=next((one.likely_encoding for one in files if one.likely_encoding), None),
        json=tuple(body for one in files for body in one.json),
        members=None if first.members is None else first.members.joined(one.members for one in files),
        archive_members=tuple(parts),
        unended_records=frozenset(unended),
        ignored_lines={name: sum(one.ignored_lines[name] for one in files) for name in first.ignored_lines},
        rows_below=tuple(below for one in files for below in one.rows_below),
        suspect_patterns=tuple(dict.fromkeys(pattern for one in files for pattern in one.suspect_patterns)),
    )


def check_columns(members: Sequence[tuple[str, ReceivedFile]]) -> None:
    """Raise `DataError` unless all members have the same columns, in the same order."""
    first_name, first = members[0]
    for name, one in members[1:]:
        if bool(one.json) != bool(first.json):
            raise DataError(
                f"{first.landed.uri}: {name} and {first_name} are written in different formats. Choose the members "
                "that are data with `members` in the contract."
            )
        if _columns(one) != _columns(first):
            instead = ""
            if one.file_format.header_lines and all(map(_looks_like_a_row, (first.header, one.header))):
                instead = " If the members have no header, declare `headerLines: 0` in the server of the contract."
            raise DataError(
                f"{first.landed.uri}: the members have different columns. {first_name} has "
                f"{_shown(first)}; {name} has {_shown(one)}. Export them with equal "
                f"columns in the same order.{instead}"
            )


def _shown(file: ReceivedFile) -> str:
    """Return the header for a message. Without a name of a column it may be a row, which is not shown."""
    return ", ".join(file.header)[:500] if any(file.columns) else f"{count(len(file.header), 'field')} without a name"


def _columns(file: ReceivedFile) -> list[str]:
    """Return the column of each field, or the name of a field without one."""
    return [column or normalise(field) for field, column in zip(file.header, file.columns, strict=True)]


def _looks_like_a_row(header: Sequence[str]) -> bool:
    """Return whether a header has a number, a date or a time in place of a name."""
    return any(kind(name) in TYPED for name in header)
