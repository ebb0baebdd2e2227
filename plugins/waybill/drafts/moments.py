"""Find the patterns in which a column writes dates and times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from waybill.contracts.date_patterns import ISO

Order = Literal["day first", "month first"]
Parts = dict[str, str]
ORDERS: Final[tuple[Order, Order]] = ("day first", "month first")
_MOST_FORMS: Final = 8

_DATES: Final = (
    r"(?P<y>[0-9]{4})(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P=s)(?P<d>[0-9]{1,2})",
    r"(?P<first>[0-9]{1,2})(?P<s>[-/.])(?P<second>[0-9]{1,2})(?P=s)(?P<y>[0-9]{4}|[0-9]{2})",
    r"(?P<d>[0-9]{1,2})(?P<s>\. |[-/ .]?)(?P<name>[A-Za-z]{3,9})(?P<t>\. |[-/ .]?)(?P<y>[0-9]{4}|[0-9]{2})",
    r"(?P<front>[A-Za-z]{3,9})(?P<s> )(?P<d>[0-9]{1,2})(?P<t>,? )(?P<y>[0-9]{4})",
)
_GAP: Final = "(?P<gap>T|,? )"
_CLOCK: Final = (
    r"(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:(?P<point>[.,])(?P<f>[0-9]{1,9}))?)?"
    r"(?P<half> ?[AaPp][Mm])?(?P<space> ?)(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_NUMBERS: Final = ("d", "m", "first", "second", "H")
_QUOTED_T: Final = "'T'"
_ISO_CLOCK: Final = re.compile(r"(HH:mm(:ss([.]S+)?)?X*)?")
_FORMS: Final = (*(re.compile(f"{day}(?:{_GAP}{_CLOCK})?") for day in _DATES), re.compile(_CLOCK))


@dataclass(frozen=True)
class Moments:
    """The type of dates or times, and the forms in which they are written."""

    kind: str
    """The physical type."""
    forms: tuple[str, ...]
    """Patterns, and the word for ISO 8601."""
    has_order: bool
    """Whether day and month could come in the other order."""
    has_short_years: bool
    has_offsets: bool
    """Whether each text has an offset."""


def moments_of(texts: Sequence[str], order: Order) -> Moments | None:
    """Return how texts write dates or times, with day and month in an order; None if they are no dates or times.

    A few texts of another form are ignored.
    """
    found = [parts for parts in map(_parts_of, texts) if parts]
    kinds = {("H" in parts, "y" in parts) for parts in found}
    if not found or len(found) * 10 < len(texts) * 9 or len(kinds) != 1:
        return None
    [(has_clock, has_day)] = kinds
    zones = ["zone" in parts for parts in found]
    kind = "date" if not has_clock else "time" if not has_day else "timestamptz" if any(zones) else "timestamp"
    if kind == "time" and any(zones):
        return None
    short = {name for parts in found for name in _NUMBERS if len(parts.get(name, "00")) == 1}
    forms = {_pattern(parts, order, short) for parts in found}
    if len(forms) > _MOST_FORMS:
        return None
    return Moments(
        kind,
        tuple(sorted(forms, key=lambda form: (form != ISO, len(form), form))),
        has_order=any("first" in parts and parts["s"] != "." for parts in found),
        has_short_years=any(len(parts.get("y", "")) == 2 for parts in found),
        has_offsets=all(zones),
    )


def _parts_of(text: str) -> Parts:
    """Return the parts of a date or time; none for another text."""
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    return {name: part for name, part in match.groupdict().items() if part} if match else {}


def _pattern(parts: Parts, order: Order, short: set[str]) -> str:
    """Return the pattern of a date or time; `short` are the parts that have one digit in some texts."""
    day, clock, gap = _day(parts, order, short), _clock(parts, short), parts.get("gap", "")
    if day in ("", "yyyy-MM-dd") and gap != ", " and _ISO_CLOCK.fullmatch(clock):
        return ISO
    return f"{day}{_QUOTED_T if gap == 'T' else gap}{clock}"


def _day(parts: Parts, order: Order, short: set[str]) -> str:
    if "y" not in parts:
        return ""
    s, t, year = parts.get("s", ""), parts.get("t", ""), "y" * len(parts["y"])

    def one_or_two(letter: str, part: str) -> str:
        return letter if part in short else 2 * letter

    if name := parts.get("name") or parts.get("front"):
        month, day = ("MMM" if len(name) == 3 else "MMMM"), one_or_two("d", "d")
        return f"{month}{s}{day}{t}{year}" if "front" in parts else f"{day}{s}{month}{t}{year}"
    if "first" in parts:
        letters = "dM" if order == "day first" or s == "." else "Md"
        return f"{one_or_two(letters[0], 'first')}{s}{one_or_two(letters[1], 'second')}{s}{year}"
    return f"{year}{s}{one_or_two('M', 'm')}{s}{one_or_two('d', 'd')}"


def _clock(parts: Parts, short: set[str]) -> str:
    if "H" not in parts:
        return ""
    hour = ("h" if "half" in parts else "H") * (1 if "H" in short else 2)
    seconds = ":ss" * ("S" in parts) + parts.get("point", "") + "S" * len(parts.get("f", ""))
    half = {"": "", " ": " a"}.get(parts.get("half", "")[:1], "a")
    zone = parts.get("zone", "")
    offset = "" if not zone else "XXX" if zone == "Z" or ":" in zone else "XX" if len(zone) == len("+0200") else "X"
    return f"{hour}:mm{seconds}{half}{parts.get('space', '') if zone else ''}{offset}"
