"""Receive a JSON file: write its records one per line and count them."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

from waybill.contracts import Contract
from waybill.intake.content import Download
from waybill.intake.json_records import MemberNames, write_lines
from waybill.intake.received_file import ReceivedFile
from waybill.intake.spellings import find_column, spellings_of


def receive_json(download: Download, head: bytes, contract: Contract, folder: Path) -> ReceivedFile:
    """Write the records of a JSON file to `folder`; `head` is the first chunk of the download."""
    body, spellings = folder / "body.jsonl", spellings_of(contract)
    chunks = itertools.chain((head,), download.chunks)
    rows_in = write_lines(download.name, chunks, body, lambda name: find_column(spellings, name) is not None)
    names = [column.name for column in contract.delivered_columns]
    return ReceivedFile(
        download.landed,
        download.content(),
        body,
        rows_in,
        columns=[*names],
        header=names,
        is_regular=False,
        spellings=spellings,
        members=MemberNames(),
        lacks_line_end=not _ends_in_line_feed(body),
    )


def _ends_in_line_feed(body: Path) -> bool:
    """Return whether a file is empty or ends in a line feed."""
    with body.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(size - 1, 0))
        return stream.read() in (b"", b"\n")
