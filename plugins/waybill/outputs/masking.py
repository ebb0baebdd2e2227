"""Restricted columns leave the warehouse as pseudonyms only: made here, in the query that reads them.

A pseudonym is the HMAC-SHA256 (RFC 2104) of the value's text, cut to 128 bits, as hexadecimal. Equal values
have equal pseudonyms, so tables join by them; without the key nobody can tell, or test, whom one stands for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.contracts.classification import RESTRICTED
from waybill.settings import SettingsError, settings

CHARACTERS: Final = 32
_BLOCK_BYTES = 64  # of SHA-256
# PostgreSQL has SHA-256 built in; HMAC would need an extension. The padded keys are settings of the transaction,
# so that they stand in no statement that a log or a list of sessions shows.
_PSEUDONYM = """left(encode(sha256(
  decode(current_setting('waybill.mask_outer'), 'hex')
  || sha256(decode(current_setting('waybill.mask_inner'), 'hex') || convert_to({}::text, 'UTF8'))
), 'hex'), {}) as {}"""


def masked_columns(contract: Contract) -> list[Column]:
    """The contract's columns as they leave the warehouse: a restricted one is text, whatever it was."""
    return [
        replace(column, physical_type="text") if column.classification == RESTRICTED else column
        for column in contract.columns
    ]


def _as_it_is(column: Column) -> sql.Composable:
    return sql.Identifier(column.name)


def masked_select(contract: Contract, written: Callable[[Column], sql.Composable] = _as_it_is) -> sql.Composed:
    """The contract's columns for a select list, restricted ones as pseudonyms; `use_key` comes first.

    `written` gives the item for a column that is not restricted.
    """
    return sql.SQL(", ").join(
        sql.SQL(_PSEUDONYM).format(sql.Identifier(column.name), sql.Literal(CHARACTERS), sql.Identifier(column.name))
        if column.classification == RESTRICTED
        else written(column)
        for column in contract.columns
    )


def use_key(connection: Connection, contract: Contract) -> None:
    """Give the open transaction the key that `masked_select` needs, if the contract restricts a column.

    Raises `SettingsError` if there is no key: nothing leaves unmasked.
    """
    restricted = [column.name for column in contract.columns if column.classification == RESTRICTED]
    if not restricted:
        return
    key = settings().mask_key
    if key is None:
        raise SettingsError(
            f"WAYBILL_MASK_KEY is not set, and {contract.table} has restricted columns ({', '.join(restricted)}) "
            f"that leave the warehouse only as pseudonyms; set it to a random text of at least 32 characters"
        )
    block = key.get_secret_value().encode()
    if len(block) > _BLOCK_BYTES:
        block = hashlib.sha256(block).digest()
    block = block.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in block).hex() for pad in (0x36, 0x5C))
    connection.execute(
        "select set_config('waybill.mask_inner', %s, true), set_config('waybill.mask_outer', %s, true)", (inner, outer)
    )
