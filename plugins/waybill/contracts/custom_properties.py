"""Declare Waybill's custom properties and their values.

A new property is one line in the table of its place, a field of `Contract` or `Column`, and a section of
`docs/reference/contracts/custom-properties.md`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

from waybill.blanks import strip
from waybill.contracts import number_format
from waybill.contracts.contract import ColumnPolicy, ControlCharacters, FileOrder, LoadMode
from waybill.contracts.file_format import NO_QUOTE, FormatName, Repair
from waybill.contracts.member_paths import is_path
from waybill.contracts.standard import Problem, Steps, likeliest
from waybill.formatting import in_series


class Values(NamedTuple):
    """The allowed values of a custom property."""

    expected: str
    """The description of allowed values, after "must be"."""
    allows: Callable[[Any], bool]
    modes: Sequence[str] = ()
    """The load modes, or for a server the formats, in which the property is allowed; empty: all."""
    problems: Callable[[Any], Iterator[str]] = lambda _: iter(())
    """Yields what is wrong with an allowed value, for properties with parts of their own."""

    def only_for(self, *modes: LoadMode | FormatName) -> Values:
        """Return the same values, allowed in some load modes or formats only."""
        return self._replace(modes=modes)


def is_number(value: object) -> bool:
    """Return whether a value is a finite number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def one_of(*words: str) -> Values:
    """Return the values of a property that is one of some words."""
    return Values(in_series(words, "or"), lambda value: value in words)


def number(least: float, most: float) -> Values:
    """Return the values of a number within limits."""
    return Values(f"a number from {least:g} to {most:g}", lambda value: is_number(value) and least <= value <= most)


def whole_number(least: int = 0, *, or_word: str | None = None) -> Values:
    """Return the values of a whole number from `least`, or a word that means none or all."""
    return Values(
        f"a whole number, {least} or more" + (f", or {or_word}" if or_word else ""),
        lambda value: (type(value) is int and value >= least) or (or_word is not None and value == or_word),
    )


def boolean() -> Values:
    """Return the values of a boolean."""
    return Values("true or false, without quotes", lambda value: isinstance(value, bool))


def _is_list_of(value: object, allows: Callable[[Any], bool]) -> bool:
    """Return whether a value is a list of allowed items without repeated texts."""
    if not isinstance(value, list) or not value or not all(allows(item) for item in value):
        return False
    texts = [item for item in value if isinstance(item, str)]
    return len(set(texts)) == len(texts)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and strip(value) == value != ""


def _is_character(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and value not in "\r\n\0"


def _is_pattern(value: object) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None and value != ""
    except re.error:
        return False


def _is_value_filter(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"variable", "default"}
        and re.fullmatch("[A-Z][A-Z0-9_]*", str(value["variable"])) is not None
        and _is_list_of(value["default"], _is_text)
    )


def _is_range(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[A-Z]{1,3}[1-9][0-9]*:[A-Z]{1,3}([1-9][0-9]*)?", value) is not None


def _is_row_rule(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"name", "expression"} and all(map(_is_text, value.values()))


TEXTS: Final = Values(
    "a list of different texts without blanks around them, in quotes where YAML reads something else (null, yes, 007)",
    lambda value: _is_list_of(value, _is_text),
)
FILE_NAME: Final = Values(
    'a glob for the last part of a name, without a slash, like "*.csv"',
    lambda value: _is_text(value) and "/" not in str(value),
)
DATE_FORMS: Final = Values(
    "a list of different patterns and words, like [dd.MM.yyyy, excel]", lambda value: _is_list_of(value, _is_text)
)
_LAST_PIVOT: Final = 9900  # a hundred years later, years have five digits
NUMBER_FORMAT: Final = Values("an object of signs", lambda _: True, problems=number_format.problems)
FILE_NAMES: Final = Values(
    'a list of different globs for the last part of a key, without a slash, like ["*.csv", "*.csv.gz"]',
    lambda value: _is_list_of(value, lambda glob: _is_text(glob) and "/" not in glob),
)
COLUMN: Final = Values("the name of a column of the contract", _is_text)
CHARACTER: Final = Values("one character", _is_character)
QUOTE: Final = Values(f"one character, or {NO_QUOTE}", lambda value: value == NO_QUOTE or _is_character(value))
SEPARATOR: Final = Values(
    "one or more characters other than a bracket",
    lambda value: isinstance(value, str) and value != "" and not set(value) & set("[]\0"),
)
LINE_END: Final = Values("one or more characters", lambda value: isinstance(value, str) and value != "")
MEMBER_PATH: Final = Values("names of members, separated by dots, like invoices.lines", is_path)
PATTERNS: Final = Values("a list of different regular expressions", lambda value: _is_list_of(value, _is_pattern))
REPAIRS: Final = Values(
    f"a list of different words of {', '.join(get_args(Repair))}",
    lambda value: _is_list_of(value, lambda word: word in get_args(Repair)),
)
TEXT: Final = Values("a text without blanks around it", _is_text)
VALUE_FILTER: Final = Values(
    "an environment variable and the values without it, like {variable: WAYBILL_REGIONS, default: [north]}",
    _is_value_filter,
)
ROW_RULES: Final = Values(
    "a list of rules, each with a name and an expression", lambda value: _is_list_of(value, _is_row_rule)
)

DATASETS: Final[tuple[LoadMode, ...]] = ("snapshot", "changes", "merge")
"""The load modes of datasets, whose rows come from files."""
_DERIVED: Final[tuple[LoadMode, ...]] = ("dimension", "summary", "report", "feature")

OF_TABLE: Final[Mapping[str, Values]] = {
    "daysAfter": whole_number().only_for("report"),
    "daysBefore": whole_number(or_word="all").only_for("report", "feature"),
    "driftWarn": number(0, 100).only_for("feature"),
    "fileNames": FILE_NAMES.only_for(*DATASETS),
    "landingDayColumn": COLUMN.only_for("merge"),
    "fileOrder": one_of(*get_args(FileOrder)).only_for(*DATASETS),
    "loadMode": one_of(*get_args(LoadMode)),
    "lookbackPeriods": whole_number().only_for(*DATASETS),
    "maxShrinkPct": number(0, 100).only_for("snapshot"),
    "maxWarnings": whole_number().only_for("report"),
    "nullWords": TEXTS.only_for(*DATASETS),
    "numberFormat": NUMBER_FORMAT.only_for(*DATASETS),
    "missingColumns": one_of(*get_args(ColumnPolicy)).only_for(*DATASETS),
    "occurrenceColumn": COLUMN.only_for(*DATASETS),
    "periodColumn": COLUMN,
    "rejectThresholdPct": number(0, 100).only_for(*DATASETS),
    "rowRules": ROW_RULES.only_for(*DATASETS),
    "unknownColumns": one_of(*get_args(ColumnPolicy)).only_for(*DATASETS),
    "updatedAtColumn": COLUMN.only_for("summary"),
    "versionColumn": COLUMN.only_for("changes"),
}
"""Properties of the schema object."""
OF_COLUMN: Final[Mapping[str, Values]] = {
    "allowsPlaceholders": boolean().only_for(*DATASETS),
    "controlCharacters": one_of(*get_args(ControlCharacters)).only_for(*DATASETS),
    "dateForms": DATE_FORMS.only_for(*DATASETS),
    "doubledHour": one_of("reject", "earlier", "later").only_for(*DATASETS),
    "index": one_of("ascending", "descending").only_for(*_DERIVED),
    "listSeparator": SEPARATOR.only_for(*DATASETS),
    "maxYearsAhead": whole_number().only_for(*DATASETS),
    "nullWords": TEXTS.only_for(*DATASETS),
    "numberFormat": NUMBER_FORMAT.only_for(*DATASETS),
    "pivotYear": Values(
        "a year from 1 to 9900, without quotes", lambda value: type(value) is int and 1 <= value <= _LAST_PIVOT
    ).only_for(*DATASETS),
    "onlyValuesOf": VALUE_FILTER.only_for(*DATASETS),
    "skippedHour": one_of("reject", "forward").only_for(*DATASETS),
}
OF_SERVER: Final[Mapping[str, Values]] = {
    "cells": Values("a range of cells, like B3:F or A1:D200", _is_range).only_for("xlsx"),
    "emptyFiles": one_of("accepted", "rejected").only_for("csv"),
    "escape": CHARACTER.only_for("csv"),
    "headerLines": whole_number().only_for("csv", "xlsx"),
    "ignoredLines": PATTERNS.only_for("csv", "xlsx"),
    "lineEnd": LINE_END.only_for("csv"),
    "members": FILE_NAME,
    "quote": QUOTE.only_for("csv"),
    "recordPath": MEMBER_PATH.only_for("json"),
    "repairs": REPAIRS.only_for("csv"),
    "sheet": TEXT.only_for("xlsx"),
    "skipLines": whole_number().only_for("csv", "xlsx"),
}
"""Properties of the server, which describes the files. The formats are those in which they are allowed."""
OF_RELATIONSHIP: Final[Mapping[str, Values]] = {
    "inForceOn": COLUMN,
    "onUnknown": one_of("infer"),
}


def values_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the custom properties of an object, by name."""
    return {item["property"]: item["value"] for item in raw.get("customProperties", [])}


def place_of_property(raw: Mapping[str, Any], name: str, steps: Steps) -> Steps:
    """Return the place of the value of a custom property that an object has."""
    names = [item["property"] for item in raw["customProperties"]]
    return (*steps, "customProperties", names.index(name), "value")


def problems(
    raw: Mapping[str, Any],
    table: Mapping[str, Values],
    steps: Steps,
    names: frozenset[str],
    mode: str,
    *,
    kind: str = "loadMode",
) -> Iterator[Problem]:
    """Yield the problems of the custom properties of an object; `names` are the columns, `mode` is the load mode.

    For a server, `mode` is the format, as `kind` says in messages.
    """
    seen = set()
    for position, item in enumerate(raw.get("customProperties", [])):
        here, name, value = (*steps, "customProperties", position), item["property"], item["value"]
        if name in seen:
            yield Problem((*here, "property"), f"the custom property `{name}` occurs twice")
        seen.add(name)
        values = table.get(name)
        if values is None:
            yield Problem(
                (*here, "property"), f"unknown custom property `{name}` here: {likeliest(name, frozenset(table))}"
            )
        elif not values.allows(value):
            yield Problem((*here, "value"), f"`{name}` must be {values.expected}, not {value!r}")
        elif wrong := [*values.problems(value)]:
            yield from (Problem((*here, "value"), f"`{name}` {text}") for text in wrong)
        elif values.modes and mode not in values.modes:
            yield Problem(
                (*here, "property"), f"`{name}` is allowed for the {kind} {in_series(values.modes, 'or')}, not {mode!r}"
            )
        elif values.expected == COLUMN.expected and value not in names:
            yield Problem(
                (*here, "value"), f"`{name}` must be {values.expected}, not {value!r}: {likeliest(value, names)}"
            )
        elif values.expected == ROW_RULES.expected:
            rules = [rule["name"] for rule in value]
            if len(set(rules)) < len(rules):
                yield Problem((*here, "value"), "names of row rules must be unique")
