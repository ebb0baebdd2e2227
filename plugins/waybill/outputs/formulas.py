"""Neutralise texts in CSV files that spreadsheets would run as formulas.

Such a text gets an apostrophe in front, which tells spreadsheets that the cell is text. A text of apostrophes followed
by a formula also gets one, so that removing one apostrophe always restores the text.
"""

from __future__ import annotations

import re
from typing import Final

from psycopg import sql

from waybill.contracts import Column, Contract
from waybill.contracts.classification import RESTRICTED

_FORMULA: Final = "^'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""The last four are full-width forms of the first, which some spreadsheets treat alike."""
_IS_NEUTRALISED = re.compile(f"'{_FORMULA.removeprefix('^')}")


def may_be_formula(contract: Contract) -> bool:
    """Return whether a contract has columns of free text, which may contain formulas."""
    return any(_is_free_text(column) for column in contract.columns)


def neutralised(column: Column) -> sql.Composable:
    """Return a column for a select list, with an apostrophe before formulas."""
    name = sql.Identifier(column.name)
    if not _is_free_text(column):
        return name
    return sql.SQL("case when {0} ~ {1} then '''' || {0} else {0} end as {0}").format(name, sql.Literal(_FORMULA))


def restored(text: str) -> str:
    """Return the original of a text that `neutralised` wrote."""
    return text[1:] if _IS_NEUTRALISED.match(text) else text


def _is_free_text(column: Column) -> bool:
    """Return whether a column may have any text: neither pseudonyms nor values of a list that has no formula."""
    if column.physical_type != "text" or column.classification == RESTRICTED:
        return False
    return not column.enum or any(re.match(_FORMULA, str(value)) for value in column.enum)
