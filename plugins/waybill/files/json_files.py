"""Receive a JSON file: write its records one per line and count them."""

from __future__ import annotations

import itertools
from pathlib import Path

from waybill.contracts import Contract
from waybill.errors import DataError
from waybill.files.content import Download
from waybill.files.json_members import MemberNames
from waybill.files.json_records import write_lines
from waybill.files.received_file import ReceivedFile
from waybill.files.spellings import spellings_of


def receive_json(download: Download, head: bytes, contract: Contract, folder: Path) -> ReceivedFile:
    """Write the records of a JSON file to `folder`; `head` is the first chunk of the download.

    Raises `DataError` if the contract reads the decimal point of JSON's numbers as another sign.
    """
    if commas := [one.name for one in contract.columns if one.number_format and one.number_format.decimal != "."]:
        raise DataError(
            f"{download.name}: numbers in JSON have a decimal point, but the contract of {contract.table} declares "
            f"another `decimal` for {', '.join(commas)} (numberFormat). Send CSV, or remove it from the contract."
        )
    declared, members = contract.file_format, MemberNames(spellings_of(contract))
    chunks = itertools.chain((head,), download.chunks)
    body = write_lines(download.name, chunks, folder / "body.jsonl", members, declared.record_path, declared.delimiter)
    names = [column.name for column in contract.delivered_columns]
    return ReceivedFile(
        download.landed,
        download.content(),
        body.path,
        body.rows,
        columns=[*names],
        header=names,
        is_regular=False,
        json=(body,),
        file_format=declared,
        members=members,
        lacks_line_end=body.lacks_line_end,
    )
