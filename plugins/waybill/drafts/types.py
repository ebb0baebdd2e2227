"""Choose the most exact type that all texts of a column allow, and say what is doubtful about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from waybill.contracts.number_format import NumberFormat
from waybill.contracts.validation import PLACEHOLDERS
from waybill.drafts.numbers import LIKE_A_NUMBER, number_format
from waybill.drafts.profile import Misfits, Texts
from waybill.formatting import count

Declared = dict[str, Any]
"""Properties of a column, as in a contract."""
Candidate = tuple[Declared, dict[str, list[str]]]
"""A type, and its doubts by the property that they are about."""

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
_DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_SLASHED: Final = r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}"
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
_OFFSET: Final = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_EARLIEST: Final = date(1900, 1, 1)
_YEARS_AHEAD: Final = 10
_MOST_INTEGER: Final = 10**9
"""Larger values leave integer too little room to grow."""
_MOST_BIGINT: Final = 10**18
_MOST_DIGITS: Final = 38
_BINARY_DECIMALS: Final = 12
_ENOUGH_TEXTS: Final = 200
"""With fewer different texts, one that does not fit decides the type."""
_TOLERATED_PCT: Final = 0.5
_ENOUGH_DATES: Final = 4
_LAST_MOMENTS: Final = {"date": "", "timestamp": "T23:59:59", "timestamptz": "T23:59:59Z"}
"""For each type of moments what a limit has after its day."""
_MONTH: Final = 31
"""Days."""


@dataclass
class Choice:
    """The declaration of a column's type, and its doubts by the property that they are about."""

    declared: Declared
    checks: dict[str, list[str]] = field(default_factory=dict)

    def doubt(self, place: str, text: str) -> None:
        """Note a doubt about a property of the column."""
        self.checks.setdefault(place, []).append(text)

    @property
    def kind(self) -> str:
        """Return the physical type."""
        return str(self.declared["physicalType"])


def declare(logical: str, physical: str, options: Declared | None = None, **custom: Any) -> Declared:
    """Return the properties that declare a type."""
    return {
        "logicalType": logical,
        "physicalType": physical,
        **({"logicalTypeOptions": options} if options else {}),
        **(
            {"customProperties": [{"property": name, "value": value} for name, value in custom.items()]}
            if custom
            else {}
        ),
    }


def choose_type(texts: Texts, today: date) -> Choice:
    """Return the type of a column; `today` stands for the period of its files."""
    if not texts.distinct:
        choice = Choice(declare("string", "text"))
        choice.doubt("physicalType", "no row has a value, so the type is a guess.")
        return choice
    nearly: tuple[Declared, Misfits] | None = None
    for declared, checks in _candidates(texts):
        misfits = texts.misfits(declared)
        words = [text for text in misfits.texts if text.lower() in NULL_WORDS]
        if words and misfits.is_complete:
            declared = _with_custom(declared, "nullWords", words)  # noqa: PLW2901  # the same type
            misfits = texts.misfits(declared)
        if misfits.rows == texts.present:
            continue
        if misfits.rows and not _tolerates(texts, misfits):
            nearly = nearly or (declared, misfits)
            continue
        choice = Choice(declared, {place: [*those] for place, those in checks.items()})
        _note_words(choice, texts, words if misfits.is_complete else [])
        if misfits.rows:
            choice.doubt(
                "physicalType",
                f"{count(misfits.rows, 'row')} of {texts.present:,} with a value have another form and are rejected, "
                f"the first in record {misfits.first_record:,}. Write text to keep them.",
            )
        _limit(choice, texts, today)
        return choice
    choice = _text(texts)
    if nearly and nearly[1].rows * 10 <= texts.present:
        declared, misfits = nearly
        choice.doubt(
            "physicalType",
            f"all but {count(misfits.rows, 'row')} of {texts.present:,} with a value are {declared['physicalType']}; "
            f"the first other one is in record {misfits.first_record:,}.",
        )
    return choice


def _tolerates(texts: Texts, misfits: Misfits) -> bool:
    """Return whether a type may reject a few rows of a large file."""
    few = misfits.rows * 100 <= _TOLERATED_PCT * texts.present
    return few and texts.distinct >= _ENOUGH_TEXTS


def _candidates(texts: Texts) -> Iterator[Candidate]:
    """Yield the types that the sample allows, the most exact first, each with its doubts."""
    least: float = 0.9 if len(texts.sample) >= _ENOUGH_TEXTS else 0.0
    others = [text for text in texts.sample if text.lower() not in NULL_WORDS]
    if not others:
        return

    def may_be(pattern: str) -> bool:
        matching = sum(re.fullmatch(pattern, text) is not None for text in others)
        return matching > 0 and matching >= least * len(others)

    if may_be("(?i)true|false|t|f") or (_FLAGS.fullmatch(texts.name) and {*others} == {"0", "1"}):
        yield declare("boolean", "boolean"), {}
    if may_be(LIKE_A_NUMBER):
        yield from _numbers(texts, others)
    if may_be(f"{_DAY}|{_SLASHED}"):
        yield from _dates(others)
    if may_be(f"{_DAY}[ T]{_CLOCK}{_OFFSET}?"):
        yield from _instants(texts)
    if may_be(_CLOCK):
        yield declare("time", "time"), {}
    if may_be(_BINARY) and _has_exponents(others):
        yield declare("number", "double precision"), {}
    if may_be(_UUID):
        yield declare("string", "uuid"), {}


def _has_exponents(others: Sequence[str]) -> bool:
    """Return whether texts are numbers with exponents, not codes such as 12E4."""
    exponents = [text.lower() for text in others if "e" in text.lower()]
    return bool(exponents) and all("." in text or "e-" in text or "e+" in text for text in exponents)


def _numbers(texts: Texts, others: Sequence[str]) -> Iterator[Candidate]:
    """Yield the type of numbers; `others` are the sample without null words."""
    if texts.rows_like(_LEADING_ZERO) or _CODES.fullmatch(texts.name):
        return
    found = number_format(others)
    if found is None:
        return
    signs, doubts = found
    custom = {"numberFormat": signs} if signs else {}
    checks = {"customProperties" if signs else "physicalType": doubts} if doubts else {}
    whole, decimals = texts.digits(NumberFormat.of(signs))
    if not decimals and whole <= 18:
        low, high = texts.extremes(declare("integer", "bigint", **custom))
        most = max(abs(int(low or 0)), abs(int(high or 0)))
        if most < _MOST_BIGINT:
            yield declare("integer", "integer" if most < _MOST_INTEGER else "bigint", **custom), checks
    if not decimals and whole > 18:
        if whole <= _MOST_DIGITS:
            doubts = [*doubts, f"the numbers have up to {whole} digits. If they are identifiers, write text."]
            yield declare("number", f"numeric({_MOST_DIGITS},0)", **custom), {"physicalType": doubts}
        return
    if decimals >= _BINARY_DECIMALS and not signs:
        text = f"the numbers have up to {decimals} decimals, as programs write binary numbers."
        yield declare("number", "double precision"), {"physicalType": [text]}
    scale = next((round_up for round_up in (2, 4, 6) if decimals <= round_up), decimals)
    precision = max(whole + 2 + scale, 12 if scale == 2 else 18)
    if whole + scale <= _MOST_DIGITS:
        yield declare("number", f"numeric({min(precision, _MOST_DIGITS)},{scale})", **custom), checks


def _dates(others: Sequence[str]) -> Iterator[Candidate]:
    plain = [date.fromisoformat(text) for text in others if re.fullmatch(_DAY, text) and _is_day(text)]
    slashed = [text for text in others if re.fullmatch(_SLASHED, text)]
    if not slashed:
        yield declare("date", "date"), {}
        return
    form, evidence = order_of(slashed, plain)
    if form:
        forms = [*(["YYYY-MM-DD"] if plain else []), form]
        yield declare("date", "date", dateForms=forms), {"customProperties": [evidence]} if evidence else {}


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def order_of(slashed: Sequence[str], plain: Sequence[date]) -> tuple[str | None, str]:
    """Return the form of dates with slashes, and the evidence if no date reads in one order only; None if unknown.

    `plain` are dates of the same column that can be read in one way only.
    """
    read = {form: _read(slashed, form) for form in ("M/D/YYYY", "D/M/YYYY")}
    possible = {form: days for form, days in read.items() if days is not None}
    if len(possible) < 2:
        return next(iter(possible), None), ""
    others = {form: [*days, *plain] for form, days in possible.items()}
    spans = {form: (max(days) - min(days)).days for form, days in others.items()}
    near, far = sorted(spans, key=lambda form: spans[form])
    if len({*others[near]}) < _ENOUGH_DATES or spans[near] > _MONTH or spans[far] <= 2 * _MONTH:
        return None, ""
    return near, (
        "no date shows whether day or month comes first. The dates lie within "
        f"{count(spans[near] + 1, 'day')} as {near}, and within {spans[far] + 1:,} as {far}."
    )


def _read(slashed: Sequence[str], form: str) -> list[date] | None:
    """Return the dates in a form, or None if one does not read so."""
    found = []
    for text in slashed:
        first, second, year = map(int, text.split("/"))
        month, day = (first, second) if form == "M/D/YYYY" else (second, first)
        try:
            found.append(date(year, month, day))
        except ValueError:
            return None
    return found


def _instants(texts: Texts) -> Iterator[Candidate]:
    offsets = texts.rows_like(f".*{_CLOCK}{_OFFSET}")
    if offsets == texts.rows_like(f".*{_CLOCK}{_OFFSET}?"):
        yield declare("timestamp", "timestamptz", {"timezone": True}), {}
        return
    if offsets:
        text = "values without an offset are read as UTC."
        yield declare("timestamp", "timestamptz"), {"physicalType": [text]}
    else:
        text = "no value has an offset, so these are local times. Write timestamptz to read them as UTC."
        yield declare("timestamp", "timestamp"), {"physicalType": [text]}


def _text(texts: Texts) -> Choice:
    choice = Choice(declare("string", "text"))
    placeholders = [text for text, _ in texts.among(PLACEHOLDERS) if text in PLACEHOLDERS]
    if placeholders:
        choice.declared = _with_custom(choice.declared, "nullWords", placeholders)
        _note_words(choice, texts, placeholders)
    rows = texts.misfits(choice.declared).rows
    if rows:
        choice.declared = _with_custom(choice.declared, "controlCharacters", "any")
        choice.doubt("customProperties", f"{count(rows, 'row')} have control characters. Remove `any` to reject them.")
    zeros = texts.rows_like(_LEADING_ZERO)
    if zeros and texts.share(_INTEGER) > 0.5:
        choice.doubt("physicalType", f"text, because values of {count(zeros, 'row')} begin with zero.")
    elif texts.share(_INTEGER) == 1.0:
        choice.doubt("physicalType", "all values are digits; text keeps zeros at the beginning, as in codes.")
    if texts.share(f"{_SLASHED}|{_DAY}") == 1.0:
        choice.doubt(
            "physicalType",
            "the values are dates, and no value shows whether day or month comes first. Write the logicalType and the "
            "physicalType date, and the custom property dateForms with [M/D/YYYY] or [D/M/YYYY].",
        )
    others = [text for text, _ in texts.among(NULL_WORDS) if text not in placeholders]
    if others and not any(len(text) == 2 and text.isalpha() for text in others):
        choice.doubt(
            "physicalType",
            f"{_listed(others)} may mean an absent value. If so, add the custom property nullWords with these words.",
        )
    return choice


def _note_words(choice: Choice, texts: Texts, words: Sequence[str]) -> None:
    if words:
        rows = sum(rows for _, rows in texts.among(words))
        choice.doubt("customProperties", f"{_listed(words)} in {count(rows, 'row')} are read as absent values.")


def _listed(words: Sequence[str]) -> str:
    return ", ".join(repr(word) for word in words)


def _with_custom(declared: Declared, name: str, value: Any) -> Declared:
    others = [one for one in declared.get("customProperties", []) if one["property"] != name]
    return {**declared, "customProperties": [*others, {"property": name, "value": value}]}


def _limit(choice: Choice, texts: Texts, today: date) -> None:
    """Widen the limits of dates and instants if a value is beyond those that hold by default."""
    if choice.kind not in _LAST_MOMENTS:
        return
    low, high = texts.extremes(choice.declared)
    end = _LAST_MOMENTS[choice.kind].replace("23:59:59", "00:00:00")
    options = dict(choice.declared.get("logicalTypeOptions", {}))
    if low and low[:10] < str(_EARLIEST):
        options["minimum"] = f"{low[:4]}-01-01{end}"
        choice.doubt("logicalTypeOptions", f"the earliest value is of {low[:4]}; dates before 1900 are often errors.")
    if high and high[:10] >= str(date(today.year + _YEARS_AHEAD, 1, 1)):
        options["maximum"] = f"9999-12-31{_LAST_MOMENTS[choice.kind]}"
        choice.doubt(
            "logicalTypeOptions", f"the latest value is of {high[:4]}. If it means no end, add it to nullWords."
        )
    if options:
        choice.declared = {
            "logicalType": choice.declared["logicalType"],
            "physicalType": choice.kind,
            "logicalTypeOptions": options,
            **{name: value for name, value in choice.declared.items() if name == "customProperties"},
        }
