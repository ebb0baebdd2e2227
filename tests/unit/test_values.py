"""Every text that a column accepts has the value that an independent reader gives it; any other text is rejected."""

from __future__ import annotations

import json
import math
import re
import struct
import unicodedata
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.json_texts import DEEP, JSON, JSON_DAMAGE, JSON_TEXT, ODD_JSON, as_json
from support.texts import BLANK, mutated, padded
from support.typed_values import column, read
from waybill.contracts import Column, Contract
from waybill.contracts.validation import PLACEHOLDERS, compile_query
from waybill.period import Period

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
FAST = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


SMALLINT, INTEGER, BIGINT = (column(kind, "integer") for kind in ("smallint", "integer", "bigint"))
DOUBLE, REAL = column("double precision", "number"), column("real", "number")
AMOUNT, WIDE = column("numeric(12,2)", "number"), column("numeric(38,10)", "number")
DAY, MONTH_FIRST = column("date", "date"), column("date", "date", date_forms=("YYYY-MM-DD", "M/D/YYYY"))
DAY_FIRST, ONLY_SLASHED = replace(DAY, date_forms=("D/M/YYYY",)), replace(DAY, date_forms=("M/D/YYYY",))
LOCAL, TIME = column("timestamp", "timestamp"), column("time", "time")
INSTANT, FLAG, ID = column("timestamptz", "timestamp"), column("boolean", "boolean"), column("uuid", "string")
TEXT, KEY = column("text", "string"), column("text", "string", control_characters="none")


def is_type_error(reasons: list[str]) -> bool:
    return "type:value" in reasons


# --- numbers ------------------------------------------------------------------------------------------------------

WRITTEN = st.builds(
    lambda sign, zeros, number: sign + zeros + number,
    st.sampled_from(["", "+", "-"]),
    st.sampled_from(["", "0", "000"]),
    st.one_of(
        st.integers(0, 10**11).map(str),
        st.sampled_from([2**15 - 1, 2**15, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**20, 10**28]).map(str),
        st.builds(lambda whole, part: f"{whole}.{part}", st.integers(0, 10**10), st.integers(0, 999)),
    ),
)
SPOILT = ".,eE_-+()$%€xX\u2212\u2013\uff11\u0661 \u00a0\u202f'0159NaInfityd"
NUMBERS = padded(st.one_of(WRITTEN, mutated(WRITTEN, SPOILT)))
ODD = [
    "(123.45)",
    "-0",
    "-0.00",
    "\u221212.00",
    "$12.00",
    "12%",
    "1 234.50",
    "1_000",
    "1e3",
    "\uff11\uff12",
    ".5",
    "5.",
]
ODD += [
    "0x10",
    "Infinity",
    "-inf",
    "NaN",
    "1,5",
    "1.234,56",
    "+5",
    "007",
    "1.5",
    "5\u00a0",
    "\ufeff5",
    "9" * 20,
    "9" * 40,
]


def exact(text: str) -> Decimal | None:
    """Return the number that Python reads from a text; Python accepts far more forms."""
    try:
        with localcontext(prec=100):
            number = Decimal(text.strip(BLANK))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


@pytest.mark.parametrize(
    "declared", [SMALLINT, INTEGER, BIGINT, AMOUNT, WIDE], ids=lambda declared: declared.physical_type
)
@given(texts=st.lists(NUMBERS, min_size=20, max_size=60))
@example(texts=ODD)
@FAST
def test_a_number_is_loaded_exactly_or_rejected(declared: Column, texts: list[str]) -> None:
    whole, scale = {
        "smallint": (2**15, 0),
        "integer": (2**31, 0),
        "bigint": (2**63, 0),
        "numeric(12,2)": (10**10, 2),
    }.get(declared.physical_type, (10**28, 10))
    for text, (value, reasons) in zip(texts, read(declared, texts), strict=True):
        number = exact(text)
        plain = re.fullmatch(rf"[+-]?[0-9]+([.][0-9]{{1,{scale}}})?" if scale else "[+-]?[0-9]+", text.strip(BLANK))
        fits = number is not None and -whole <= number < whole and (scale == 0 or abs(number) < whole)
        if plain and fits:
            assert (text, value, reasons) == (text, number, [])
        elif text.strip(BLANK):
            assert (text, value, reasons) == (text, None, ["type:value"])


# --- binary numbers ---------------------------------------------------------------------------------------------

SINGLES = st.integers(0, 2**32 - 1).map(lambda bits: struct.unpack("f", struct.pack("I", bits))[0])
DOUBLES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just(2.0**-24), SINGLES.filter(math.isfinite))
PRINTED = st.one_of(
    DOUBLES.map(repr),
    SINGLES.map(lambda value: f"{value:.9g}"),
    st.builds(lambda value, digits: f"{value:.{digits}e}", DOUBLES, st.integers(0, 30)),
    st.builds(lambda value, digits: f"{value:.{digits}f}", st.floats(-1e30, 1e30), st.integers(0, 25)),
    st.builds(lambda number, power: f"{number}e{power}", st.integers(-(10**19), 10**19), st.integers(-400, 400)),
)
ODD_NUMBERS = ["1e400", "-1e400", "1e-400", "4.9E-324", "3e-324", "2e-324", "1.7976931348623157e308", "1.8e308", "1e39"]
ODD_NUMBERS += ["16777217", "9007199254740993", "123456789012345678", "0.10000000000000001", "0.1000000000000000055511"]
ODD_NUMBERS += ["-0", "-0.0", "0e5", "0." + "0" * 900 + "1", "1" + "0" * 900, "3.14159265358979323846", "1e+007", "1E5"]
ODD_NUMBERS += [
    f"{5e-324:.767e}",
    f"{0.1:.60f}",
    "1" * 900,
    "1e99999999999999999999",
    "1.e5",
    "1e",
    "e5",
    "0x1p3",
]


def nearest(number: Fraction, kind: str) -> float:
    """Return the nearest binary number, infinite if the number is out of range; of two, the one that ends in zero."""
    bits, least, greatest = (53, -1074, 1024) if kind == "double precision" else (24, -149, 128)
    size = abs(number)
    exponent = least
    if size:
        power = size.numerator.bit_length() - size.denominator.bit_length()
        exponent = max(least, power - bits - 1)
        while size / Fraction(2) ** exponent >= 2**bits:
            exponent += 1
    whole = round(size / Fraction(2) ** exponent)  # half to even
    value = whole * Fraction(2) ** exponent
    found = math.inf if value >= Fraction(2) ** greatest else float(value)
    return -found if number < 0 and found else found


def digits_of(text: str) -> str:
    return re.sub("[+.-]", "", re.split("[eE]", text)[0]).strip("0")


@pytest.mark.parametrize("declared", [DOUBLE, REAL], ids=lambda declared: declared.physical_type)
@given(texts=st.lists(padded(st.one_of(PRINTED, NUMBERS, mutated(PRINTED, SPOILT))), min_size=20, max_size=60))
@example(texts=[*ODD, *ODD_NUMBERS])
@FAST
def test_a_binary_number_is_the_nearest_one_and_keeps_all_digits(declared: Column, texts: list[str]) -> None:
    for text, (value, reasons) in zip(texts, read(declared, texts), strict=True):
        bare = text.strip(BLANK)
        meant, digits = None, digits_of(bare)
        if re.fullmatch(r"[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?", bare, re.ASCII) and len(digits) <= 800:
            power = int(re.split("[eE]", bare)[1]) if re.search("[eE]", bare) else 0
            number = Fraction(bare) if digits and abs(power) < 2000 else Fraction(0)
            found = nearest(number, declared.physical_type) if abs(power) < 2000 or not digits else math.inf
            shortest = repr(found) if declared is DOUBLE else str(np.float32(found))
            if digits in (digits_of(f"{found:.{max(len(digits) - 1, 0)}e}"), digits_of(shortest)):
                meant = found
        if meant is not None:
            assert (text, value, reasons) == (text, meant, [])
            assert math.copysign(1, value) == (-1 if value < 0 else 1), "zero has no sign"
        elif bare:
            assert (text, value, reasons) == (text, None, ["type:value"])


@pytest.mark.parametrize("declared", [DOUBLE, REAL], ids=lambda declared: declared.physical_type)
@given(values=st.lists(DOUBLES, min_size=20, max_size=60))
@FAST
def test_every_binary_number_can_be_loaded_again(declared: Column, values: list[float]) -> None:
    if declared is REAL:
        values = [value for value in values if nearest(Fraction(value), "real") == value]
        texts = [f"{value:.9g}" for value in values]
    else:
        texts = [*map(repr, values)]
    assert read(declared, texts) == [(value, []) for value in values]


# --- dates --------------------------------------------------------------------------------------------------------

YEARS = st.one_of(st.integers(1890, 2045), st.sampled_from([1, 26, 99, 206, 1899, 1900, 2036, 2126, 9999]))
DAYS = st.builds(
    lambda year, month, day: (year, month, day),
    YEARS,
    st.integers(0, 13),
    st.one_of(st.integers(1, 28), st.integers(0, 32)),
)
ISO = DAYS.map(lambda parts: f"{parts[0]:04d}-{parts[1]:02d}-{parts[2]:02d}")
SLASHED = st.builds(
    lambda parts, form: form.format(*parts),
    DAYS,
    st.sampled_from(["{1}/{2}/{0:04d}", "{1:02d}/{2:02d}/{0:04d}", "{1}/{2}/{0}"]),
)
DATES = padded(st.one_of(ISO, SLASHED, mutated(ISO, "-/ 0129T\u2010"), mutated(SLASHED, "-/. 0129")))
ODD_DATES = ["3/31/26", "3/31/0026", "2026-03-31 00:00:00", "46112", "0026-03-01", "0000-01-01", "infinity", "epoch"]
ODD_DATES += [
    "2026-03-1 ",
    " 026-03-01",
    "2026-03-01 (BC)",
    "10000-01-01",
    "9999-12-31",
    "2026/3/31",
    "2026-03-1a",
    "today",
]
PATTERNS = {"YYYY-MM-DD": r"\d{4}-\d\d-\d\d", "M/D/YYYY": r"\d\d?/\d\d?/\d{4}", "D/M/YYYY": r"\d\d?/\d\d?/\d{4}"}
PYTHON_FORMS = {"YYYY-MM-DD": "%Y-%m-%d", "M/D/YYYY": "%m/%d/%Y", "D/M/YYYY": "%d/%m/%Y"}


def as_date(text: str, form: str) -> date | None:
    if not re.fullmatch(PATTERNS[form], text, re.ASCII):
        return None
    try:
        return datetime.strptime(text, PYTHON_FORMS[form]).date()  # noqa: DTZ007
    except ValueError:
        return None


@pytest.mark.parametrize(
    "declared", [DAY, MONTH_FIRST, DAY_FIRST, ONLY_SLASHED], ids=lambda declared: str(declared.date_forms)
)
@given(texts=st.lists(DATES, min_size=20, max_size=60))
@example(texts=ODD_DATES)
@FAST
def test_a_date_is_read_in_its_declared_form_or_rejected(declared: Column, texts: list[str]) -> None:
    for text, (value, reasons) in zip(texts, read(declared, texts), strict=True):
        bare = text.strip(BLANK)
        if not bare:
            continue
        meant = next((day for form in declared.date_forms if (day := as_date(bare, form))), None)
        if meant is None:
            swapped = {"M/D/YYYY": "D/M/YYYY", "D/M/YYYY": "M/D/YYYY"}.get(declared.date_forms[-1])
            in_doubt = ["date_order:value"] if swapped and as_date(bare, swapped) else []
            assert (text, reasons) == (text, ["type:value", *in_doubt])
        else:
            plausible = date(1900, 1, 1) <= meant < date(2036, 3, 3)
            assert (text, value, reasons) == (text, meant, [] if plausible else ["range:value"])


BOUNDS: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "1899-12-31", False),
    ({}, "1900-01-01", True),
    ({}, "2036-03-02", True),
    ({}, "2036-03-03", False),
    ({"max_years_ahead": 0}, "2026-03-02", True),
    ({"max_years_ahead": 0}, "2026-03-03", False),
    ({"max_years_ahead": 9000}, "9999-03-02", True),
    ({"options": {"minimum": "1800-01-01"}}, "1890-05-01", True),
    ({"options": {"minimum": "1800-01-01"}}, "1799-12-31", False),
    ({"options": {"minimum": "1800-01-01"}}, "2099-12-31", False),
    ({"options": {"exclusiveMinimum": "0025-12-31"}}, "0026-01-01", True),
    ({"options": {"maximum": "2099-12-31"}}, "2099-12-31", True),
    ({"options": {"maximum": "2099-12-31"}}, "2100-01-01", False),
    ({"options": {"maximum": "2099-12-31"}}, "0026-03-31", False),
    ({"options": {"exclusiveMaximum": "2099-12-31"}}, "2099-12-31", False),
]


@pytest.mark.parametrize("declared", [DAY, LOCAL, INSTANT], ids=lambda declared: declared.physical_type)
@pytest.mark.parametrize(("changes", "text", "is_plausible"), BOUNDS)
def test_a_contract_declares_the_plausible_years(
    declared: Column, changes: dict[str, Any], text: str, is_plausible: bool
) -> None:
    written = {"date": text, "timestamp": f"{text}T00:00:00"}.get(declared.physical_type, f"{text}T00:00:00Z")
    [(_, reasons)] = read(replace(declared, **changes), [written])
    assert reasons == ([] if is_plausible else ["range:value"])


def test_a_leap_day_has_a_bound_too() -> None:
    contract = Contract("t", "rows", "1", "", "", (replace(DAY, key_position=1),), "merge", 100, 0, (), "", ("day",))
    query = compile_query(contract, Period.parse("day", "2028-02-28"), "source", lambda _: True, "UTC")
    assert "< '2038-03-01'" in query


# --- instants -----------------------------------------------------------------------------------------------------

CLOCKS = st.one_of(
    st.times().map(lambda time: time.isoformat()),
    st.builds(lambda h, m: f"{h:02d}:{m:02d}", st.integers(0, 25), st.integers(0, 61)),
    st.builds(lambda h, m, s: f"{h:02d}:{m:02d}:{s:02d}", st.integers(0, 25), st.integers(0, 61), st.integers(0, 61)),
    st.builds(
        lambda s, part: f"10:00:{s:02d}.{part}", st.integers(0, 60), st.text(st.sampled_from("0123456789"), max_size=10)
    ),
    st.sampled_from(["24:00", "24:00:00", "24:00:00.000", "24:00:01", "24:01", "23:59:60", "10:00:00.1230000"]),
)
OFFSETS = st.one_of(
    st.sampled_from(
        ["", "Z", "+0530", "+05:30", "-05:30", "+05", "+14:00", "+14:01", "-12:00", "-12:01", "+26:00", "-00:00"]
    ),
    st.builds(
        lambda sign, h, m: f"{sign}{h:02d}:{m:02d}", st.sampled_from("+-"), st.integers(0, 30), st.integers(0, 61)
    ),
    st.sampled_from([" UTC", "z", " AM", " Europe/Berlin", "+5:30", "+5"]),
)
NEAR = st.dates(date(1899, 1, 1), date(2040, 1, 1)).map(str)
INSTANTS = st.builds(
    lambda day, mark, clock, offset: day + mark + clock + offset, NEAR, st.sampled_from("T T "), CLOCKS, OFFSETS
)
ODD_INSTANTS = [
    "2026-10-24 24:00:00",
    "2026-10-24T23:59:60Z",
    "2026-10-24T10:00:00.123456789Z",
    "1792837800",
    "2026-10-24",
]
ODD_INSTANTS += ["2026-10-24T10:00:00+26:00", "2026-10-24t10:00:00z", "24/10/2026 10:00", "2026-10-24T10:00:00,5Z"]
ODD_INSTANTS += ["9999-12-31T24:00Z", "0001-01-01T00:00+14:00", "0000-01-01T00:00Z", "2026-10-24 10:00:00 AM"]
INSTANT_FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](?:(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)


def as_instant(text: str) -> datetime | None:
    """Return the instant by the parts of the text and the calendar of Python."""
    parts = INSTANT_FORM.fullmatch(text)
    if parts is None:
        return None
    day, hours, minutes, seconds, fraction, offset = parts.groups()
    micros = (fraction or "").ljust(6, "0")
    if micros[6:].strip("0") or int(minutes) > 59 or int(seconds or 0) > 59:
        return None
    clock = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds or 0), microseconds=int(micros[:6]))
    shift = timedelta()
    if offset and offset != "Z":
        digits = offset[1:].replace(":", "").ljust(4, "0")
        shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (1 if offset[0] == "+" else -1)
        if int(digits[2:]) > 59 or not timedelta(hours=-12) <= shift <= timedelta(hours=14):
            return None
    try:
        found = datetime.fromisoformat(day).replace(tzinfo=UTC) + clock - shift
    except (ValueError, OverflowError):
        return None
    return found if clock <= timedelta(days=1) and found < datetime(9999, 12, 31, tzinfo=UTC) else None


@given(texts=st.lists(padded(st.one_of(INSTANTS, mutated(INSTANTS, "TZ:+-. 0129"))), min_size=20, max_size=60))
@example(texts=ODD_INSTANTS)
@FAST
def test_an_instant_is_exact_or_rejected(texts: list[str]) -> None:
    for text, (value, reasons) in zip(texts, read(INSTANT, texts), strict=True):
        meant = as_instant(text.strip(BLANK))
        if meant is None:
            assert (text, value, reasons) == (text, None, ["type:value"])
        else:
            plausible = datetime(1900, 1, 1, tzinfo=UTC) <= meant < datetime(2036, 3, 3, tzinfo=UTC)
            assert (text, value, reasons) == (text, meant, [] if plausible else ["range:value"])


@given(texts=st.lists(padded(st.one_of(INSTANTS, mutated(INSTANTS, "TZ:+-. 0129"))), min_size=20, max_size=60))
@example(texts=[*ODD_INSTANTS, "9999-12-31T23:59:59.999999", "9999-12-31T24:00", "0001-01-01 00:00"])
@FAST
def test_a_local_timestamp_is_exact_and_has_no_offset(texts: list[str]) -> None:
    for text, (value, reasons) in zip(texts, read(LOCAL, texts), strict=True):
        bare = text.strip(BLANK)
        has_offset = re.search(r"(Z|[+-]\d\d(:?\d\d)?)$", bare[10:])
        meant = None if has_offset else as_instant(bare)
        if not has_offset and bare.startswith("9999-12-31") and "24:00" not in bare:
            meant = datetime.fromisoformat(bare).replace(tzinfo=UTC)
        if meant is None:
            assert (text, value, reasons) == (text, None, ["type:value"])
        else:
            meant = meant.replace(tzinfo=None)
            plausible = datetime(1900, 1, 1) <= meant < datetime(2036, 3, 3)  # noqa: DTZ001
            assert (text, value, reasons) == (text, meant, [] if plausible else ["range:value"])


ODD_TIMES = ["24:00", "24:00:00", "23:59:60", "8:30", "08:30 AM", "0830", "08:30Z", "08:30+01:00", "08:30:00.1234567"]


@given(texts=st.lists(padded(st.one_of(CLOCKS, mutated(CLOCKS, "TZ:+-. 0129"))), min_size=20, max_size=60))
@example(texts=ODD_TIMES)
@FAST
def test_a_time_of_day_is_exact_or_rejected(texts: list[str]) -> None:
    for text, (value, reasons) in zip(texts, read(TIME, texts), strict=True):
        bare = text.strip(BLANK)
        meant = None
        if re.fullmatch(r"\d\d:\d\d(:\d\d([.]\d{1,6}0{0,3})?)?", bare, re.ASCII):
            with suppress(ValueError):
                meant = time.fromisoformat(bare[:15])
        if meant is not None and not bare.startswith("24"):
            assert (text, value, reasons) == (text, meant, [])
        elif bare:
            assert (text, value, reasons) == (text, None, ["type:value"])


# --- truth values and UUIDs ---------------------------------------------------------------------------------------


@given(
    padded(
        st.sampled_from(["true", "FALSE", "t", "F", "1", "0", "True", "yes", "2", "1.0", "truth", "null", "on", "-1"])
    )
)
@FAST
def test_a_truth_value_is_one_of_a_few_words(text: str) -> None:
    words = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    meant = words.get(text.strip(BLANK).lower())
    assert read(FLAG, [text]) == [(meant, ["type:value"] if meant is None else [])]


@given(padded(st.one_of(st.uuids().map(str), mutated(st.uuids().map(str), "0aFg-{}"))))
@FAST
def test_a_uuid_has_its_five_groups(text: str) -> None:
    bare = text.strip(BLANK)
    is_uuid = re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bare, re.IGNORECASE | re.ASCII)
    assert read(ID, [text]) == [(UUID(bare).bytes if is_uuid else None, [] if is_uuid else ["type:value"])]


# --- JSON and lists of texts --------------------------------------------------------------------------------------


DOCUMENT, TAGS = column("jsonb", "object"), column("text[]", "array")
SPLIT = replace(TAGS, list_separator=";")


@given(texts=st.lists(padded(st.one_of(JSON, DEEP, mutated(JSON, JSON_DAMAGE))), min_size=20, max_size=60))
@example(texts=ODD_JSON)
@FAST
def test_json_is_kept_as_written_or_rejected(texts: list[str]) -> None:
    for text, (value, reasons) in zip(texts, read(DOCUMENT, texts), strict=True):
        bare = text.strip(BLANK)
        if not bare:
            continue
        if as_json(bare) is None or len(bare.encode()) > 2**20:
            assert (text, value, reasons) == (text, None, ["type:value"])
        else:
            assert (text, value, reasons) == (text, b"\1" + bare.encode(), [])


def as_texts(text: str, separator: str | None) -> list[str] | None:
    if separator and re.match(r'\{[ \t\r\n]*["}]', text):  # a JSON object
        return None
    if separator and not text.startswith("["):
        items: Any = text.split(separator)
    else:
        items = as_json(text)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return None
    items = [item.strip(BLANK) for item in items]
    controls = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
    return None if any(not item or controls.search(item) for item in items) else items


LISTS = st.lists(JSON_TEXT, max_size=4).map(lambda items: json.dumps(items, ensure_ascii=len(items) > 2))
SPLITS = st.lists(st.text(st.sampled_from('ab \u00a0[],"\t')), max_size=5).map(";".join)
ODD_LISTS = [
    '["a",1]',
    '["a",null]',
    '[["a"]]',
    '["a",]',
    '["a""b"]',
    '["\\ud800"]',
    '["a" "b"]',
    "[,]",
    "a;;b",
    ";",
    "[]",
    "{}",
    '{"a": "b;c"}',
    '{\n "a": 1}',
    "{a};{b}",
]


@pytest.mark.parametrize("declared", [TAGS, SPLIT], ids=["JSON", "separated"])
@given(texts=st.lists(padded(st.one_of(LISTS, SPLITS, JSON, mutated(LISTS, JSON_DAMAGE))), min_size=20, max_size=60))
@example(texts=ODD_LISTS)
@FAST
def test_a_list_of_texts_has_the_items_of_its_text_or_is_rejected(declared: Column, texts: list[str]) -> None:
    for text, (value, reasons) in zip(texts, read(declared, texts), strict=True):
        bare = text.strip(BLANK)
        items = as_texts(bare, declared.list_separator)
        if items is not None:
            placeholder = ["placeholder:value"] if set(items) & set(PLACEHOLDERS) else []
            assert (text, value, reasons) == (text, items, placeholder)
        elif bare:
            assert (text, value, reasons) == (text, None, ["type:value"])


# --- text ---------------------------------------------------------------------------------------------------------

CHARACTERS = st.one_of(
    st.sampled_from(BLANK),
    st.sampled_from("aé\u0301😀\"'\u4e2d\u00ad\u202e\u200f"),
    st.characters(max_codepoint=0xA0, exclude_characters="\0"),
)


@pytest.mark.parametrize("controls", ["none", "layout", "any"])
@given(texts=st.lists(st.text(CHARACTERS, max_size=6), min_size=20, max_size=60))
@example(
    texts=[
        "Le\teds",
        "line\nbreak",
        "bell\x07",
        "\x1besc",
        "del\x7f",
        "nel\x85x",
        "\x9b",
        "A\u200bB",
        "\u00a0 ",
        "\x1c",
    ]
)
@FAST
def test_text_is_trimmed_and_has_no_control_characters(controls: Any, texts: list[str]) -> None:
    declared = replace(TEXT, control_characters=controls, allows_placeholders=True)
    for text, (value, reasons) in zip(texts, read(declared, texts), strict=True):
        bare = text.strip(BLANK + "\u180e\u200e\u200f")
        controlling = {c for c in bare if unicodedata.category(c) == "Cc"} - set(
            "\t\n\r" if controls == "layout" else ""
        )
        if controls == "none":
            controlling |= {c for c in bare if unicodedata.category(c) in ("Cf", "Zl", "Zp")}
        if controlling and controls != "any":
            assert (text, value, reasons) == (text, None, ["control:value"])
        else:
            assert (text, value, reasons) == (text, bare or None, [])


def test_a_placeholder_of_programs_is_rejected_as_text() -> None:
    for text, (_, reasons) in zip(PLACEHOLDERS, read(TEXT, [f" {text}\u00a0" for text in PLACEHOLDERS]), strict=True):
        assert (text, reasons) == (text, ["placeholder:value"])
    assert read(replace(TEXT, allows_placeholders=True), ["NULL"]) == [("NULL", [])]
    assert read(replace(TEXT, null_words=("null", r"\N")), ["NULL", "\ufeff\\n\u3000"]) == [(None, []), (None, [])]
    assert read(TEXT, ["Null", "Nan", "NA", "none"]) == [("Null", []), ("Nan", []), ("NA", []), ("none", [])]


NULL_WORDS = ["n.a.", "(null)", r"\N", "a|b", "#N/A", "\u00dcber", "-", "no value", "[x]", "*", "N\nA"]


@given(
    texts=st.lists(
        padded(mutated(st.sampled_from(NULL_WORDS), "nNaAb.|*[]()\\ \u00fc\u00dc")), min_size=20, max_size=60
    )
)
@example(texts=[*NULL_WORDS, "NXA.", "N.A.", "\u00fcBER", "a", "b", "nn", "NO  VALUE", r"\n", "x"])
@FAST
def test_a_null_word_is_a_whole_text_in_any_case(texts: list[str]) -> None:
    words = {word.lower() for word in NULL_WORDS}
    declared = replace(TEXT, null_words=tuple(NULL_WORDS), allows_placeholders=True)
    for text, (value, _) in zip(texts, read(declared, texts), strict=True):
        bare = text.strip(BLANK)
        assert (text, value) == (text, None if bare.lower() in words else bare or None)


@pytest.mark.parametrize(
    "declared", [INTEGER, AMOUNT, DAY, INSTANT, FLAG, ID, TEXT], ids=lambda declared: declared.physical_type
)
def test_a_blank_text_and_a_null_word_are_null(declared: Column) -> None:
    texts = ["", *BLANK, BLANK]
    assert read(declared, texts) == [(None, [])] * len(texts)
    assert read(replace(declared, required=True), texts) == [(None, ["required:value"])] * len(texts)
    worded = replace(declared, null_words=("n.a.", "-1", "9999-12-31"))
    assert read(worded, [f"\u00a0{word}\u200b" for word in ("N.A.", "-1", "9999-12-31")]) == [(None, [])] * 3
