"""Derive the names of columns from the headers of files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from waybill.blanks import strip
from waybill.contracts.contract import SYSTEM_COLUMNS
from waybill.errors import DataError
from waybill.files.spellings import find_column, normalise

MOST_CHARACTERS: Final = 50
"""PostgreSQL has 63; the rest is for the suffixes of histories and indexes."""
_LETTERS: Final = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l", "đ": "d"}
_SIGNS: Final = {
    "%": " percent ",
    "€": " eur ",
    "$": " usd ",
    "£": " gbp ",
    "#": " number ",
    "№": " number ",
    "&": " and ",
}
IDENTIFIER: Final = re.compile(
    r"(?:.*_)?(?:(?:account|article|client|contract|customer|device|document|employee|event|invoice|item|line|member|order"
    r"|patient|payment|product|record|sample|session|shipment|store|supplier|ticket|transaction|user|vendor)?(?:id|no|nr)"
    r"|uuid|guid|key|sku|ean|isbn|iban|ref|reference|symbol)"
)
"""Names of columns that identify something. Names in capitals do not show where words end, as in PRODUCTID."""
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def require_identifier(what: str, name: str, most: int = MOST_CHARACTERS) -> None:
    """Raise `DataError` unless `name` is a plain name of a schema or table; `what` stands before it in the message."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or name.endswith("_") or len(name) > most:
        raise DataError(
            f"{what} {name!r} is not a valid name: write up to {most} lower-case letters, digits and underscores, "
            "beginning with a letter and not ending in an underscore"
        )


def identifier_of(header: str) -> str:
    """Return the name of a column in snake case; "" if the header has no Latin letter or digit."""
    text = _CAMEL_CASE.sub(" ", strip(header))
    text = "".join(_LETTERS.get(sign, _SIGNS.get(sign, sign)) for sign in unicodedata.normalize("NFC", text).lower())
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "_", text).strip("_")[:MOST_CHARACTERS].strip("_")


def column_names(headers: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """Return a name for each header: equal ones are numbered, and those without letters are named by their place."""
    used, found = {*taken, *SYSTEM_COLUMNS}, []
    for place, header in enumerate(headers, start=1):
        base = identifier_of(header) or f"column_{place}"
        if not base[0].isalpha():
            base = f"column_{base}"
        name, number = base, 1
        while name in used:
            number += 1
            name = f"{base}_{number}"
        used.add(name)
        found.append(name)
    return found


def synonyms_of(name: str, header: str) -> dict[str, Any]:
    """Return the property with the synonym by which files that write `header` match the column, if it needs one."""
    is_matched = not header or find_column({normalise(name): name}, header) is not None
    return {} if is_matched else {"synonyms": [{"synonym": header}]}


def are_ambiguous(headers: Sequence[str]) -> bool:
    """Return whether files can be read by the order of their columns only: names are empty or match each other."""
    names = [normalise(header) for header in headers]
    return "" in names or len({*names}) < len(names)


def singular_forms(dataset: str) -> Iterator[str]:
    """Yield the words that may name one row of a dataset: `company` for `companies`."""
    yield dataset
    if dataset.endswith("ies"):
        yield f"{dataset[:-3]}y"
    if dataset.endswith("es"):
        yield dataset[:-2]
    yield dataset.removesuffix("s")
