"""Recognise the personal data in a column, by its name and its values. Nothing of the values is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from waybill.personal.forms import FORMS, IP_ADDRESS, Form
from waybill.personal.names import NAMED, NO_ADDRESSES, Named

if TYPE_CHECKING:
    import pyarrow as pa

MOST: Final = 0.8
"""The share of the values of a column, and of the candidates in texts, that must be personal."""
SAMPLE_VALUES: Final = 100_000
"""How many different values of a column are searched for candidates."""
LIKELY_VALUES: Final = 10_000
"""How many of these, of the values that may have a candidate of any form, are searched for each form."""
CANDIDATES: Final = 1_000
"""How many of these, of the values that may have a candidate of a form, are judged."""
CHARACTERS: Final = 4_000
"""How many characters of a value are looked at."""
_NAMED_VALUES: Final = 200
"""How many values must not contradict the name of their column."""

Where = Literal["name", "values", "text"]
"""What looks personal: the name of the column and its values, whole values, or parts of longer texts."""


@dataclass(frozen=True)
class Evidence:
    """Why a column looks personal."""

    kind: str
    where: Where
    hits: int
    """How many of the different values of the sample are, or have, personal data."""
    values: int
    """How many different values the sample has."""

    @property
    def doubt(self) -> str:
        """Return a sentence for a contract that a person must read."""
        if self.where == "text":
            return f"{self.hits:,} of {self.values:,} different values have {self.kind} in them"
        return f"the column looks like {self.kind}"

    def __str__(self) -> str:
        if self.where == "name":
            return f"{self.kind}, by its name"
        return f"{self.kind} in {self.hits:,} of {self.values:,} different values"


def named_kind(names: Iterable[str]) -> str | None:
    """Return what a column holds by its names alone; None if they say nothing."""
    found = _named(names)
    return found.kind if found else None


def _named(names: Iterable[str]) -> Named | None:
    names = [*names]
    return next((one for one in NAMED if any(map(one.name.fullmatch, names))), None)


def recognise(names: Sequence[str], values: pa.Array | pa.ChunkedArray) -> list[Evidence]:
    """Return the kinds of personal data of a column with names and different texts, the surest first.

    The sample of values depends on nothing but their number and order.
    """
    import pyarrow.compute as pc

    sample = pc.utf8_slice_codeunits(_spread(values.drop_null(), SAMPLE_VALUES), 0, CHARACTERS)
    if not len(sample):
        return []
    found: dict[str, Evidence] = {}
    for form, hits, is_whole in _found(sample, has_addresses=not any(map(NO_ADDRESSES.fullmatch, names))):
        known = found.get(form.kind)
        if known is None or hits > known.hits:
            found[form.kind] = Evidence(form.kind, "values" if is_whole else "text", hits, len(sample))
    whole = [one for one in found.values() if one.where == "values"]
    if whole:  # a part of such a value, such as a number in an e-mail address, is nothing else
        return [max(whole, key=lambda one: one.hits)]
    named = _named(names)
    if named and named.kind not in found:
        some = _spread(sample, _NAMED_VALUES).to_pylist()
        fitting = sum(named.fits(text.strip()) is not None for text in some)
        if fitting >= MOST * len(some):
            found[named.kind] = Evidence(named.kind, "name", round(fitting / len(some) * len(sample)), len(sample))
    return [*found.values()]


def _found(sample: pa.Array, *, has_addresses: bool) -> Iterator[tuple[Form, int, bool]]:
    """Yield each form that the sample has, the number of its values, and whether these are most values, as a whole."""
    import pyarrow.compute as pc

    likely = sample.filter(pc.match_substring_regex(sample, _any_hint()))
    if not len(likely):
        return
    every, likely = len(likely), _spread(likely, LIKELY_VALUES)
    for form in FORMS:
        if form.kind == IP_ADDRESS and not has_addresses:
            continue
        some = likely.filter(pc.match_substring_regex(likely, form.hint))
        judged = [_judge(form, text) for text in _spread(some, CANDIDATES).to_pylist()]
        candidates, hits, wholes = (sum(column) for column in zip((0, 0, 0), *judged, strict=True))
        if not hits or hits < MOST * candidates:
            continue
        unseen = every / len(likely) * len(some) / len(judged)
        within = hits if form.counts_alone else hits - wholes
        if wholes >= form.least and wholes * unseen >= MOST * len(sample):
            yield form, round(wholes * unseen), True
        elif form.inside is not None and within >= form.inside:
            yield form, round(within * unseen), False


def _judge(form: Form, text: str) -> tuple[bool, bool, bool]:
    """Return whether a text has a candidate, whether one is accepted, and whether that is the whole text."""
    is_candidate, text = False, text.strip()
    # Only whole values count for some forms: the others in a long text are not looked for.
    whole = form.regex.fullmatch(text)
    matches = [whole] if whole else form.regex.finditer(text) if form.inside is not None else ()
    for match in matches:
        verdict = form.accepts(match[0])
        if verdict:
            return True, True, match[0] == text
        is_candidate |= verdict is False
    return is_candidate, False, False


def _spread(values: pa.Array, most: int) -> pa.Array:
    """Return values, or so many of them that are evenly spread."""
    import pyarrow as pa

    if len(values) <= most:
        return values
    return values.take(pa.array([place * len(values) // most for place in range(most)], pa.int64()))


@cache
def _any_hint() -> str:
    return "|".join(sorted({f"(?:{form.hint})" for form in FORMS}))
