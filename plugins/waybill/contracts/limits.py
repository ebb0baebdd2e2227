"""Find options and allowed values of a column that contradict its type or each other."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from waybill.blanks import strip
from waybill.contracts import date_patterns, time_zones
from waybill.contracts.contract import FLOATS, UNIVERSAL, numeric_digits
from waybill.contracts.custom_properties import DATE_FORMS, is_number, place_of_property, values_of
from waybill.contracts.standard import Problem, Steps

_BITS: Final = {"smallint": 16, "integer": 32, "bigint": 64}
_NUMBER_FORMATS: Final = {
    "smallint": "i16",
    "integer": "i32",
    "bigint": "i64",
    "real": "f32",
    "double precision": "f64",
}
_LARGEST: Final = {"real": Decimal(2**128 - 2**104), "double precision": Decimal(2**1024 - 2**971)}
_LOWER: Final = ("minimum", "exclusiveMinimum")
_UPPER: Final = ("maximum", "exclusiveMaximum")


def of_options(options: Mapping[str, Any], kind: str, column: Mapping[str, Any], steps: Steps) -> Iterator[Problem]:
    """Yield the problems of the `logicalTypeOptions` of a column; `kind` is its physical type."""
    here = (*steps, "logicalTypeOptions")
    if kind == "uuid":
        for name in sorted(options.keys() & {"minLength", "maxLength", "pattern"}):
            yield Problem((*here, name), f"`{name}` is allowed for the physicalType text, not for uuid")
    if kind == "boolean":
        for name in options:
            yield Problem((*here, name), f"`{name}` is not allowed for a boolean: remove it")
    yield from _of_format(options, kind, here)
    yield from _of_date_forms(options, kind, column, steps)
    yield from _of_local_time(options, here) if kind == "timestamp" else _of_instants(options, here)
    yield from _of_hours(options, kind, column, steps)
    if options.get("minLength", 0) > options.get("maxLength", math.inf):
        yield Problem((*here, "minLength"), f"{options['minLength']} is greater than maxLength {options['maxLength']}")
    if options.get("minItems", 0) > options.get("maxItems", math.inf):
        yield Problem((*here, "minItems"), f"{options['minItems']} is greater than maxItems {options['maxItems']}")
    yield from _of_bounds(options, kind, here)


def _of_instants(options: Mapping[str, Any], here: Steps) -> Iterator[Problem]:
    """Yield the time zones of a timestamptz that are not supported."""
    if options.get("timezone") is False:
        yield Problem(
            (*here, "timezone"),
            "false is not supported: every timestamptz is an instant. Remove it, or change the physicalType to "
            "timestamp.",
        )
    zone, is_required = options.get("defaultTimezone"), options.get("timezone") is True
    if zone is not None and not time_zones.is_known(zone):
        yield Problem((*here, "defaultTimezone"), f"{zone!r} is no time zone; write it like Europe/Berlin")
    elif zone is not None and is_required:
        yield Problem((*here, "defaultTimezone"), "has no effect with `timezone: true`, which requires an offset")


def _of_hours(options: Mapping[str, Any], kind: str, column: Mapping[str, Any], steps: Steps) -> Iterator[Problem]:
    """Yield rules for the hours of a time zone at columns without one."""
    if kind == "timestamptz" and options.get("defaultTimezone", "UTC") not in UNIVERSAL:
        return
    for name in ("skippedHour", "doubledHour"):
        if name in values_of(column):
            yield Problem(
                place_of_property(column, name, steps),
                f"`{name}` has no effect without a `defaultTimezone` other than UTC at a timestamptz",
            )


def _of_local_time(options: Mapping[str, Any], here: Steps) -> Iterator[Problem]:
    """Yield the options of a timestamp without time zone that specify one."""
    if options.get("timezone") is True:
        yield Problem(
            (*here, "timezone"),
            "true is not supported for a timestamp, which has no offset. Write false, or change the physicalType to "
            "timestamptz.",
        )
    if "defaultTimezone" in options:
        yield Problem(
            (*here, "defaultTimezone"),
            "is not allowed for a timestamp, which has no time zone. Remove it, or change the physicalType to "
            "timestamptz.",
        )


def _of_format(options: Mapping[str, Any], kind: str, here: Steps) -> Iterator[Problem]:
    given = options.get("format")
    if given is None:
        return
    text = f"{given!r} is not supported"
    if numeric_digits(kind):
        yield Problem(
            (*here, "format"),
            f"{text}: it specifies binary floating-point numbers. Remove it, because {kind} is exact, or change the "
            "physicalType to real (f32) or double precision (f64).",
        )
    elif kind in _NUMBER_FORMATS and given != _NUMBER_FORMATS[kind]:
        yield Problem(
            (*here, "format"),
            f"{text} for {kind}. Write {_NUMBER_FORMATS[kind]}, or change the physicalType; for limits use `minimum` "
            "and `maximum`.",
        )
    elif kind == "text" or (kind == "uuid" and given != "uuid"):
        yield Problem(
            (*here, "format"),
            f"{text}: it specifies the kind of text. Write a `pattern`, or the physicalType uuid, for which `format: "
            "uuid` is allowed.",
        )


def _of_date_forms(options: Mapping[str, Any], kind: str, column: Mapping[str, Any], steps: Steps) -> Iterator[Problem]:
    """Yield problems of the patterns and words that describe dates and times."""
    custom = values_of(column)
    if kind not in date_patterns.WORDS:
        for name in ("dateForms", "pivotYear"):
            if name in custom:
                yield Problem(place_of_property(column, name, steps), f"`{name}` is only allowed for dates and times")
        return
    here, forms = (*steps, "logicalTypeOptions", "format"), [options["format"]] if "format" in options else []
    if "dateForms" in custom:
        if forms:
            yield Problem(here, "has no effect beside `dateForms`: write all patterns there")
        here, forms = place_of_property(column, "dateForms", steps), custom["dateForms"]
        if not DATE_FORMS.allows(forms):  # reported as a custom property
            return
    found = date_patterns.problems(
        forms, kind, has_first_year="pivotYear" in custom, needs_offset=options.get("timezone") is True
    )
    yield from (Problem(here, text) for text in found)


def _of_bounds(options: Mapping[str, Any], kind: str, here: Steps) -> Iterator[Problem]:
    """Yield limits that are not of the column's type, or that exclude every value."""
    read: dict[str, Any] = {}
    for name in (*_LOWER, *_UPPER):
        if name in options:
            try:
                read[name] = _bound(options[name], kind)
            except (ValueError, InvalidOperation):
                yield Problem(
                    (*here, name), f"{options[name]!r} is not a valid {kind}; write it like {_EXAMPLES.get(kind, '12')}"
                )
    if len(read) < len(options.keys() & {*_LOWER, *_UPPER}):
        return
    for low in _LOWER:
        for high in _UPPER:
            if low not in read or high not in read:
                continue
            is_open = low.startswith("exclusive") or high.startswith("exclusive")
            if read[low] > read[high] or (is_open and read[low] == read[high]):
                yield Problem((*here, low), f"no value can meet {low} {options[low]} and {high} {options[high]}")
    smallest, largest = _limits(kind)
    for name in _LOWER:
        if name in read and largest is not None and read[name] > largest:
            yield Problem((*here, name), f"no {kind} is as large as {options[name]}")
    for name in _UPPER:
        if name in read and smallest is not None and read[name] < smallest:
            yield Problem((*here, name), f"no {kind} is as small as {options[name]}")


_EXAMPLES: Final = {
    "date": "'2026-03-31'",
    "time": "'08:30:00'",
    "timestamp": "'2026-03-31T12:00:00'",
    "timestamptz": "'2026-03-31T12:00:00Z'",
}
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"


def _time(text: str) -> time:
    """Return a time of day. Raises `ValueError` for other forms of ISO 8601, and for an offset."""
    if not re.fullmatch(_CLOCK, text):
        raise ValueError(text)
    return time.fromisoformat(text)


def _local_timestamp(text: str) -> datetime:
    """Return a timestamp without an offset. Raises `ValueError` for other forms of ISO 8601."""
    if not re.fullmatch(f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}", text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _bound(value: Any, kind: str) -> Any:
    """Return a limit as a comparable value. Raises `ValueError` or `InvalidOperation` if it is not of the type."""
    if kind == "date":
        if len(value) != len("2026-03-31"):
            raise ValueError(value)
        return date.fromisoformat(value)
    if kind == "time":
        return _time(value)
    if kind == "timestamp":
        return _local_timestamp(value)
    if kind == "timestamptz":
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError(value)
        return instant
    if not math.isfinite(value):
        raise ValueError(value)
    return Decimal(str(value))


def _limits(kind: str) -> tuple[Decimal | None, Decimal | None]:
    """Return the smallest and largest number of a numeric type, else two None."""
    if digits := numeric_digits(kind):
        most = Decimal(10) ** (digits[0] - digits[1])
        return -most, most
    if kind in _BITS:
        most = Decimal(2) ** (_BITS[kind] - 1)
        return -most, most - 1
    if kind in _LARGEST:
        return -_LARGEST[kind], _LARGEST[kind]
    return None, None


_WITHOUT_ENUM: Final = {
    **dict.fromkeys(
        FLOATS, "its values are the nearest binary numbers. Write `minimum` and `maximum`, or use numeric(p,s)."
    ),
    "jsonb": "write a row rule",
    "text[]": "write a row rule",
}


def of_enum(column: Mapping[str, Any], kind: str, steps: Steps) -> Iterator[Problem]:
    """Yield allowed values that no row can have."""
    if kind in _WITHOUT_ENUM and "enum" in column:
        yield Problem((*steps, "enum"), f"an enum is not allowed for {kind}: {_WITHOUT_ENUM[kind]}")
        return
    seen = set()
    options = column.get("logicalTypeOptions", {})
    for position, item in enumerate(column.get("enum", [])):
        here, value = (*steps, "enum", position, "value"), item["value"]
        text = str(value)
        if (why := _not_of_type(value, kind)) or (why := _outside(value, kind, options)):
            yield Problem(here, why)
        elif text in seen:
            yield Problem(here, f"{value!r} occurs twice")
        seen.add(text)


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "text": str,
    "uuid": UUID,
    "date": date.fromisoformat,
    "time": _time,
    "timestamp": _local_timestamp,
    "timestamptz": datetime.fromisoformat,
}


def _not_of_type(value: Any, kind: str) -> str | None:
    """Return why an allowed value is not of the column's type; None if it is."""
    if kind in _READERS:
        return _no_text_of(value, kind)
    if kind == "boolean":
        return None if isinstance(value, bool) else f"{value!r} is not a boolean: write true or false"
    digits = numeric_digits(kind) or (0, 0)
    if not is_number(value) or -int(Decimal(str(value)).normalize().as_tuple().exponent) > digits[1]:
        return f"{value!r} is not a valid {kind}"
    return None


def _no_text_of(value: Any, kind: str) -> str | None:
    if not isinstance(value, str):
        return f"YAML reads {value!r} as another type than text: write it in quotes"
    if strip(value) != value or not value:
        return f"{value!r} is empty or has blanks around it, which are trimmed from the values of a file"
    try:
        _READERS[kind](value)
    except ValueError:
        return f"{value!r} is not a valid {kind}"
    return None


def _outside(value: Any, kind: str, options: Mapping[str, Any]) -> str | None:
    """Return which limit of the column an allowed value breaks; None if none."""
    if isinstance(value, str) and kind == "text":
        if not options.get("minLength", 0) <= len(value) <= options.get("maxLength", math.inf):
            return f"{value!r} is outside minLength or maxLength of the column, so no row can have it"
        return None
    if kind in ("boolean", "uuid", "timestamptz"):
        return None
    read = _bound(value, kind)
    smallest, largest = _limits(kind)
    is_inside = (smallest is None or read >= smallest) and (largest is None or read <= largest)
    holds = {
        "minimum": lambda bound: read >= bound,
        "exclusiveMinimum": lambda bound: read > bound,
        "maximum": lambda bound: read <= bound,
        "exclusiveMaximum": lambda bound: read < bound,
    }
    if is_inside and all(holds[name](_bound(options[name], kind)) for name in holds if name in options):
        return None
    return f"{value!r} is outside the limits of the column, so no row can have it"
