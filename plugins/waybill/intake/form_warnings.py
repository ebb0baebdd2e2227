"""Warn about loaded files whose form is odd: cut off, stray quotes, lost characters, decimal commas, other tables."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection

from waybill.contracts import Contract
from waybill.intake import file_warnings
from waybill.intake.receive import ReceivedFile
from waybill.intake.validate import Reject

# A comma with three digits behind it may be one of thousands, unless points are.
_DECIMAL_COMMAS = r"""
select substr(reason, 6), count(*), min(record)
from waybill.quarantine, unnest(reasons) as reason
where
  file_id = %s and reason like 'type:%%' and raw like '{%%'
  and raw::jsonb ->> substr(reason, 6) ~ '^\s*[+-]?([0-9]+,([0-9]{1,2}|[0-9]{4,})|[0-9]{1,3}([.][0-9]{3})+,[0-9]+)\s*$'
group by 1
order by 1
"""


# A header has text in every column; a row of the file with as many faults is read the same way.
_LIKE_A_HEADER = """
select count(*), min(record)
from waybill.quarantine
where file_id = %s and record < %s and reasons @> %s::text[]
"""


def warn_of_form(
    connection: Connection, contract: Contract, received: ReceivedFile, file_id: int, malformed: Sequence[Reject]
) -> None:
    """Record the warnings about the form of a file, in the transaction that loads it.

    `malformed` are its records that are none. Its other rejects are in quarantine by now.
    """
    if received.lacks_line_end and received.spellings is None:
        was_rejected = bool(malformed) and "truncated" in malformed[-1].reasons
        what = (
            "The record was rejected" if was_rejected else f"Check the value of its last column, {received.header[-1]}"
        )
        message = (
            f"record {received.rows_in}, the last one, has no line end: the file may have been cut off. {what}. "
            f"Send the file again if it is incomplete"
        )
        file_warnings.add(connection, file_id, "truncated", message)
    if rows := received.of_several:
        has, it, its = ("has", "it", "its") if rows == 1 else ("have", "them", "their")
        message = (
            f"{_records(rows, received.first_of_several, received)} {has} a quoted field with line ends, and {its} "
            f"lines look like records of their own: quotes may be missing there, and rows may be hidden in a field. "
            f"Compare {it} with the export, and send the file again if it is so"
        )
        file_warnings.add(connection, file_id, "quotes", message)
    if others := [reject.record for reject in malformed if "encoding" in reject.reasons]:
        message = f"{_of(len(others), others[0], received)} not UTF-8 and rejected.{received.hint}"
        file_warnings.add(connection, file_id, "encoding", message)
    if received.damaged_text:
        message = f"the file has {received.damaged_text}. Correct the encoding of the export and send the file again"
        file_warnings.add(connection, file_id, "encoding", message)
    typed = [f"type:{one.name}" for one in contract.columns if one.physical_type != "text" and received.has(one.name)]
    if len(typed) > 1:
        rows, first = connection.execute(_LIKE_A_HEADER, (file_id, received.rows_in, typed)).fetchall()[0]
        if rows:
            message = (
                f"{_of(rows, first, received)} rejected with text in every column of numbers and dates, like a "
                f"header: the records after it may belong to another table. Compare them with the export"
            )
            file_warnings.add(connection, file_id, "header", message)
    for column, rows, first in connection.execute(_DECIMAL_COMMAS, (file_id,)).fetchall():
        message = (
            f"{_of(rows, first, received)} rejected for a decimal comma in {column}; other numbers may be in the same "
            f"form. Export numbers with a decimal point, without points or commas between thousands"
        )
        file_warnings.add(connection, file_id, "decimal_comma", message)


def _of(rows: int, first: int, received: ReceivedFile) -> str:
    return f"{_records(rows, first, received)} {'is' if rows == 1 else 'are'}"


def _records(rows: int, first: int, received: ReceivedFile) -> str:
    return f"{rows} of {received.rows_in} records (first: record {first})"
