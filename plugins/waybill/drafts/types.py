"""Choose the most exact type that fits all texts of a column, and note what is doubtful about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import Final

from waybill.contracts import Column
from waybill.contracts.date_patterns import ISO
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.validation import EARLIEST, PLACEHOLDERS
from waybill.drafts.draft_type import DraftType
from waybill.drafts.layout import one_line
from waybill.drafts.moments import ORDERS, Moments, Order, moments_of
from waybill.drafts.names import IDENTIFIER
from waybill.drafts.numbers import LIKE_A_NUMBER, number_format
from waybill.drafts.profile import Misfits, Texts
from waybill.formatting import count, in_series

NULL_WORDS: Final = (
    *(
        "n/a",
        "n.a.",
        "na",
        "#n/a",
        "null",
        "(null)",
        "[null]",
        "<null>",
        "<na>",
        r"\n",
        "none",
        "nil",
        "nan",
        "-",
        "--",
    ),
    *("---", "?", ".", "unknown", "not available", "not applicable", "missing", "undefined", "tbd", "k.a.", "k. a."),
    *("keine angabe", "unbekannt", "inconnu", "desconocido"),
)
"""Words that often mean an absent value."""
_CODES: Final = re.compile(
    r"(?:.*_)?(?:zip|zip_code|postal|postal_code|post_code|postcode|plz|phone|telephone|tel|mobile|fax|iban|bic|swift"
    r"|ean|gtin|isbn|issn|sku|code|account|konto|card|ssn|vat|tax_id|siret|siren|naics|fips)(?:_no|_nr|_number|_code)?"
)
"""Names of columns whose digits are no numbers to calculate with."""
_FLAGS: Final = re.compile(r"(?:is|has|was|can|with)_.+|.+_(?:flag|yn)|active|enabled|deleted|valid")
_INTEGER: Final = r"[+-]?[0-9]+"
_BINARY: Final = r"[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?"
_LEADING_ZERO: Final = "[+-]?0[0-9]+"
_UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LIST: Final = r"(?s)\[.*\]"
_NESTED: Final = r"(?s)\[.*\]|\{.*\}"
_PLAIN_NUMBER: Final = "[0-9]+([.][0-9]+)?"
_DAYS: Final = re.compile(r"(?:.*_)?(?:date|day|datum|tag|dt|on|since|until|from|to|birthday|dob)")
_INSTANTS: Final = re.compile(r"(?:.*_)?(?:at|ts|time|timestamp|epoch|created|updated|modified)")
_SERIALS: Final = (20_000, 80_000)
"""Days of a spreadsheet from 1954 to 2119."""
_EPOCHS: Final = (500_000_000, 4_000_000_000)
"""Seconds since 1970 from 1985 to 2096."""
_EPOCH_UNITS: Final = (("epoch_seconds", "seconds", 1), ("epoch_milliseconds", "milliseconds", 1000))
_EPOCH_YEARS: Final = 25
"""In columns whose name does not tell, only numbers of so many years back are taken for instants."""
_YEARS_BACK: Final = 79
_YEARS_AHEAD: Final = Column.max_years_ahead
_MOST_INTEGER: Final = 10**9
"""Larger values leave integer too little room to grow."""
_MOST_BIGINT_DIGITS: Final = 18
_MOST_DIGITS: Final = 38
_BINARY_DECIMALS: Final = 12
_ENOUGH_TEXTS: Final = 200
"""With fewer different texts, one that does not fit decides the type."""
_TOLERATED_PCT: Final = 0.5
_ENOUGH_DATES: Final = 4
_MONTH: Final = 31
"""Days."""


def choose_type(
    texts: Texts, today: date, order: Order | None = None, declared_by_file: DraftType | None = None
) -> DraftType:
    """Return the type of a column; `today` stands for the period of its files.

    `order` is that of day and month in other columns, for dates that do not show it.
    """
    if not texts.distinct:
        empty = DraftType("text")
        empty.doubt("physicalType", "no row has a value, so the type is a guess.")
        return empty
    nearly: tuple[DraftType, Misfits] | None = None
    for candidate in chain([declared_by_file] if declared_by_file else [], _candidates(texts, today, order)):
        misfits = texts.misfits(candidate)
        words = [text for text in misfits.texts if text.lower() in NULL_WORDS] if misfits.is_complete else []
        if words:
            candidate.custom["nullWords"] = words
            misfits = texts.misfits(candidate)
        if misfits.rows == texts.present:
            continue
        # A load rejects the whole file if its dates disagree on the order of day and month.
        if misfits.rows and (candidate.order or not _tolerates(texts, misfits)):
            nearly = nearly or (candidate, misfits)
            continue
        _note_words(candidate, texts)
        if misfits.rows:
            candidate.doubt(
                "physicalType",
                f"the type rejects {count(misfits.rows, 'row')} of {texts.present:,} with a value, the first in record "
                f"{misfits.first_record:,}. Write text to keep them.",
            )
        _limit(candidate, texts, today)
        _note_epoch(candidate, texts, today)
        return candidate
    text = _text(texts)
    if nearly and nearly[1].rows * 10 <= texts.present:
        candidate, misfits = nearly
        text.doubt(
            "physicalType",
            f"all but {misfits.rows:,} of {texts.present:,} values fit the type {candidate.physical}. The first that "
            f"does not is in record {misfits.first_record:,}.",
        )
    return text


def _tolerates(texts: Texts, misfits: Misfits) -> bool:
    """Return whether a type may reject a few rows of a large file."""
    few = misfits.rows * 100 <= _TOLERATED_PCT * texts.present
    return few and texts.distinct >= _ENOUGH_TEXTS


def _candidates(texts: Texts, today: date, order: Order | None) -> Iterator[DraftType]:
    """Yield the types that the sample allows, the most exact first."""
    least: float = 0.9 if len(texts.sample) >= _ENOUGH_TEXTS else 0.0
    others = [text for text in texts.sample if text.lower() not in NULL_WORDS]
    if not others:
        return

    def may_be(pattern: str) -> bool:
        matching = sum(re.fullmatch(pattern, text) is not None for text in others)
        return matching > 0 and matching >= least * len(others)

    if may_be("(?i)true|false|t|f") or (_FLAGS.fullmatch(texts.name) and {*others} == {"0", "1"}):
        yield DraftType("boolean")
    yield from _numbered_moments(texts, others, today)
    if may_be(LIKE_A_NUMBER):
        yield from _numbers(texts, others)
    yield from _moments(texts, others, today, order)
    if may_be(_BINARY) and _has_exponents(others):
        yield DraftType("double precision")
    lists = [text for text in others if re.fullmatch(_LIST, text)]
    if may_be(_LIST) and all(all_items_are(str, text) for text in lists):
        yield DraftType("text[]")
    if may_be(_NESTED):
        yield DraftType("jsonb")
    if may_be(_UUID):
        yield DraftType("uuid")


def all_items_are(kind: type, text: str) -> bool:
    """Return whether a text is an array in JSON whose items are all of a kind."""
    try:
        return all(isinstance(item, kind) for item in json.loads(text))
    except ValueError:
        return False


def _has_exponents(others: Sequence[str]) -> bool:
    """Return whether texts are numbers with exponents, not codes such as 12E4."""
    exponents = [text.lower() for text in others if "e" in text.lower()]
    return bool(exponents) and all("." in text or "e-" in text or "e+" in text for text in exponents)


def _numbers(texts: Texts, others: Sequence[str]) -> Iterator[DraftType]:
    """Yield the types of numbers; `others` are the sample without null words."""
    if texts.rows_like(_LEADING_ZERO) or _CODES.fullmatch(texts.name):
        return
    found = number_format(others)
    if found is None:
        return
    signs, doubts = found

    def written(physical: str) -> DraftType:
        place = "customProperties" if signs else "physicalType"
        custom = {"numberFormat": signs} if signs else {}
        return DraftType(physical, custom=custom, doubts={place: [*doubts]} if doubts else {})

    whole, decimals = texts.digits(NumberFormat.of(signs))
    if not decimals and whole > _MOST_BIGINT_DIGITS:
        if whole <= _MOST_DIGITS:
            long = written(f"numeric({_MOST_DIGITS},0)")
            long.doubt("physicalType", f"the numbers have up to {whole} digits. If they are identifiers, write text.")
            yield long
        return
    if not decimals:
        most = max(abs(int(value or 0)) for value in texts.extremes(written("bigint")))
        yield written("integer" if most < _MOST_INTEGER else "bigint")
    if decimals >= _BINARY_DECIMALS and not signs:
        binary = DraftType("double precision")
        binary.doubt(
            "physicalType", f"the numbers have up to {decimals} decimals, as binary floating-point numbers have."
        )
        yield binary
    scale = next((round_up for round_up in (2, 4, 6) if decimals <= round_up), decimals)
    precision = max(whole + 2 + scale, 12 if scale == 2 else 18)
    if whole + scale <= _MOST_DIGITS:
        yield written(f"numeric({min(precision, _MOST_DIGITS)},{scale})")


def _numbered_moments(texts: Texts, others: Sequence[str], today: date) -> Iterator[DraftType]:
    """Yield the types of dates and instants that are written as numbers, if the column's name is that of a moment."""
    if not all(re.fullmatch(_PLAIN_NUMBER, text) for text in others):
        return

    def lie_within(low: float, high: float) -> bool:
        return all(low <= float(text) <= high for text in others)

    def written(physical: str, word: str, doubt: str) -> DraftType:
        custom = {"dateForms": [word]}
        return DraftType(physical, custom=custom, doubts={"customProperties": [f"the numbers are read as {doubt}"]})

    is_day, is_instant = _DAYS.fullmatch(texts.name), _INSTANTS.fullmatch(texts.name)
    years = (f"{EARLIEST[:4]}0101", f"{today.year + 100}1231")
    if (is_day or is_instant) and all(len(text) == 8 and years[0] <= text <= years[1] for text in others):
        doubt = "the numbers are read as year, month and day."
        yield DraftType("date", {"format": "yyyyMMdd"}, doubts={"logicalTypeOptions": [doubt]})
    if is_day and lie_within(*_SERIALS):
        kind = "date" if all(text.isdigit() for text in others) else "timestamp"
        yield written(kind, "excel", "spreadsheet dates: 46112 is 31 March 2026.")
    for word, unit, scale in _EPOCH_UNITS:
        if is_instant and lie_within(_EPOCHS[0] * scale, _EPOCHS[1] * scale):
            yield written("timestamptz", word, f"{unit} since 1970.")


def _note_epoch(choice: DraftType, texts: Texts, today: date) -> None:
    """Note that whole numbers may be instants, if they are near today and the column's name says nothing else."""
    if choice.physical != "bigint" or choice.custom or IDENTIFIER.fullmatch(texts.name):
        return
    low, high = (int(value or 0) for value in texts.extremes(choice))
    for word, unit, scale in _EPOCH_UNITS:
        years = [datetime(today.year + distance, 1, 1, tzinfo=UTC) for distance in (-_EPOCH_YEARS, _YEARS_AHEAD)]
        first, last = (scale * int(year.timestamp()) for year in years)
        if first <= low <= high < last:
            found = [datetime.fromtimestamp(value // scale, UTC).year for value in (low, high)]
            choice.doubt(
                "physicalType",
                f"the numbers may be {unit} since 1970 (years {found[0]} to {found[1]}). If so, write logicalType: "
                f"timestamp and physicalType: timestamptz, and add {{property: dateForms, value: [{word}]}}.",
            )


def _moments(texts: Texts, others: Sequence[str], today: date, order: Order | None) -> Iterator[DraftType]:
    """Yield the type of dates or times. If day and month could come in either order, every row decides.

    `order` is that of the other columns. If nothing tells, no type is yielded.
    """
    moments = {one: found for one in ORDERS if (found := moments_of(others, one))}
    types = {one: _type_of(found, today) for one, found in moments.items()}
    if not any(found.has_order for found in moments.values()):
        yield from [*types.values()][:1]
        return
    misfits = {one: texts.misfits(found).rows for one, found in types.items()}
    if len({*misfits.values()}) > 1:
        yield types[min(misfits, key=lambda one: misfits[one])]
        return
    if chosen := (order, "as in the other columns") if order else _nearer(texts, types):
        order, reason = chosen
        types[order].doubt(
            "customProperties" if types[order].custom else "logicalTypeOptions",
            f"no date shows whether day or month comes first. A load reads the {order}, {reason}.",
        )
        yield types[order]


def _type_of(moments: Moments, today: date) -> DraftType:
    found = DraftType(moments.kind)
    if len(moments.forms) > 1:
        found.custom["dateForms"] = [*moments.forms]
    elif moments.forms != (ISO,):
        found.options["format"] = moments.forms[0]
    if moments.has_short_years:
        first = found.custom["pivotYear"] = today.year - _YEARS_BACK
        found.doubt("customProperties", f"two-digit years stand for {first} to {first + 99}.")
    if moments.kind == "timestamptz" and moments.has_offsets:
        found.options["timezone"] = True
    elif moments.kind == "timestamptz":
        found.doubt("physicalType", "values without an offset are read as UTC.")
    elif moments.kind == "timestamp":
        text = "no value has an offset, so these are local times. Write timestamptz to read them as UTC."
        found.doubt("physicalType", text)
    return found


def _nearer(texts: Texts, types: Mapping[Order, DraftType]) -> tuple[Order, str] | None:
    """Return the order in which the dates lie close together, and the numbers that show it; None for neither."""
    spans: dict[Order, int] = {}
    for order, found in types.items():
        low, high = texts.extremes(found)
        if low is None or high is None or not found.is_moment:
            return None
        spans[order] = (date.fromisoformat(high[:10]) - date.fromisoformat(low[:10])).days + 1
    near, far = sorted(spans, key=lambda order: spans[order])
    if texts.distinct < _ENOUGH_DATES or spans[near] > _MONTH or spans[far] <= 2 * _MONTH:
        return None
    return near, f"because the dates then span {count(spans[near], 'day')} instead of {spans[far]:,}"


def _text(texts: Texts) -> DraftType:
    choice = DraftType("text")
    placeholders = [text for text, _ in texts.among(PLACEHOLDERS) if text in PLACEHOLDERS]
    if placeholders:
        choice.custom["nullWords"] = placeholders
        _note_words(choice, texts)
    rows = texts.misfits(choice).rows
    if rows:
        choice.custom["controlCharacters"] = "any"
        choice.doubt(
            "customProperties", f"control characters occur in {count(rows, 'row')}. Remove `any` to reject them."
        )
    zeros = texts.rows_like(_LEADING_ZERO)
    if zeros and texts.share(_INTEGER) > 0.5:
        choice.doubt("physicalType", f"text, because values in {count(zeros, 'row')} begin with zero.")
    elif texts.share(_INTEGER) == 1.0:
        choice.doubt("physicalType", "all values consist of digits; text keeps leading zeros, as codes need.")
    found = {one: moments_of(texts.sample, one) for one in ORDERS}
    if all(one and one.has_order for one in found.values()):
        choice.is_order_unknown = True
        forms = " or ".join(f"[{', '.join(one.forms)}]" for one in found.values() if one)
        choice.doubt(
            "physicalType",
            "the values are dates, but no value shows whether day or month comes first. Declare date or timestamp as "
            f"the logicalType and physicalType, and add the custom property dateForms with {forms}.",
        )
    others = [text for text, _ in texts.among(NULL_WORDS) if text not in placeholders]
    if others and not any(len(text) == 2 and text.isalpha() for text in others):
        choice.doubt(
            "physicalType",
            f"{_listed(others)} may mean an absent value. If so, add "
            f"{one_line({'property': 'nullWords', 'value': others})}.",
        )
    return choice


def _note_words(choice: DraftType, texts: Texts) -> None:
    if words := choice.custom.get("nullWords"):
        rows = sum(rows for _, rows in texts.among(words))
        choice.doubt("customProperties", f"a load reads {_listed(words)} in {count(rows, 'row')} as absent values.")


def _listed(words: Sequence[str]) -> str:
    return in_series([*map(repr, words)])


def _limit(choice: DraftType, texts: Texts, today: date) -> None:
    """Widen the limits of dates and instants if a value is beyond those that hold by default."""
    if not choice.is_moment:
        return
    low, high = texts.extremes(choice)
    zone = "Z" if choice.physical == "timestamptz" else ""
    midnight, last = ("", "") if choice.physical == "date" else (f"T00:00:00{zone}", f"T23:59:59{zone}")
    if low and low[:10] < EARLIEST:
        choice.options["minimum"] = f"{low[:4]}-01-01{midnight}"
        choice.doubt("logicalTypeOptions", f"the earliest value is in {low[:4]}; dates before 1900 are often errors.")
    if high and high[:10] >= str(date(today.year + _YEARS_AHEAD, 1, 1)):
        choice.options["maximum"] = f"9999-12-31{last}"
        choice.doubt(
            "logicalTypeOptions", f"the latest value is in {high[:4]}. If it means `no end`, add it to nullWords."
        )
