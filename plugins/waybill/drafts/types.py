"""Choose the most exact type that all texts of a column allow, and say what is doubtful about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import chain
from typing import Final

from waybill.contracts.date_patterns import ISO
from waybill.contracts.number_format import NumberFormat
from waybill.contracts.validation import PLACEHOLDERS
from waybill.drafts.declarations import Declared, declare, with_custom, with_options
from waybill.drafts.keys import IDENTIFIER
from waybill.drafts.moments import ORDERS, Moments, Order, moments_of
from waybill.drafts.numbers import LIKE_A_NUMBER, number_format
from waybill.drafts.profile import Misfits, Texts
from waybill.formatting import count

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
    is_order_unknown: bool = False
    """Whether the values are dates that do not show whether day or month comes first."""

    @property
    def order(self) -> Order | None:
        """Return the order of day and month, if the column's dates could come in the other one."""
        options, custom = self.declared.get("logicalTypeOptions", {}), self.declared.get("customProperties", [])
        forms = [
            options.get("format", ""),
            *(form for one in custom if one["property"] == "dateForms" for form in one["value"]),
        ]
        for form in forms:
            if found := re.fullmatch(r"(d|M)\1?[-/ ](?!\1)[dM].*", form):
                return "day first" if found[1] == "d" else "month first"
        return None

    def doubt(self, place: str, text: str) -> None:
        """Note a doubt about a property of the column."""
        self.checks.setdefault(place, []).append(text)

    @property
    def kind(self) -> str:
        """Return the physical type."""
        return str(self.declared["physicalType"])


def choose_type(
    texts: Texts, today: date, order: Order | None = None, declared_by_file: Declared | None = None
) -> Choice:
    """Return the type of a column; `today` stands for the period of its files.

    `order` is that of day and month in other columns, for dates that do not show it.
    """
    if not texts.distinct:
        choice = Choice(declare("string", "text"))
        choice.doubt("physicalType", "no row has a value, so the type is a guess.")
        return choice
    nearly: tuple[Declared, Misfits] | None = None
    of_file: list[Candidate] = [(declared_by_file, {})] if declared_by_file else []
    for declared, checks in chain(of_file, _candidates(texts, today, order)):
        misfits = texts.misfits(declared)
        words = [text for text in misfits.texts if text.lower() in NULL_WORDS]
        if words and misfits.is_complete:
            declared = with_custom(declared, "nullWords", words)  # noqa: PLW2901  # the same type
            misfits = texts.misfits(declared)
        if misfits.rows == texts.present:
            continue
        # A load rejects the whole file if its dates disagree on the order of day and month.
        if misfits.rows and (Choice(declared).order or not _tolerates(texts, misfits)):
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
        _note_epoch(choice, texts, today)
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


def _candidates(texts: Texts, today: date, order: Order | None) -> Iterator[Candidate]:
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
    yield from _numbered_moments(texts, others, today)
    if may_be(LIKE_A_NUMBER):
        yield from _numbers(texts, others)
    yield from _moments(texts, others, today, order)
    if may_be(_BINARY) and _has_exponents(others):
        yield declare("number", "double precision"), {}
    if may_be(_LIST) and all(map(_is_list_of_texts, filter(re.compile(_LIST).fullmatch, others))):
        yield declare("array", "text[]"), {}
    if may_be(_NESTED):
        yield declare("object", "jsonb"), {}
    if may_be(_UUID):
        yield declare("string", "uuid"), {}


def _is_list_of_texts(text: str) -> bool:
    try:
        return all(isinstance(item, str) for item in json.loads(text))
    except ValueError:
        return False


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


def _numbered_moments(texts: Texts, others: Sequence[str], today: date) -> Iterator[Candidate]:
    """Yield the types of dates and instants that are written as numbers, if the column's name is that of a moment."""

    def lie_within(low: float, high: float) -> bool:
        return all(low <= float(text) <= high for text in others if re.fullmatch(_PLAIN_NUMBER, text))

    if not all(re.fullmatch(_PLAIN_NUMBER, text) for text in others):
        return
    is_day, is_instant = _DAYS.fullmatch(texts.name), _INSTANTS.fullmatch(texts.name)
    years = (f"{_EARLIEST.year}0101", f"{today.year + 100}1231")
    if (is_day or is_instant) and all(len(text) == 8 and years[0] <= text <= years[1] for text in others):
        check = "the numbers are read as year, month and day."
        yield declare("date", "date", {"format": "yyyyMMdd"}), {"logicalTypeOptions": [check]}
    if is_day and lie_within(*_SERIALS):
        check = "the numbers are read as the days of a spreadsheet: 46112 is 31 March 2026."
        kind = "date" if all(text.isdigit() for text in others) else "timestamp"
        yield declare(kind, kind, dateForms=["excel"]), {"customProperties": [check]}
    for word, unit, scale in _EPOCH_UNITS:
        if is_instant and lie_within(_EPOCHS[0] * scale, _EPOCHS[1] * scale):
            check = f"the numbers are read as {unit} since 1970."
            yield declare("timestamp", "timestamptz", dateForms=[word]), {"customProperties": [check]}


def _note_epoch(choice: Choice, texts: Texts, today: date) -> None:
    """Note that whole numbers may be instants, if they are near today and the column's name says nothing else."""
    if choice.kind != "bigint" or choice.declared.get("customProperties") or IDENTIFIER.fullmatch(texts.name):
        return
    low, high = (int(value or 0) for value in texts.extremes(choice.declared))
    for word, unit, scale in _EPOCH_UNITS:
        years = [datetime(today.year + distance, 1, 1, tzinfo=UTC) for distance in (-_EPOCH_YEARS, _YEARS_AHEAD)]
        first, last = (scale * int(year.timestamp()) for year in years)
        if first <= low <= high < last:
            found = [datetime.fromtimestamp(value // scale, UTC).year for value in (low, high)]
            choice.doubt(
                "physicalType",
                f"the numbers may be {unit} since 1970, of the years {found[0]} to {found[1]}. If so, write "
                "logicalType: timestamp and physicalType: timestamptz, and add the custom property "
                f"{{property: dateForms, value: [{word}]}}.",
            )


def _moments(texts: Texts, others: Sequence[str], today: date, order: Order | None) -> Iterator[Candidate]:
    """Yield the type of dates or times. If day and month could come in either order, every row decides.

    `order` is that of the other columns. If nothing tells, no type is yielded.
    """
    found = {one: moments_of(others, one) for one in ORDERS}
    declared = {one: _declared(moments, today) for one, moments in found.items() if moments}
    first = next(iter(declared.values()), None)
    if first is None:
        return
    if not any(moments.has_order for moments in found.values() if moments):
        yield first
        return
    misfits = {one: texts.misfits(candidate[0]).rows for one, candidate in declared.items()}
    likely = min(misfits, key=lambda one: misfits[one])
    if len({*misfits.values()}) > 1:
        yield declared[likely]
        return
    evidence = "as in the other columns" if order else None
    if order is None:
        order, evidence = _nearer(texts, {one: candidate[0] for one, candidate in declared.items()})
    if order and evidence:
        kind, checks = declared[order]
        place = "customProperties" if "customProperties" in kind else "logicalTypeOptions"
        text = f"no date shows whether day or month comes first. They are read with the {order}, {evidence}."
        yield kind, {**checks, place: [*checks.get(place, []), text]}


def _declared(moments: Moments, today: date) -> Candidate:
    kind, forms = moments.kind, [*moments.forms]
    options: Declared = {}
    custom: Declared = {}
    checks: dict[str, list[str]] = {}
    if len(forms) > 1:
        custom["dateForms"] = forms
    elif forms != [ISO]:
        options["format"] = forms[0]
    if moments.has_short_years:
        custom["pivotYear"] = today.year - _YEARS_BACK
        text = f"two digits are a year from {today.year - _YEARS_BACK} to {today.year - _YEARS_BACK + 99}."
        checks["customProperties"] = [text]
    if kind == "timestamptz" and moments.has_offsets:
        options["timezone"] = True
    elif kind == "timestamptz":
        checks["physicalType"] = ["values without an offset are read as UTC."]
    elif kind == "timestamp":
        text = "no value has an offset, so these are local times. Write timestamptz to read them as UTC."
        checks["physicalType"] = [text]
    logical = kind if kind != "timestamptz" else "timestamp"
    return declare(logical, kind, options, **custom), checks


def _nearer(texts: Texts, declared: Mapping[Order, Declared]) -> tuple[Order | None, str | None]:
    """Return the order in which the dates lie close together, and the numbers that show it; None if neither is."""
    spans: dict[Order, int] = {}
    for order, candidate in declared.items():
        low, high = texts.extremes(candidate)
        if low is None or high is None or candidate["physicalType"] == "time":
            return None, None
        spans[order] = (date.fromisoformat(high[:10]) - date.fromisoformat(low[:10])).days + 1
    near, far = sorted(spans, key=lambda order: spans[order])
    if texts.distinct < _ENOUGH_DATES or spans[near] > _MONTH or spans[far] <= 2 * _MONTH:
        return None, None
    return near, f"because they then lie within {count(spans[near], 'day')}, else within {spans[far]:,}"


def _text(texts: Texts) -> Choice:
    choice = Choice(declare("string", "text"))
    placeholders = [text for text, _ in texts.among(PLACEHOLDERS) if text in PLACEHOLDERS]
    if placeholders:
        choice.declared = with_custom(choice.declared, "nullWords", placeholders)
        _note_words(choice, texts, placeholders)
    rows = texts.misfits(choice.declared).rows
    if rows:
        choice.declared = with_custom(choice.declared, "controlCharacters", "any")
        choice.doubt("customProperties", f"{count(rows, 'row')} have control characters. Remove `any` to reject them.")
    zeros = texts.rows_like(_LEADING_ZERO)
    if zeros and texts.share(_INTEGER) > 0.5:
        choice.doubt("physicalType", f"text, because values of {count(zeros, 'row')} begin with zero.")
    elif texts.share(_INTEGER) == 1.0:
        choice.doubt("physicalType", "all values are digits; text keeps zeros at the beginning, as in codes.")
    found = {one: moments_of(texts.sample, one) for one in ORDERS}
    if all(one and one.has_order for one in found.values()):
        choice.is_order_unknown = True
        forms = " or ".join(f"[{', '.join(one.forms)}]" for one in found.values() if one)
        choice.doubt(
            "physicalType",
            "the values are dates, and no value shows whether day or month comes first. Write the logicalType and the "
            f"physicalType date or timestamp, and the custom property dateForms with {forms}.",
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
        choice.declared = with_options(choice.declared, options)
