"""Warn about loaded files that may be truncated or have stray quotes, lost text, decimal commas or a second table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import Connection

from waybill.contracts import Contract
from waybill.files.received_file import ReceivedFile
from waybill.formatting import count
from waybill.intake import file_warnings
from waybill.intake.validate import Reject

# A comma before three digits may separate thousands, unless the number has points, too.
_DECIMAL_COMMAS = r"""
select substr(reason, 6), count(*), min(record)
from waybill.quarantine, unnest(reasons) as reason
where
  file_id = %s and reason like 'type:%%' and raw like '{%%'
  and raw::jsonb ->> substr(reason, 6) ~ '^\s*[+-]?([0-9]+,([0-9]{1,2}|[0-9]{4,})|[0-9]{1,3}([.][0-9]{3})+,[0-9]+)\s*$'
group by 1
order by 1
"""


# A header has text in every column of numbers and dates.
_LIKE_A_HEADER = """
select count(*), min(record)
from waybill.quarantine
where file_id = %s and record < %s and reasons @> %s::text[]
"""


def warn_of_form(
    connection: Connection,
    contract: Contract,
    received: ReceivedFile,
    file_id: int,
    malformed: Sequence[Reject],
    repaired: Sequence[int],
) -> None:
    """Record the warnings about the form of a file, in the transaction that loads it.

    `malformed` are its malformed records, and `repaired` the numbers of those that were repaired. Its other rejected
    rows are already in quarantine.
    """
    for kind, message in form_warnings(received, malformed, repaired):
        file_warnings.add(connection, file_id, kind, message)
    typed = [f"type:{one.name}" for one in contract.columns if one.physical_type != "text" and received.has(one.name)]
    if len(typed) > 1:
        rows, first = connection.execute(_LIKE_A_HEADER, (file_id, received.rows_in, typed)).fetchall()[0]
        if rows:
            message = (
                f"{_of(rows, first, received)} rejected because every column of numbers and dates has text, like in a "
                f"header. The records after it may belong to another table. Compare them with the export."
            )
            file_warnings.add(connection, file_id, "header", message)
    declared = {column.name for column in contract.columns if column.number_format}
    for column, rows, first in connection.execute(_DECIMAL_COMMAS, (file_id,)).fetchall():
        if column in declared:
            continue
        message = (
            f"{_of(rows, first, received)} rejected because of a decimal comma in {column}. Other numbers may have "
            f"one, too. Declare a `numberFormat` in the contract, or export numbers with a decimal point and without "
            f"thousands separators."
        )
        file_warnings.add(connection, file_id, "decimal_comma", message)


def form_warnings(
    received: ReceivedFile, malformed: Sequence[Reject], repaired: Sequence[int]
) -> Iterator[tuple[str, str]]:
    """Yield the kind and message of each warning about the form of a file.

    `malformed` are its malformed records, and `repaired` the numbers of those that were repaired.
    """
    if received.lacks_line_end and not received.json:
        was_rejected = bool(malformed) and "truncated" in malformed[-1].reasons
        what = "It was rejected." if was_rejected else f"Check the value of its last column, {received.header[-1]}."
        message = (
            f"record {received.rows_in}, the last one, has no line end: the file may be truncated. {what} "
            f"If the file is incomplete, send it again."
        )
        yield "truncated", message
    if (records := sorted(received.unended_records)) and not received.json:
        message = (
            f"the last record of {count(len(records), 'member')} has no line end (first: record {records[0]}): the "
            f"members may be truncated. Check their last values. If they are incomplete, send the archive again."
        )
        yield "truncated", message
    if rows := received.multiline_records:
        has = "has" if rows == 1 else "have"
        message = (
            f"{_records(rows, received.first_multiline_record, received)} {has} a quoted field whose lines look like "
            f"records. Quotes may be missing, and rows may be hidden in the field. Compare the file with the export. "
            f"If rows are missing, send it again."
        )
        yield "quotes", message
    if repaired:
        message = (
            f"{_of(len(repaired), repaired[0], received)} malformed and were read in the only way that meets the "
            "contract (repairs). Compare them with the export, and correct the export."
        )
        yield "repaired", message
    for pattern in received.suspect_patterns:
        message = (
            f"the pattern {pattern} of ignoredLines left out {received.ignored_lines[pattern]:,} lines, many with all "
            f"fields of a record; {received.rows_in:,} records are left. If lines are rows, correct the pattern in the "
            "contract, and send the file again under another name."
        )
        yield "ignored_lines", message
    for below in received.rows_below:
        yield "cells", str(below)
    if others := [reject.record for reject in malformed if "encoding" in reject.reasons]:
        encoding = received.file_format.encoding.replace("utf-8", "UTF-8")
        message = f"{_of(len(others), others[0], received)} not valid {encoding} and rejected.{received.hint}"
        yield "encoding", message
    if damage := received.content.damaged_text:
        message = f"the file has {damage}. Correct the encoding of the export and send the file again."
        yield "encoding", message


def _of(rows: int, first: int, received: ReceivedFile) -> str:
    return f"{_records(rows, first, received)} {'is' if rows == 1 else 'are'}"


def _records(rows: int, first: int, received: ReceivedFile) -> str:
    return f"{rows} of {received.rows_in} records (first: record {first})"
