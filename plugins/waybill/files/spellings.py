"""Match the names of columns in files with the columns of a contract."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest

from waybill.blanks import strip
from waybill.contracts import Contract

_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def normalise(name: str) -> str:
    """Return a name in lower case, with each run of blanks, hyphens, dots and underscores as one underscore."""
    return re.sub(r"[\s\-_.]+", "_", strip(name).casefold())


def spellings_of(contract: Contract) -> dict[str, str]:
    """Return the contract's column for each normalised name and synonym."""
    return {
        normalise(spelling): column.name
        for column in contract.delivered_columns
        for spelling in (*column.spellings, column.name)
    }


def joined_header(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the header that several lines of names make up together."""
    return [" ".join(filter(None, map(strip, names))) for names in zip_longest(*lines, fillvalue="")]


def find_column(spellings: Mapping[str, str], name: str) -> str | None:
    """Return the column of a name, or None; `orderId` also matches `order_id`."""
    return spellings.get(normalise(name)) or spellings.get(normalise(_CAMEL_CASE.sub("_", name)))


def knows_more(contract: Contract, ignored: Collection[str], brought: Collection[str] | None) -> bool:
    """Return whether the contract now has a column for a name that was unknown when a file was loaded.

    Then the file has values that were not loaded. False if its columns were not recorded (`brought` is None).
    """
    if not ignored or brought is None:
        return False
    spellings = spellings_of(contract)
    known = {find_column(spellings, name) for name in ignored} - {None}
    return not known <= set(brought)
