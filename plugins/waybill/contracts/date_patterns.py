"""Compile the patterns and words that describe dates and times into expressions of DuckDB.

Patterns are those of Java's `DateTimeFormatter`, which the standard prescribes, as far as a text that they describe has
one meaning. The words stand for numbers and for the forms of ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, pairwise, product
from typing import Final, NamedTuple

from waybill.contracts.quoting import literal

YEAR: Final = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
"""The years that Python and PostgreSQL share."""
ISO: Final = "iso_8601"
WORDS: Final = {
    "date": (ISO, "excel"),
    "time": (ISO,),
    "timestamp": (ISO, "excel"),
    "timestamptz": (ISO, "excel", "epoch_seconds", "epoch_milliseconds"),
}
"""The words that are allowed beside patterns, by physical type."""
_ALIASES: Final = {"YYYY-MM-DD": "yyyy-MM-dd", "M/D/YYYY": "M/d/yyyy", "D/M/YYYY": "d/M/yyyy"}
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


class _Field(NamedTuple):
    """What a run of pattern letters stands for."""

    part: str
    """The part of a date or time."""
    form: str
    """The regular expression of its texts."""
    code: str
    """The code in DuckDB's `strptime`."""
    shapes: tuple[str, ...]
    """The layouts of its texts: 9 is a digit, A a letter and + a sign."""


def _names(names: Sequence[str]) -> str:
    return f"(?i:{'|'.join(names)})"


def _offset(colon: str, *, has_minutes: bool) -> str:
    """Return the regular expression of an offset in use, from -12:00 to +14:00."""
    rest, zero = f"(?:{colon}[0-5][0-9])", f"(?:{colon}00)"
    optional = "" if has_minutes else "?"
    return (
        f"(?:[+](?:0[0-9]|1[0-3]){rest}{optional}|[+]14{zero}{optional}"
        f"|-(?:0[0-9]|1[01]){rest}{optional}|-12{zero}{optional})"
    )


_ONE_OR_TWO: Final = ("9", "99")
_FIELDS: Final = {
    "yyyy": _Field("year", YEAR, "%Y", ("9999",)),
    "yy": _Field("short year", "", "%Y", ("99",)),
    "M": _Field("month", "[0-9]{1,2}", "%m", _ONE_OR_TWO),
    "MM": _Field("month", "[0-9]{2}", "%m", ("99",)),
    "MMM": _Field("month", _names([name[:3] for name in _MONTHS]), "%b", ("AAA",)),
    "MMMM": _Field("month", _names(_MONTHS), "%B", tuple("A" * length for length in range(3, 10))),
    "d": _Field("day", "[0-9]{1,2}", "%d", _ONE_OR_TWO),
    "dd": _Field("day", "[0-9]{2}", "%d", ("99",)),
    "H": _Field("hour", "(?:[01]?[0-9]|2[0-3])", "%H", _ONE_OR_TWO),
    "HH": _Field("hour", "(?:[01][0-9]|2[0-3])", "%H", ("99",)),
    "h": _Field("half-day hour", "(?:0?[1-9]|1[0-2])", "%I", _ONE_OR_TWO),
    "hh": _Field("half-day hour", "(?:0[1-9]|1[0-2])", "%I", ("99",)),
    "a": _Field("half of the day", "(?i:am|pm)", "%p", ("AA",)),
    "m": _Field("minute", "[0-5]?[0-9]", "%M", _ONE_OR_TWO),
    "mm": _Field("minute", "[0-5][0-9]", "%M", ("99",)),
    "s": _Field("second", "[0-5]?[0-9]", "%S", _ONE_OR_TWO),
    "ss": _Field("second", "[0-5][0-9]", "%S", ("99",)),
    "X": _Field("offset", _offset("", has_minutes=False), "%z", ("A", "+99", "+9999")),
    "XX": _Field("offset", _offset("", has_minutes=True), "%z", ("A", "+9999")),
    "XXX": _Field("offset", _offset(":", has_minutes=True), "%z", ("A", "+99:99")),
    "x": _Field("offset", _offset("", has_minutes=False), "%z", ("+99", "+9999")),
    "xx": _Field("offset", _offset("", has_minutes=True), "%z", ("+9999",)),
    "xxx": _Field("offset", _offset(":", has_minutes=True), "%z", ("+99:99",)),
    "Z": _Field("offset", _offset("", has_minutes=True), "%z", ("+9999",)),
}
_FRACTIONS: Final = {
    "S" * digits: _Field(
        "fraction",
        f"[0-9]{{{min(digits, 6)}}}" + "0" * (digits - 6),  # a value has microseconds
        "%f" if digits <= 6 else "%n",
        ("9" * digits,),
    )
    for digits in range(1, 10)
}
_SUPPORTED: Final = {**_FIELDS, **_FRACTIONS}
_LETTERS: Final = "yuMdHhmsSaXxZ"


_DAY_MILLISECONDS: Final = 86_400_000
_FIRST_GROUP: Final = r"\1"


class PatternError(ValueError):
    """A pattern is not supported. The message says why, after the pattern."""


class Reading(NamedTuple):
    """One way in which a column reads a text."""

    form: str
    """The regular expression of the whole text."""
    value: str
    """The expression of its value: null if there is no such date."""
    is_local: bool = False
    """Whether the value is a timestamp without an offset, in the time zone of the sender."""


_RUN: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|(.)", re.DOTALL)
"""Matches a quoted text, a run of one letter, or another character."""


@lru_cache(maxsize=512)
def _pieces(form: str) -> tuple[str | _Field, ...]:
    """Return the fields of a pattern and the texts between them. Raises `PatternError`."""
    found: list[str | _Field] = []
    for run in _RUN.finditer(_ALIASES.get(form, form)):
        quoted, letter, other = run.groups()
        if letter:
            name = run[0].replace("u", "y")
            if name not in _SUPPORTED:
                raise PatternError(_unsupported(run[0]))
            found.append(_SUPPORTED[name])
        elif other is not None:
            if other in "'[]{}#":
                raise PatternError(
                    "has a quote that is not closed"
                    if other == "'"
                    else f"has {other!r}, which is not supported outside quotes. For optional parts list two patterns."
                )
            found.append(other)
        else:
            found.append((quoted or "").replace("''", "'") or "'")
    _check(found)
    return tuple(found)


def _unsupported(run: str) -> str:
    instead = {"Y": " Write y for the year.", "D": " Write d for the day of the month.", "n": " Write S for fractions."}
    what = run if run[0] in _LETTERS else f"the letter {run[0]}"
    return (
        f"has {what}, which is not supported.{instead.get(run[0], '')} Supported are yyyy, yy, MMMM, MMM, MM, M, dd, "
        "d, HH, H, hh, h, mm, m, ss, s, S to SSSSSSSSS, a, XXX, XX, X, xxx, xx, x and Z. Other letters stand in quotes."
    )


def _check(pieces: Sequence[str | _Field]) -> None:
    parts = [piece.part for piece in pieces if isinstance(piece, _Field)]
    for part in parts:
        if parts.count(part) > 1:
            raise PatternError(f"has the {part} twice")
    for first, second in pairwise(pieces):
        if isinstance(first, _Field) and len(first.shapes) > 1 and first.shapes[0][0] in "9A":
            follows = second if isinstance(second, str) else second.shapes[0]
            is_open = follows[:1].isalnum() if first.shapes[0][0] == "A" else follows[:1].isdigit()
            if is_open:
                raise PatternError(f"does not separate the {first.part}, whose length varies, from what follows")


def parts(form: str) -> set[str]:
    """Return the parts of a date or time that a pattern has; none for a word. Raises `PatternError`."""
    return set() if _is_word(form) else {piece.part for piece in _pieces(form) if isinstance(piece, _Field)}


def is_iso(form: str) -> bool:
    """Return whether a form is the one of ISO 8601 that columns have by default."""
    return form == ISO or _ALIASES.get(form, form) == "yyyy-MM-dd"


def _is_word(form: str) -> bool:
    return any(form in words for words in WORDS.values())


# --- values -------------------------------------------------------------------------------------------------------


def readings(form: str, text: str, kind: str, first_year: int | None) -> Iterator[Reading]:
    """Yield how a column of the physical type `kind` reads an expression `text` in a form other than ISO 8601.

    `first_year` is the first of the hundred years of two-digit years.
    """
    if form == "excel":
        yield _serial(text, kind)
    elif form == "epoch_seconds":
        yield Reading("-?[0-9]{1,12}([.][0-9]{1,6}0*)?", _epoch(text, 6))
    elif form == "epoch_milliseconds":
        yield Reading("-?[0-9]{1,15}([.][0-9]{1,3}0*)?", _epoch(text, 3))
    else:
        pieces = _pieces(form)
        centuries = _centuries(first_year) if "short year" in parts(form) else [("", "")]
        zulus = [False, True] if any(_allows_zulu(piece) for piece in pieces) else [False]
        for (century, years), is_zulu in product(centuries, zulus):
            yield _reading(pieces, text, kind, century, years, is_zulu=is_zulu)


def _allows_zulu(piece: str | _Field) -> bool:
    return isinstance(piece, _Field) and "A" in piece.shapes


def _centuries(first_year: int | None) -> list[tuple[str, str]]:
    """Return the one or two centuries of two-digit years, each with the regular expression of its years."""
    assert first_year is not None
    century, start = divmod(first_year, 100)
    years = [f"{year:02d}" for year in range(100)]
    found = [(f"{century:02d}", "|".join(years[start:])), (f"{century + 1:02d}", "|".join(years[:start]))]
    return [(one, f"(?:{listed})") for one, listed in found if listed]


def _reading(
    pieces: Sequence[str | _Field], text: str, kind: str, century: str, years: str, *, is_zulu: bool
) -> Reading:
    form, code, before, has_offset = "", "", None, False
    for piece in pieces:
        if isinstance(piece, str) or (is_zulu and piece.part == "offset"):
            fixed = piece if isinstance(piece, str) else "Z"
            form += re.escape(fixed)
            code += fixed.replace("%", "%%")
        else:
            if piece.part == "short year":
                before = form
            has_offset = has_offset or piece.part == "offset"
            form += years if piece.part == "short year" else piece.form
            code += piece.code
    if before is not None:  # the year becomes one of four digits
        text = f"regexp_replace({text}, {literal(f'^({before})')}, {literal(_FIRST_GROUP + century)})"
    value = f"try_strptime({text}, {literal(code)})"
    if kind in ("date", "time"):
        return Reading(form, f"{value}::{kind}")
    if has_offset:
        return Reading(form, value)
    if "%n" in code:
        value += "::timestamp"
    return Reading(form, f"{value}::timestamptz") if is_zulu else Reading(form, value, is_local=True)


def _serial(text: str, kind: str) -> Reading:
    """Return how a serial of Excel's 1900 system is read: 1 is 1 January 1900, and 60 does not exist.

    Excel takes 1900 as a leap year and calls its 29 February 60. A fraction is a time of day, rounded to milliseconds.
    """
    day = f"try_cast({_part(text, 1)} as integer)"
    origin = f"case when {day} < 60 then date '1899-12-31' when {day} > 60 then date '1899-12-30' end"
    if kind == "date":
        return Reading("[1-9][0-9]{0,6}", f"case when {day} <= 2958465 then {origin} + {day} end")
    # Digits beyond the eleventh are less than a microsecond. DuckDB casts to bigint much faster than to wide decimals.
    fraction = f"try_cast(rpad({_part(text, 2)}, 11, '0') as bigint)"
    elapsed = f"({fraction} * {_DAY_MILLISECONDS} + {10**11 // 2}) // {10**11}"
    value = f"case when {day} <= 2958465 then ({origin} + {day})::timestamp + to_milliseconds({elapsed}) end"
    return Reading("[1-9][0-9]{0,6}([.][0-9]{1,17})?", value, is_local=True)


def _epoch(text: str, places: int) -> str:
    """Return the instant of a number whose fraction, down to microseconds, has at most that many places."""
    return f"make_timestamptz(try_cast({_part(text, 1)} || rpad({_part(text, 2)}, {places}, '0') as bigint))"


def _part(text: str, number: int) -> str:
    return f"split_part({text}, '.', {number})"


# --- texts of values ----------------------------------------------------------------------------------------------

_POSTGRES: Final = {
    "%Y": "YYYY",
    "%b": "Mon",
    "%B": "FMMonth",
    "%p": "AM",
    "%m": "MM",
    "%d": "DD",
    "%H": "HH24",
    "%I": "HH12",
    "%M": "MI",
    "%S": "SS",
}
"""The patterns of PostgreSQL's `to_char` for the codes of `strptime`."""


def most_exact(forms: Sequence[str]) -> str:
    """Return the form that writes the most parts of a value."""
    return max(forms, key=lambda form: (is_iso(form), not _is_word(form), len(parts(form)), len(form)))


def postgres_pattern(form: str) -> str | None:
    """Return the pattern with which PostgreSQL's `to_char` writes a value in UTC; None if the form is a word."""
    if _is_word(form):
        return None
    return "".join(map(_postgres_piece, _pieces(form)))


def _postgres_piece(piece: str | _Field) -> str:
    if isinstance(piece, str):
        return '"' + re.sub(r'(["\\\\])', r"\\\1", piece) + '"'
    shape = piece.shapes[0]
    if piece.part == "fraction":
        return f"FF{min(len(shape), 6)}" + '"0"' * (len(shape) - 6)
    if piece.part == "offset":
        return f'"{piece.shapes[-1].replace("9", "0") if shape != "A" else "Z"}"'
    if piece.part == "short year":
        return "YY"
    return ("FM" if shape == "9" else "") + _POSTGRES[piece.code]


# --- day and month ------------------------------------------------------------------------------------------------


def swapped(form: str) -> str | None:
    """Return the pattern with day and month in the other order; None if nobody confuses them.

    Month names cannot be confused, and neither can year, month and day in this order.
    """
    if _is_word(form):
        return None
    pattern = _ALIASES.get(form, form)
    runs = {run[2]: run for run in _RUN.finditer(pattern.replace("u", "y")) if run[2]}
    if not {"M", "d"} <= runs.keys() or len(runs["M"][0]) > len("MM"):
        return None
    if "y" in runs and runs["y"].start() < runs["M"].start() < runs["d"].start():
        return None
    other = [*pattern]
    for letter, run in (("M", runs["d"]), ("d", runs["M"])):
        other[run.start() : run.end()] = letter * len(run[0])
    found = "".join(other)
    return next((alias for alias, meant in _ALIASES.items() if form in _ALIASES and meant == found), found)


# --- problems of a list of forms ----------------------------------------------------------------------------------

_DATE_PARTS: Final = {"year", "month", "day"}
_TIME_PARTS: Final = {"hour", "minute", "second", "fraction"}
_BEFORE: Final = {"second": "minute", "fraction": "second", "minute": "hour"}
"""The part that another one needs."""


def problems(forms: Sequence[str], kind: str, *, has_first_year: bool, needs_offset: bool) -> Iterator[str]:
    """Yield what is wrong with the forms of a column of the physical type `kind`."""
    usable, has_short_years = [], False
    for form in forms:
        if _is_word(form):
            if form not in WORDS[kind]:
                yield f"{form!r} is not allowed for the type {kind}: allowed are patterns, {', '.join(WORDS[kind])}"
            continue
        try:
            found = parts(form)
        except PatternError as error:
            yield f"the pattern {form!r} {error}"
            continue
        has_short_years = has_short_years or "short year" in found
        if why := _unfit(found, kind, needs_offset=needs_offset):
            yield f"the pattern {form!r} {why}"
        else:
            usable.append(form)
    if has_short_years and not has_first_year:
        yield (
            "the year yy needs the custom property `pivotYear`, the first of the hundred years that it may mean, like "
            "1970 for 1970 to 2069"
        )
    if has_first_year and not has_short_years:
        yield "`pivotYear` has no effect without a pattern with the year yy: remove it"
    usable += [form for form in forms if form in WORDS[kind]]
    for first, second in combinations(usable, 2):
        if _contradict(first, second, kind):
            yield f"{first!r} and {second!r} read the same text differently: declare one of them"


def _unfit(found: set[str], kind: str, *, needs_offset: bool) -> str | None:
    """Return why a pattern with these parts does not describe a type; None if it does."""
    whole = {part.removeprefix("short ") for part in found}
    if ("half-day hour" in whole) != ("half of the day" in whole):
        return "needs both h and a for an hour from 1 to 12; H is an hour from 0 to 23"
    if "half-day hour" in whole:
        if "hour" in whole:
            return "has two hours, H and h"
        whole = whole - {"half-day hour", "half of the day"} | {"hour"}
    needed = (_DATE_PARTS if kind != "time" else set()) | ({"hour"} if kind != "date" else set())
    needed |= {_BEFORE[part] for part in whole & _BEFORE.keys() if kind != "date"} | (
        {"offset"} if needs_offset else set()
    )
    if lacking := sorted(needed - whole):
        return f"lacks the {' and the '.join(lacking)} that a {kind} needs"
    allowed = {
        "date": _DATE_PARTS,
        "time": _TIME_PARTS,
        "timestamp": _DATE_PARTS | _TIME_PARTS,
        "timestamptz": _DATE_PARTS | _TIME_PARTS | {"offset"},
    }
    if surplus := sorted(whole - allowed[kind]):
        return (
            f"has the {' and the '.join(surplus)}, which a {kind} does not keep. Write parts that never vary in "
            "quotes, like '00:00:00', or choose another type"
        )
    return None


_Shape = tuple[tuple[str, str], ...]
"""The characters of a text, each with its class and with the part and place that it stands for."""


def _contradict(first: str, second: str, kind: str) -> bool:
    """Return whether a text exists that both forms describe and read differently. The ranges of parts do not count."""
    by_length: dict[int, list[_Shape]] = {}
    for shape in _shapes(first, kind):
        by_length.setdefault(len(shape), []).append(shape)
    return any(
        all(_overlap(one, other) for (one, _), (other, _) in zip(mine, theirs, strict=True))
        and [meaning for _, meaning in mine] != [meaning for _, meaning in theirs]
        for theirs in _shapes(second, kind)
        for mine in by_length.get(len(theirs), [])
    )


def _overlap(one: str, other: str) -> bool:
    """Return whether two classes of characters have one in common: 9 digits, A letters, + signs, else itself quoted."""
    if len(one) == len(other):
        return one.lower() == other.lower()
    short, quoted = sorted((one, other), key=len)
    character = quoted[1]
    return {"9": character.isdigit(), "A": character.isalpha(), "+": character in "+-"}[short]


def _shapes(form: str, kind: str) -> Iterator[_Shape]:
    if form == ISO:
        for pattern in _iso_patterns(kind):
            yield from _shapes(pattern, kind)
        return
    digits = {"excel": (7, 17), "epoch_seconds": (12, 9), "epoch_milliseconds": (15, 9)}.get(form)
    if digits is None:
        yield from _shapes_of_pattern(form)
        return
    for sign, length, places in product(("", "-"), range(1, digits[0] + 1), range(digits[1] + 1)):
        if not (sign and form == "excel") and not (places and kind == "date"):
            text = [f"'{one}" for one in sign] + ["9"] * length + ["'."] * (places > 0) + ["9"] * places
            yield tuple((character, form) for character in text)


def _shapes_of_pattern(form: str) -> Iterator[_Shape]:
    options: list[tuple[_Shape, ...]] = []
    for piece in _pieces(form):
        if isinstance(piece, str):
            options.append((tuple((f"'{character}", "") for character in piece),))
        else:
            options.append(
                tuple(
                    tuple(
                        (one if one in "9A+" else f"'{one}", f"{piece.part} {place}") for place, one in enumerate(shape)
                    )
                    for shape in piece.shapes
                )
            )
    for chosen in product(*options):
        yield tuple(character for shape in chosen for character in shape)


def _iso_patterns(kind: str) -> Iterator[str]:
    """Yield patterns that together describe the texts of ISO 8601 that a type accepts."""
    if kind == "date":
        yield "yyyy-MM-dd"
        return
    clocks = ["HH:mm", "HH:mm:ss", *(f"HH:mm:ss.{'S' * digits}" for digits in range(1, 10))]
    days = ("",) if kind == "time" else ("yyyy-MM-dd ", "yyyy-MM-dd'T'")
    offsets = ("", "X", "XXX") if kind == "timestamptz" else ("",)
    for day, clock, offset in product(days, clocks, offsets):
        yield day + clock + offset
