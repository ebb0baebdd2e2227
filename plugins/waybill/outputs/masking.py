"""Replace restricted columns by pseudonyms in the queries that export them.

A pseudonym is the HMAC-SHA256 (RFC 2104) of the value's text, truncated to 128 bits, in hexadecimal. Equal values have
equal pseudonyms, so tables can be joined on them. Without the key, nobody can compute or guess the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.contracts.classification import RESTRICTED
from waybill.settings import SettingsError, settings
from waybill.warehouse.pseudonyms import CHARACTERS, padded_keys

# PostgreSQL includes SHA-256, but HMAC would need an extension. The padded keys are settings of the transaction, so
# that no log and no list of sessions shows them as part of a statement.
_PSEUDONYM = """left(encode(sha256(
  decode(current_setting('waybill.mask_outer'), 'hex')
  || sha256(decode(current_setting('waybill.mask_inner'), 'hex') || convert_to({}::text, 'UTF8'))
), 'hex'), {})"""


def masked_columns(contract: Contract) -> list[Column]:
    """Return the columns of a contract as they are exported: restricted columns become text."""
    return [
        replace(column, physical_type="text") if column.classification == RESTRICTED else column
        for column in contract.columns
    ]


def _identifier(column: Column) -> sql.Composable:
    return sql.Identifier(column.name)


def masked_select(contract: Contract, written: Callable[[Column], sql.Composable] = _identifier) -> sql.Composed:
    """Return the columns of a contract for a select list, restricted columns as pseudonyms. Call `use_key` first.

    `written` returns the expression for a column that is not restricted.
    """
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(pseudonym_sql(sql.Identifier(column.name)), sql.Identifier(column.name))
        if column.classification == RESTRICTED
        else written(column)
        for column in contract.columns
    )


def pseudonym_sql(value: sql.Composable) -> sql.Composed:
    """Return the expression for the pseudonym of a value; null for null. Call `use_key` first."""
    return sql.SQL(_PSEUDONYM).format(value, sql.Literal(CHARACTERS))


def use_key(connection: Connection, contract: Contract) -> None:
    """Set the key for `masked_select` in the open transaction, if the contract has restricted columns.

    Raises `SettingsError` if the key is missing, so that nothing is exported unmasked.
    """
    restricted = [column.name for column in contract.columns if column.classification == RESTRICTED]
    if not restricted:
        return
    key = settings().mask_key
    if key is None:
        raise SettingsError(
            f"WAYBILL_MASK_KEY is not set. {contract.table} has restricted columns ({', '.join(restricted)}), which "
            "are exported only as pseudonyms. Set it to a random text of at least 32 characters."
        )
    inner, outer = (padded.hex() for padded in padded_keys(key.get_secret_value().encode()))
    connection.execute(
        "select set_config('waybill.mask_inner', %s, true), set_config('waybill.mask_outer', %s, true)", (inner, outer)
    )
