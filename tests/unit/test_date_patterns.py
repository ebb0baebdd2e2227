"""Dates and times in declared patterns have the value that Python's calendar gives them; other texts are rejected."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import from_excel, to_excel

from support.typed_values import column, read
from waybill.contracts.date_patterns import problems, swapped

FAST = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
NO_LIMITS: dict[str, Any] = {"minimum": "0001-01-01", "maximum": "9999-12-31"}
INSTANTS: dict[str, Any] = {"minimum": "0001-01-01T00:00:00Z", "maximum": "9999-12-30T00:00:00Z"}

# --- patterns again, in plain Python ------------------------------------------------------------------------------

TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|(.)")
TEXTS = {
    "yyyy": r"(?P<y>\d{4})",
    "yy": r"(?P<yy>\d\d)",
    "MMMM": f"(?P<name>{'|'.join(MONTHS)})",
    "MMM": f"(?P<name>{'|'.join(name[:3] for name in MONTHS)})",
    "MM": r"(?P<M>\d\d)",
    "M": r"(?P<M>\d\d?)",
    "dd": r"(?P<d>\d\d)",
    "d": r"(?P<d>\d\d?)",
    "HH": r"(?P<H>\d\d)",
    "H": r"(?P<H>\d\d?)",
    "hh": r"(?P<h>\d\d)",
    "h": r"(?P<h>\d\d?)",
    "a": r"(?P<a>AM|PM)",
    "mm": r"(?P<m>\d\d)",
    "ss": r"(?P<s>\d\d)",
    "SSS": r"(?P<f>\d{3})",
    "SSSSSS": r"(?P<f>\d{6})",
    "SSSSSSSSS": r"(?P<f>\d{6})000",
    "X": r"(?P<z>Z|[+-]\d\d(?:\d\d)?)",
    "XX": r"(?P<z>Z|[+-]\d{4})",
    "XXX": r"(?P<z>Z|[+-]\d\d:\d\d)",
    "xxx": r"(?P<z>[+-]\d\d:\d\d)",
    "Z": r"(?P<z>[+-]\d{4})",
}


def expression(pattern: str) -> str:
    """Return the regular expression of a pattern, with a group for each part."""
    found = ""
    for run in TOKEN.finditer(pattern):
        quoted, letter, other = run.groups()
        found += TEXTS[run[0]] if letter else re.escape(other or (quoted.replace("''", "'") or "'"))
    return found


def meant(text: str, pattern: str, first_year: int = 1970) -> datetime | None:
    """Return what a text means in a pattern: an aware time if it has an offset."""
    found = re.fullmatch(expression(pattern), text, re.ASCII | re.IGNORECASE)
    if found is None or ("'T'" in pattern and "T" not in text):
        return None
    part = {name: value for name, value in found.groupdict().items() if value is not None}
    year = int(part.get("y", 1900))
    if "yy" in part:
        year = first_year + (int(part["yy"]) - first_year) % 100
    names = [name[:3].lower() for name in MONTHS]
    month = names.index(part["name"][:3].lower()) + 1 if "name" in part else int(part.get("M", 1))
    hour = int(part.get("H", 0))
    if "h" in part:
        if not 1 <= int(part["h"]) <= 12:
            return None
        hour = int(part["h"]) % 12 + 12 * (part["a"].upper() == "PM")
    try:
        local = datetime(  # noqa: DTZ001
            year,
            month,
            int(part.get("d", 1)),
            hour,
            int(part.get("m", 0)),
            int(part.get("s", 0)),
            int(part.get("f", "0").ljust(6, "0")),
        )
    except ValueError:
        return None
    return aware(local, part["z"]) if "z" in part else local


def aware(local: datetime, offset: str) -> datetime | None:
    digits = offset.replace(":", "").replace("Z", "+0000")[1:].ljust(4, "0")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if offset[0] == "-" else 1)
    if int(digits[2:]) > 59 or not timedelta(hours=-12) <= shift <= timedelta(hours=14) or (offset == "z"):
        return None
    try:
        return local.replace(tzinfo=timezone(shift)).astimezone(UTC)
    except OverflowError:
        return None


def formatted(moment: datetime, pattern: str, offset: timedelta) -> str:
    """Return a moment as a pattern writes it."""
    minutes = abs(offset) // timedelta(minutes=1)
    sign = "-" if offset < timedelta() else "+"
    hours, rest = f"{minutes // 60:02d}", f"{minutes % 60:02d}"
    texts = {
        "yyyy": f"{moment.year:04d}",
        "yy": f"{moment.year % 100:02d}",
        "MMMM": MONTHS[moment.month - 1],
        "MMM": MONTHS[moment.month - 1][:3],
        "MM": f"{moment.month:02d}",
        "M": str(moment.month),
        "dd": f"{moment.day:02d}",
        "d": str(moment.day),
        "HH": f"{moment.hour:02d}",
        "H": str(moment.hour),
        "hh": f"{(moment.hour - 1) % 12 + 1:02d}",
        "h": str((moment.hour - 1) % 12 + 1),
        "a": "AM" if moment.hour < 12 else "PM",
        "mm": f"{moment.minute:02d}",
        "ss": f"{moment.second:02d}",
        "SSS": f"{moment.microsecond // 1000:03d}",
        "SSSSSS": f"{moment.microsecond:06d}",
        "SSSSSSSSS": f"{moment.microsecond:06d}000",
        "X": f"{sign}{hours}" + (rest if rest != "00" else ""),
        "XX": f"{sign}{hours}{rest}",
        "XXX": f"{sign}{hours}:{rest}" if minutes else "Z",
        "xxx": f"{sign}{hours}:{rest}",
        "Z": f"{sign}{hours}{rest}",
    }
    found = ""
    for run in TOKEN.finditer(pattern):
        quoted, letter, other = run.groups()
        found += texts[run[0]] if letter else other or (quoted.replace("''", "'") or "'")
    return found


DATES = [
    *("dd/MM/yyyy", "d/M/yyyy", "MM/dd/yyyy", "dd.MM.yyyy", "dd.MM.yy", "d.M.yy", "yy-MM-dd", "yyyyMMdd", "ddMMyyyy"),
    *("ddMMyy", "d MMM yyyy", "dd-MMM-yy", "MMMM d, yyyy", "yyyy/MM/dd", "yyyy-MM-dd'T00:00:00'", "'on' dd''MM''yyyy"),
    *("M/D/YYYY", "D/M/YYYY"),
]
CLOCKS = [
    "HH:mm",
    "HH:mm:ss",
    "H.mm",
    "hh:mm a",
    "h:mm:ssa",
    "HHmmss",
    "HH:mm:ss.SSS",
    "HHmmssSSS",
    "HH:mm:ss,SSSSSSSSS",
]
OFFSETS = ["X", " XX", "XXX", "xxx", " Z", "'Z'"]
YEARS = {"M/D/YYYY": "M/d/yyyy", "D/M/YYYY": "d/M/yyyy"}
MOMENTS = st.one_of(
    st.datetimes(datetime(1900, 1, 1), datetime(2069, 12, 31)),  # noqa: DTZ001
    st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)),  # noqa: DTZ001
    st.sampled_from([datetime(2000, 2, 29), datetime(2069, 12, 31, 23, 59, 59, 999999), datetime(1970, 1, 1, 12)]),  # noqa: DTZ001
)
SHIFTS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))
DAMAGE = "0123456789/.-: TZ+,'AMPapmrJ\u0661\u2010"


def damaged(text: str, at: int, length: int, new: str) -> str:
    at %= len(text) + 1
    return text[:at] + new + text[at + length :]


def texts(pattern: str) -> st.SearchStrategy[str]:
    plain = st.builds(formatted, MOMENTS, st.just(pattern), SHIFTS)
    broken = st.builds(
        damaged, plain, st.integers(0, 40), st.integers(0, 2), st.text(st.sampled_from(DAMAGE), max_size=2)
    )
    strange = st.tuples(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32)).map(
        lambda parts: re.sub("yyyy", f"{parts[0]:04d}", re.sub("MM", f"{parts[1]:02d}", pattern)).replace(
            "dd", f"{parts[2]:02d}"
        )
    )
    return st.one_of(plain, plain, broken, strange)


def declared_as(kind: str, *forms: str, **more: Any) -> Any:
    logical = {"date": "date", "time": "time"}.get(kind, "timestamp")
    options = {"date": NO_LIMITS, "timestamptz": INSTANTS}.get(kind, {})
    short = any(re.search("(?<!y)yy(?!y)", form) for form in forms)
    return column(kind, logical, date_forms=forms, options={**options, **more}, pivot_year=1970 if short else None)


@pytest.mark.parametrize("form", DATES)
@given(data=st.data())
@FAST
def test_a_date_has_the_value_of_its_pattern_or_is_rejected(form: str, data: st.DataObject) -> None:
    pattern = YEARS.get(form, form)
    assert [*problems([form], "date", has_first_year="yy" in re.findall("y+", form), needs_offset=False)] == []
    drawn = [text for text in data.draw(st.lists(texts(pattern), min_size=20, max_size=40)) if text.strip()]
    for text, (value, reasons) in zip(drawn, read(declared_as("date", form), drawn), strict=True):
        expected = meant(text.strip(), pattern)
        if expected:
            assert (text, value, reasons) == (text, expected.date(), [])
        else:
            other = swapped(form)
            doubt = ["date_order:value"] if other and meant(text.strip(), YEARS.get(other, other)) else []
            assert (text, value, reasons) == (text, None, ["type:value", *doubt])


@given(data=st.data())
@settings(FAST, max_examples=60)
def test_an_instant_has_the_value_of_its_pattern_or_is_rejected(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(DATES[:-2])) + " " + data.draw(st.sampled_from(CLOCKS))
    form += data.draw(st.sampled_from(["", *OFFSETS]))
    if "'T00" in form:
        return
    has_short_years = "yy" in re.findall("y+", form)
    assert [*problems([form], "timestamptz", has_first_year=has_short_years, needs_offset=False)] == []
    drawn = [text for text in data.draw(st.lists(texts(form), min_size=20, max_size=40)) if text.strip()]
    for text, (value, reasons) in zip(drawn, read(declared_as("timestamptz", form), drawn), strict=True):
        expected = meant(text.strip(), form)
        if expected:
            expected = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
            assert (text, value, reasons) == (text, expected, [])
        else:
            other = swapped(form)
            doubt = ["date_order:value"] if other and meant(text.strip(), other) else []
            assert (text, value, reasons) == (text, None, ["type:value", *doubt])


@given(data=st.data())
@FAST
def test_a_time_and_a_local_timestamp_have_the_value_of_their_pattern(data: st.DataObject) -> None:
    kind, form = data.draw(
        st.one_of(
            st.tuples(st.just("time"), st.sampled_from(CLOCKS)),
            st.tuples(st.just("timestamp"), st.sampled_from(CLOCKS).map(lambda clock: f"dd.MM.yyyy {clock}")),
        )
    )
    drawn = [text for text in data.draw(st.lists(texts(form), min_size=20, max_size=40)) if text.strip()]
    for text, (value, reasons) in zip(drawn, read(declared_as(kind, form), drawn), strict=True):
        expected = meant(text.strip(), form)
        if expected is None:
            assert (text, value, reasons[0]) == (text, None, "type:value")
        elif kind == "time":
            assert (text, value, reasons) == (text, expected.time(), [])
        else:
            assert (text, value) == (text, expected)
            assert set(reasons) <= {"range:value"}


# --- Excel and the epoch ------------------------------------------------------------------------------------------

EXCEL_MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 30))  # noqa: DTZ001


@given(moments=st.lists(EXCEL_MOMENTS, min_size=20, max_size=40))
@FAST
def test_a_serial_of_excel_is_the_day_that_openpyxl_reads(moments: list[datetime]) -> None:
    days = [moment.date() for moment in moments]
    serials = [int(to_excel(day)) for day in days]
    assert [from_excel(serial).date() for serial in serials] == days
    found = read(declared_as("date", "excel"), [str(serial) for serial in serials])
    assert found == [(day, []) for day in days]


@given(moments=st.lists(EXCEL_MOMENTS, min_size=20, max_size=40), places=st.integers(10, 17))
@FAST
def test_a_serial_with_a_fraction_is_the_time_that_openpyxl_reads(moments: list[datetime], places: int) -> None:
    serials = [f"{to_excel(moment.replace(microsecond=0)):.{min(places, 11)}f}" for moment in moments]
    for serial, (value, _) in zip(serials, read(declared_as("timestamp", "excel"), serials), strict=True):
        assert (serial, value) == (serial, from_excel(float(serial)))


def test_serials_that_are_no_days_are_rejected() -> None:
    wrong = ["0", "60", "2958466", "-1", "46112.5", "046112", "46,112", "1e4", "4611200000"]
    assert read(declared_as("date", "excel"), wrong) == [(None, ["type:value"])] * len(wrong)
    assert read(declared_as("date", "excel"), ["1", "59", "61", "2958465"]) == [
        (date(1900, 1, 1), []),
        (date(1900, 2, 28), []),
        (date(1900, 3, 1), []),
        (date(9999, 12, 31), []),
    ]
    wrong = ["60", "60.5", "0.5", "46112.", ".5", "46112.123456789012345678"]
    assert read(declared_as("timestamp", "excel"), wrong) == [(None, ["type:value"])] * len(wrong)
    for text, moment in {
        "46112": datetime(2026, 3, 31),  # noqa: DTZ001
        "46112.5": datetime(2026, 3, 31, 12),  # noqa: DTZ001
        "46112.4166666667": datetime(2026, 3, 31, 10),  # noqa: DTZ001
        "46112.999999999999": datetime(2026, 4, 1),  # noqa: DTZ001
    }.items():
        assert read(declared_as("timestamp", "excel"), [text]) == [(moment, [])]


@given(
    moments=st.lists(
        st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 29), timezones=st.just(UTC)),  # noqa: DTZ001
        min_size=20,
        max_size=40,
    )
)
@FAST
def test_seconds_and_milliseconds_of_the_epoch_are_exact(moments: list[datetime]) -> None:
    micros = [(moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for moment in moments]
    for word, unit in (("epoch_seconds", 10**6), ("epoch_milliseconds", 10**3)):
        numbers = [f"{Decimal(micro) / unit:f}" for micro in micros]
        assert read(declared_as("timestamptz", word), numbers) == [(moment, []) for moment in moments]
        wrong = ["1e9", "+5", "0x10", "1.0000001", "1,792,837,800", "5.", ".5", "9" * 16, "--5", "2026-10-24T10:00Z"]
        assert read(declared_as("timestamptz", word), wrong) == [(None, ["type:value"])] * len(wrong)
        assert read(declared_as("timestamptz", word), ["999999999999999"])[0][0] is None


# --- lists of forms -----------------------------------------------------------------------------------------------


def test_a_column_may_have_several_forms() -> None:
    several = declared_as("timestamptz", "iso_8601", "dd/MM/yyyy HH:mm", "epoch_seconds")
    found = read(
        several, ["2026-10-24T10:00:00+02:00", "24/10/2026 08:00", "1792828800", "2026-10-24 08:00", "46112.5"]
    )
    assert [value for value, _ in found[:4]] == [datetime(2026, 10, 24, 8, tzinfo=UTC)] * 4
    days = declared_as("date", "dd.MM.yyyy", "YYYY-MM-DD", "d MMM yyyy", "excel")
    found = read(days, ["31.03.2026", "2026-03-31", "31 Mar 2026", "46112", "3/31/2026"])
    assert found == [(date(2026, 3, 31), [])] * 4 + [(None, ["type:value"])]


@pytest.mark.parametrize("form", ["dd.MM.yy", "dd/MM/yyyy", "ddMMyyyy", "d-M-yyyy", "yyyy.dd.MM"])
def test_a_day_in_the_place_of_the_month_is_in_doubt(form: str) -> None:
    kinds = {"date": form, "timestamp": f"{form} HH:mm", "timestamptz": f"{form} HH:mm"}
    for kind, pattern in kinds.items():
        moment = datetime(2026, 4, 25, 10, 30, tzinfo=UTC)
        right, wrong = (formatted(moment, one, timedelta()) for one in (pattern, swapped(pattern) or ""))
        [(value, none), (nothing, reasons)] = read(declared_as(kind, pattern), [right, wrong])
        assert (value is None, none) == (False, [])
        assert (nothing, reasons) == (None, ["type:value", "date_order:value"])


@pytest.mark.parametrize("form", ["yyyy-MM-dd", "YYYY-MM-DD", "yyyyMMdd", "d MMM yyyy", "excel", "iso_8601", "HH:mm"])
def test_day_and_month_cannot_be_confused_in_other_forms(form: str) -> None:
    assert swapped(form) is None


WRONG: list[tuple[str, list[str], str]] = [
    ("date", ["dd/MM/yyyy EEE"], "the letter E, which is not supported. Supported are yyyy, yy, MMMM, MMM, MM, M, dd"),
    ("date", ["DD/MM/YYYY"], "the letter D, which is not supported. Write d for the day of the month"),
    ("date", ["dd/MM/YYYY"], "the letter Y, which is not supported. Write y for the year"),
    ("date", ["dd/MM/y"], "has y, which is not supported"),
    ("date", ["dd/MM/yyyy/dd"], "has the day twice"),
    ("date", ["dd/MM"], "lacks the year that a date needs"),
    ("date", ["dMyyyy"], "does not separate the day, whose length varies"),
    ("date", ["dd/MM/yyyy HH:mm"], "has the hour and the minute, which a date does not keep"),
    ("date", ["dd/MM/yy"], "needs the custom property `pivotYear`"),
    ("date", ["dd/MM/yyyy 'o"], "has a quote that is not closed"),
    ("date", ["dd/MM[/yyyy]"], "has '[', which is not supported outside quotes"),
    (
        "date",
        ["epoch_seconds"],
        "'epoch_seconds' is not allowed for the type date: allowed are patterns, iso_8601, excel",
    ),
    ("timestamp", ["dd/MM/yyyy HH:mm XXX"], "has the offset, which a timestamp does not keep"),
    ("timestamptz", ["dd/MM/yyyy"], "lacks the hour that a timestamptz needs"),
    ("timestamptz", ["dd/MM/yyyy HH:ss"], "lacks the minute that a timestamptz needs"),
    ("timestamptz", ["dd/MM/yyyy hh:mm"], "needs both h and a"),
    ("time", ["dd HH:mm"], "has the day, which a time does not keep"),
    ("date", ["dd/MM/yyyy", "MM/dd/yyyy"], "read the same text differently"),
    ("date", ["M/D/YYYY", "D/M/YYYY"], "read the same text differently"),
    ("date", ["yyyyMMdd", "ddMMyyyy"], "read the same text differently"),
    ("date", ["excel", "yyyyM"], "lacks the day"),
    ("timestamptz", ["epoch_seconds", "epoch_milliseconds"], "read the same text differently"),
    ("timestamptz", ["yyyyMMddHHmm", "epoch_seconds"], "read the same text differently"),
    ("timestamp", ["iso_8601", "yyyy-dd-MM HH:mm:ss"], "read the same text differently"),
]


@pytest.mark.parametrize(("kind", "forms", "message"), WRONG)
def test_an_impossible_list_of_forms_is_an_error(kind: str, forms: list[str], message: str) -> None:
    found = [*problems(forms, kind, has_first_year=False, needs_offset=False)]
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("kind", "forms"),
    [
        ("date", ["YYYY-MM-DD", "M/D/YYYY"]),
        ("date", ["dd/MM/yyyy", "d/M/yyyy", "dd.MM.yyyy", "yyyyMMdd", "excel"]),
        ("date", ["MMM d yyyy", "MMMM d yyyy", "d MMM yyyy"]),
        ("timestamptz", ["iso_8601", "yyyy-MM-dd HH:mm:ss", "dd/MM/yyyy HH:mm", "epoch_milliseconds"]),
        ("time", ["HH:mm", "hh:mm a", "iso_8601"]),
    ],
)
def test_forms_that_agree_may_stand_in_one_list(kind: str, forms: list[str]) -> None:
    assert [*problems(forms, kind, has_first_year=False, needs_offset=False)] == []


@given(data=st.data())
@settings(FAST, max_examples=100)
def test_two_forms_without_contradiction_never_read_a_text_differently(data: st.DataObject) -> None:
    pair = data.draw(st.lists(st.sampled_from([form for form in DATES if form not in YEARS]), min_size=2, max_size=2))
    first, second = pair
    if any("differently" in text for text in problems(pair, "date", has_first_year=True, needs_offset=False)):
        return
    for text in data.draw(st.lists(texts(first), min_size=10, max_size=20)):
        one, other = meant(text, first), meant(text, second)
        assert one is None or other is None or one == other


def test_an_offset_may_be_required() -> None:
    for form, is_enough in (("dd/MM/yyyy HH:mm", False), ("dd/MM/yyyy HH:mm XXX", True)):
        found = [*problems([form], "timestamptz", has_first_year=False, needs_offset=True)]
        assert (found == []) == is_enough


def test_a_pivot_without_short_years_has_no_effect() -> None:
    [message] = problems(["dd/MM/yyyy"], "date", has_first_year=True, needs_offset=False)
    assert message == "`pivotYear` has no effect without a pattern with the year yy: remove it"


@given(first_year=st.integers(1, 9900), year=st.integers(0, 99))
@FAST
def test_two_digits_mean_a_year_of_the_hundred_from_the_pivot(first_year: int, year: int) -> None:
    pivoted = column("date", "date", date_forms=("dd.MM.yy",), options=NO_LIMITS, pivot_year=first_year)
    [(value, reasons)] = read(pivoted, [f"28.02.{year:02d}"])
    assert (value, reasons) == (date(first_year + (year - first_year) % 100, 2, 28), [])
