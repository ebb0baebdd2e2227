"""The order of a dataset's files: by period, then by landing, then by name.

If two files have the same key, the row of the later file counts. Python and SQL compare names alike, because the ledger
stores the sortable form of the name.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from psycopg import Connection, sql

from waybill.contracts import Contract
from waybill.warehouse.connection import one_row

_NAME = re.compile(
    r"(.*?)((?:\.(?:csv|tsv|txt|jsonl?|ndjson|parquet|xlsx))?(?:\.(?:gz|bz2|zst|zip))?)", re.IGNORECASE | re.DOTALL
)
_LOWEST = "\x01"
"""Separator of the parts of a sortable name. It sorts before all printable characters."""


def natural_key(object_key: str) -> str:
    """Return a text whose order by code point (or by UTF-8 bytes) is the natural order of object keys.

    Numbers compare by value: `week48 (2)` < `week48 (10)`. Names compare before their suffixes, so that a copy follows
    its original: `week48.csv` < `week48 (1).csv`. Different keys have different texts.
    """
    folder, slash, name = object_key.rpartition("/")
    found = _NAME.fullmatch(name)
    assert found
    return _LOWEST.join([_by_value(folder + slash + found[1]), _by_value(found[2]), object_key])


def _by_value(text: str) -> str:
    """Return the text with the length of each number before its digits, without leading zeros."""

    def number(found: re.Match[str]) -> str:
        digits = found[0].lstrip("0")
        return f"{len(digits):04d}{digits}"

    return re.sub(r"[0-9]+", number, text)


def order_sql(contract: Contract, alias: str, *, descending: bool = False) -> sql.Composed:
    """Return the columns of `waybill.load_file` that order the dataset's files, for `order by` and row comparisons."""
    names = ["period", "name_key"] if contract.file_order == "name" else ["period", "landed_at", "name_key"]
    direction = sql.SQL(" desc" if descending else "")
    return sql.SQL(", ").join(sql.Identifier(alias, name) + direction for name in names)


def place_sql(contract: Contract, start: date, landed_at: datetime, name_key: str) -> sql.Composed:
    """Return the place of a file, which need not be in the ledger, as a row to compare with `(order_sql)`."""
    places = [start, name_key] if contract.file_order == "name" else [start, landed_at, name_key]
    return sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, places)))


def place_of_sql(contract: Contract, file_id: int) -> sql.Composed:
    """Return a subquery for the place of one file of the ledger, to compare with `(order_sql)`."""
    return sql.SQL("(select {order} from waybill.load_file as this where this.file_id = {file_id})").format(
        order=order_sql(contract, "this"), file_id=sql.Literal(file_id)
    )


def comes_before(connection: Connection, contract: Contract, file_id: int, other: int) -> bool:
    """Return whether one file of the ledger comes before another one in the dataset's order."""
    (is_before,) = one_row(
        connection,
        sql.SQL("select ({order}) < {place} from waybill.load_file as f where f.file_id = {file_id}").format(
            order=order_sql(contract, "f"), place=place_of_sql(contract, other), file_id=sql.Literal(file_id)
        ),
    )
    return bool(is_before)
