"""Texts that a spreadsheet would run as formulas, in CSV files that people open.

Such a text gets an apostrophe in front, which spreadsheets take for "this is text". So does a text of apostrophes and
such a text: removing one apostrophe always gives the text back.
"""

from __future__ import annotations

import re
from typing import Final

from psycopg import sql

from waybill.contracts import Column, Contract
from waybill.contracts.classification import RESTRICTED

_FORMULA: Final = "^'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""The last four are the first ones in full width, which some spreadsheets take alike."""
_IS_NEUTRALISED = re.compile(f"'{_FORMULA.removeprefix('^')}")


def may_be_formula(contract: Contract) -> bool:
    """Whether a column of the contract can hold a formula: text of others, not numbers, dates or pseudonyms."""
    return any(_is_free_text(column) for column in contract.columns)


def neutralised(column: Column) -> sql.Composable:
    """The column for a select list, with an apostrophe before what a spreadsheet would run."""
    name = sql.Identifier(column.name)
    if not _is_free_text(column):
        return name
    return sql.SQL("case when {0} ~ {1} then '''' || {0} else {0} end as {0}").format(name, sql.Literal(_FORMULA))


def restored(text: str) -> str:
    """The text that `neutralised` wrote, as it was."""
    return text[1:] if _IS_NEUTRALISED.match(text) else text


def _is_free_text(column: Column) -> bool:
    return column.physical_type == "text" and column.classification != RESTRICTED
