"""Compile the texts that a column accepts, and their values, into DuckDB expressions.

DuckDB's casts are lenient: `1.5`, `1e3` and `1_000` all cast to an integer. A regular expression therefore restricts
the texts that are cast. It costs more than a cast, so the cast value is first compared with the text: nearly all values
print as their text.

Blanks around a value are ignored. A text is tried as it arrived, then without the spaces that DuckDB's `trim` removes,
then without all of `BLANKS`. The last form is exact and ten times slower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from waybill.blanks import BLANKS, strip
from waybill.contracts.contract import FLOATS, Column, numeric_digits
from waybill.contracts.date_patterns import ISO, YEAR, Reading, is_iso, readings, swapped
from waybill.contracts.json_values import json_array, json_value
from waybill.contracts.quoting import identifier, literal
from waybill.contracts.time_zones import SKIPPED, offset_of_local

_DAY = f"{YEAR}-[0-9]{{2}}-[0-9]{{2}}"
# Digits beyond microseconds must be zero.
_TIME_OF_DAY = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6}0{0,3})?)?"
_CLOCK = f"({_TIME_OF_DAY}|24:00(:00([.]0{{1,9}})?)?)"  # a day may end at 24:00, the next midnight
# The offsets in use, from -12:00 to +14:00.
_OFFSET = "(Z|[+](0[0-9]|1[0-3])(:?[0-5][0-9])?|[+]14(:?00)?|-(0[0-9]|1[01])(:?[0-5][0-9])?|-12(:?00)?)"
_INTEGER = "[+-]?[0-9]+"
_FORMS = {
    "smallint": _INTEGER,
    "integer": _INTEGER,
    "bigint": _INTEGER,
    **dict.fromkeys(FLOATS, "[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?"),
    "date": _DAY,
    "time": _TIME_OF_DAY,
    "timestamp": f"{_DAY}[ T]{_CLOCK}",
    "jsonb": r"[\[{](?s:.)*[\]}]",
    "text[]": r"\[(?s:.)*\]",
    "boolean": "(?i:true|false|t|f|1|0)",
    "uuid": "[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
}
# Invisible characters that are not format characters: joiners, fillers, variation selectors and the Braille blank.
_INVISIBLE = (
    r"\x{34f}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180b}-\x{180f}\x{2800}\x{3164}\x{fe00}-\x{fe0f}\x{ffa0}"
    r"\x{e0100}-\x{e01ef}"
)
_CONTROLS = {
    "none": rf"\p{{Cc}}\p{{Cf}}\x{{2028}}\x{{2029}}{_INVISIBLE}",
    "layout": r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}",
    "any": r"\x00",
}
"""The characters that are not allowed in a text for each value of `controlCharacters`, as part of a character class."""
_DUCKDB_TYPES = {
    "text": "varchar",
    "jsonb": "varchar",
    "text[]": "varchar[]",
    "real": "float",
    "double precision": "double",
}
UNCOMPARED = ("jsonb", "text[]")
"""Types whose values are not compared: their profile has nulls only."""
_INSTANTS = {"timestamptz": "9999-12-31", "timestamp": "10000-01-01"}
"""The first instant of each type beyond the years that Python supports; for `timestamptz` in any time zone."""
_MOST_DIGITS = 800
"""Number of significant digits up to which a number is compared: the exact value of a double has at most 767."""
_EDGES = "".join(rf"\x{{{ord(character):x}}}" for character in BLANKS)
_OBJECT = r'^\{[ \t\r\n]*["}]'
"""What every JSON object begins with."""
_WITHOUT_EDGES = rf"[^{_EDGES}]((?s:.)*[^{_EDGES}])?"


def duckdb_type(column: Column) -> str:
    """Return the DuckDB type whose Arrow form PostgreSQL reads as the column's physical type."""
    if digits := numeric_digits(column.physical_type):
        return f"decimal({digits[0]},{digits[1]})"
    return _DUCKDB_TYPES.get(column.physical_type, column.physical_type)


def stripped(text: str) -> str:
    """Return the expression `text` without the blanks around it."""
    return f"(case when regexp_full_match({text}, {literal(_WITHOUT_EDGES)}) then {text} else {_trimmed(text)} end)"


def is_blank(column: Column) -> str:
    """Return the condition that a field is blank or one of the column's null words."""
    return f"coalesce(not regexp_matches({_present(column)}, {literal(f'[^{_EDGES}]')}), true)"


def local(column: Column) -> str:
    """Return the expression of the column `local_<name>`: the local time of a text without an offset in a time zone."""
    return f"({_any_text(column, only_local=True)})::timestamp"


def local_offset(column: Column, years: tuple[int, int]) -> str:
    """Return the expression of the column `offset_<name>`, which `typed` reads: the offset at that local time."""
    zone = column.local_zone
    assert zone
    return offset_of_local(zone, column.skipped_hour, column.doubled_hour, identifier(f"local_{column.name}"), years)


def unread(column: Column) -> str:
    """Return the condition that the column's text is blank or not accepted, other than because of its hour."""
    value = identifier(column.name)
    if column.local_zone is None:
        return f"{value} is null"
    return f"{value} is null and coalesce({identifier(f'offset_{column.name}')} < {SKIPPED}, true)"


def cast(column: Column) -> str | None:
    """Return the expression of the column `_cast_<name>` that `typed` reads; None if it reads none."""
    if column.local_zone:
        return f"({_any_text(column, only_local=False)})::timestamptz"
    if column.physical_type in _INSTANTS:
        return _any_text(column)
    if column.number_format:
        return None
    has_cheap_test = column.logical_type in ("integer", "number") or (
        column.physical_type == "date" and any(map(is_iso, _date_forms(column)))
    )
    return f"try_cast({_present(column)} as {duckdb_type(column)})" if has_cheap_test else None


def typed(column: Column) -> str:
    """Return the value of a column's text; null if the text is blank or not accepted."""
    known, raw = identifier(f"_cast_{column.name}"), identifier(f"_raw_{column.name}")
    if cast(column) is None:
        return _any_text(column)
    if end := _INSTANTS.get(column.physical_type):
        if column.local_zone:
            at, offset = identifier(f"local_{column.name}"), identifier(f"offset_{column.name}")
            instant = f"make_timestamptz(epoch_us({at}) - {offset}::bigint * 1000000)"
            known = f"(case when {at} is null then {known} when {offset} < {SKIPPED} then {instant} end)"
        return f"case when {known} >= '0001-01-01' and {known} < {literal(end)} then {known} end"
    is_plain = f"{known}::varchar = {raw}"
    if column.physical_type == "date":  # excludes infinity and years before 1 or after 9999
        is_plain += f" and strlen({raw}) = 10"
    if column.physical_type in FLOATS:
        return f"case when {is_plain} and isfinite({known}) then {_unsigned_zero(known)} else {_any_text(column)} end"
    return f"case when {is_plain} then {known} else {_any_text(column)} end"


def confusable_forms(column: Column) -> tuple[str, ...]:
    """Return the column's patterns in which day and month can be confused."""
    return tuple(form for form in _date_forms(column) if swapped(form))


def swapped_forms(column: Column) -> tuple[str, ...]:
    """Return these patterns with day and month in the other order."""
    return tuple(other for form in _date_forms(column) if (other := swapped(form)))


def read_forms(column: Column, forms: Sequence[str]) -> str:
    """Return the value of a column's text in one of some patterns; null if the text has none of them."""
    text = stripped(_present(column))
    return f"case {' '.join(case for form in forms for case in _cases_of_form(column, form, text))} end"


def _trimmed(text: str) -> str:
    return f"trim({text}, {literal(BLANKS)})"


def _present(column: Column) -> str:
    """Return the text as it arrived, or null if it is one of the column's null words."""
    raw = identifier(f"_raw_{column.name}")
    if not column.null_words:
        return raw
    words = "|".join(re.escape(strip(word)) for word in column.null_words)
    edge = f"[{_EDGES}]*"
    return f"(case when not regexp_full_match({raw}, {literal(f'(?i){edge}(?:{words}){edge}')}) then {raw} end)"


def _date_forms(column: Column) -> tuple[str, ...]:
    """Return the forms of a column of dates or times. Those of other types have none: they are written as ISO 8601."""
    if column.physical_type != "date" and column.date_forms == Column.date_forms:
        return ()
    return column.date_forms


def _form(column: Column) -> str:
    """Return a regular expression for the whole accepted text, without blanks around it."""
    digits = numeric_digits(column.physical_type)
    if column.number_format:
        scale = digits[1] if digits else 0 if column.logical_type == "integer" else None
        return column.number_format.form(scale)
    if digits:
        return _INTEGER + (rf"([.][0-9]{{1,{digits[1]}}})?" if digits[1] else "")
    if column.physical_type == "text":
        return _form_of_text(column)
    if column.physical_type == "text[]" and column.list_separator:
        return _WITHOUT_EDGES
    if column.physical_type == "timestamptz":
        return f"{_DAY}[ T]{_CLOCK}{_OFFSET}" + ("" if column.options.get("timezone") else "?")
    return _FORMS[column.physical_type]


def _form_of_text(column: Column) -> str:
    controls = _CONTROLS[column.control_characters]
    return rf"[^{_EDGES}{controls}]([^{controls}]*[^{_EDGES}{controls}])?"


def _any_text(column: Column, *, only_local: bool | None = None) -> str:
    """Return the value of the column's text, ignoring blanks around it.

    With `only_local` texts are read that have no offset, or only those that have one.
    """
    present = _present(column)

    def cases(text: str) -> list[str]:
        return _cases(column, text) if only_local is None else _cases_in_zone(column, text, only_local=only_local)

    branches = [
        *cases(present),
        _case(present, _WITHOUT_EDGES, "null"),
        *cases(f"trim({present})"),
        *cases(_trimmed(present)),
    ]
    # One case expression, because DuckDB evaluates the shared operands of a coalesce for every row.
    return f"case {' '.join(branches)} end"


def _cases(column: Column, text: str) -> list[str]:
    """Return the case branches that evaluate an expression `text` if the column accepts it unchanged."""
    kind = duckdb_type(column)
    number = column.number_format.plain(text) if column.number_format else text
    values = {
        "text": text,
        "timestamptz": _instant(text),
        **dict.fromkeys(FLOATS, _nearest(number, kind)),
        "jsonb": json_value(text),
        "text[]": _items(column, text),
    }
    plain = _case(text, _form(column), values.get(column.physical_type, f"try_cast({number} as {kind})"))
    forms = _date_forms(column)
    if not forms:
        return [plain]
    return [case for form in forms for case in ([plain] if is_iso(form) else _cases_of_form(column, form, text))]


def _cases_in_zone(column: Column, text: str, *, only_local: bool) -> list[str]:
    """Return the case branches that evaluate texts without an offset as local timestamps, or those with one."""
    iso = [
        Reading(f"{_DAY}[ T]{_CLOCK}", f"try_cast({text} as timestamp)", is_local=True),
        Reading(f"{_DAY}[ T]{_CLOCK}{_OFFSET}", _instant(text)),
    ]
    return [
        _case(text, reading.form, reading.value)
        for form in _date_forms(column) or (ISO,)
        for reading in (iso if is_iso(form) else readings(form, text, column.physical_type, column.pivot_year))
        if reading.is_local == only_local
    ]


def _cases_of_form(column: Column, form: str, text: str) -> list[str]:
    """Return the case branches that evaluate an expression `text` if it has a declared form of dates or times."""
    is_instant = column.physical_type == "timestamptz"
    return [
        _case(
            text, reading.form, f"({reading.value})::timestamptz" if is_instant and reading.is_local else reading.value
        )
        for reading in readings(form, text, column.physical_type, column.pivot_year)
    ]


def _case(text: str, form: str, value: str) -> str:
    return f"when regexp_full_match({text}, {literal(form)}) then {value}"


def _nearest(text: str, kind: str) -> str:
    """Return the binary number nearest to a decimal number; null if that has other digits than the text.

    The binary number is rounded to as many significant digits as the text has. Numbers out of range become infinite or
    zero, which have other digits, too.
    """
    value = f"try_cast({text} as {kind})"
    written = _digits(f"regexp_replace({text}, '[eE].*', '')")
    rounded = _digits(f"split_part(format('{{:.' || greatest(strlen({written}) - 1, 0) || 'e}}', {value}), 'e', 1)")
    # Programs round a tie up, and the format rounds it to even: 2^-24 is written 5.960464477539063e-08.
    shortest = _digits(f"regexp_replace({value}::varchar, 'e.*', '')")
    keeps = f"case when strlen({written}) <= {_MOST_DIGITS} then {written} in ({rounded}, {shortest}) end"
    return f"case when {keeps} then {_unsigned_zero(value)} end"


def _items(column: Column, text: str) -> str:
    """Return the list of texts that a text contains, without blanks around them; null if one is no text of a column."""
    found = json_array(text)
    if column.list_separator:
        split = f"string_split({text}, {literal(column.list_separator)})"
        is_object = f"regexp_matches({text}, {literal(_OBJECT)})"
        found = f"case when starts_with({text}, '[') then {found} when not {is_object} then {split} end"
    found = f"list_transform({found}, lambda item: {stripped('item')})"
    wrong = f"lambda item: not regexp_full_match(item, {literal(_form_of_text(column))})"
    return f"case when len(list_filter({found}, {wrong})) = 0 then {found} end"


def _digits(number: str) -> str:
    """Return the significant digits of a number in decimal notation."""
    return f"trim(regexp_replace({number}, '[+.-]', '', 'g'), '0')"


def _unsigned_zero(value: str) -> str:
    # PostgreSQL takes 0 and -0 as equal, so that the stored one would depend on the order of rows.
    return f"if({value} = 0, 0, {value})"


def _instant(text: str) -> str:
    # The cast requires seconds before an offset.
    with_seconds = rf"regexp_replace({text}, '([ T][0-9]{{2}}:[0-9]{{2}})(Z|[+-])', '\1:00\2')"
    return f"coalesce(try_cast({text} as timestamptz), try_cast({with_seconds} as timestamptz))"
