"""The spellings by which a contract knows the columns of files."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from waybill.blanks import strip
from waybill.contracts import Contract

_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def normalise(name: str) -> str:
    """A header field as it is compared: lower case, runs of blanks, hyphens, dots and underscores as one underscore."""
    return re.sub(r"[\s\-_.]+", "_", strip(name).casefold())


def spellings_of(contract: Contract) -> dict[str, str]:
    """The contract's column for each normalised spelling of its name and synonyms."""
    return {
        normalise(spelling): column.name
        for column in contract.delivered_columns
        for spelling in (*column.spellings, column.name)
    }


def find_column(spellings: Mapping[str, str], name: str) -> str | None:
    """The column that a name stands for, by its normalised spellings; `orderId` is read as `order_id`, too."""
    return spellings.get(normalise(name)) or spellings.get(normalise(_CAMEL_CASE.sub("_", name)))


def knows_more(contract: Contract, ignored: Collection[str], brought: Collection[str] | None) -> bool:
    """Whether the contract knows a column that was unknown when a file was loaded, and that the file lacked.

    Then the file holds values that are not loaded. False if nobody noted what it brought (`brought` is None).
    """
    if not ignored or brought is None:
        return False
    spellings = spellings_of(contract)
    known = {find_column(spellings, name) for name in ignored} - {None}
    return not known <= set(brought)
