"""Local times are the instants that Python's zoneinfo and dateutil give them, or are rejected for their hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.tz import datetime_ambiguous, datetime_exists, resolve_imaginary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.typed_values import column, read
from waybill.contracts.limits import of_options
from waybill.contracts.time_zones import is_known

FAST = settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
ZONES = [
    *("Europe/Berlin", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Caracas"),
    *("Australia/Lord_Howe", "Africa/Casablanca", "Africa/Monrovia", "Africa/Cairo", "Antarctica/Troll"),
    *("Asia/Kathmandu", "Asia/Kolkata", "Asia/Gaza", "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Chatham"),
]
LIMITS = {"minimum": "0001-01-02T00:00:00Z", "maximum": "9999-12-29T00:00:00Z"}


def local_column(zone: str, **more: Any) -> Any:
    options = {"defaultTimezone": zone, **more.pop("options", {})}
    return column("timestamptz", "timestamp", options=options, **more)


def meant(local: datetime, zone: str, skipped: str, doubled: str) -> tuple[datetime | None, list[str]]:
    """Return the instant of a local time, or the reason to reject it."""
    at = local.replace(tzinfo=ZoneInfo(zone))
    if not datetime_exists(at):
        if skipped == "reject":
            return None, ["skipped_hour:value"]
        return resolve_imaginary(at).astimezone(UTC), []
    if datetime_ambiguous(at):
        if doubled == "reject":
            return None, ["doubled_hour:value"]
        return at.replace(fold=int(doubled == "later")).astimezone(UTC), []
    return at.astimezone(UTC), []


def changes(zone: str, year: int) -> list[datetime]:
    """Return local times around each change of the offset in a year."""
    noons = [datetime(year, 1, 1, 12) + timedelta(days=day) for day in range(-1, 367)]  # noqa: DTZ001
    offsets = [noon.replace(tzinfo=ZoneInfo(zone)).utcoffset() for noon in noons]
    days = [
        noon for (noon, _), (before, after) in zip(pairwise(noons), pairwise(offsets), strict=True) if before != after
    ]
    steps = [timedelta(minutes=15 * step) for step in range(-8, 104)]
    edges = [timedelta(hours=hour, microseconds=-1) for hour in range(12, 18)]
    return [day + step for day in days for step in (*steps, *edges)]


RULES = st.tuples(st.sampled_from(["reject", "forward"]), st.sampled_from(["reject", "earlier", "later"]))
YEARS = st.one_of(st.integers(1880, 2036), st.integers(1940, 1950), st.integers(2037, 9998), st.just(1994))


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data())
@FAST
def test_a_local_time_is_the_instant_of_zoneinfo(zone: str, data: st.DataObject) -> None:
    skipped, doubled = data.draw(RULES)
    declared = local_column(zone, options=LIMITS, skipped_hour=skipped, doubled_hour=doubled)
    moments = [moment for year in data.draw(st.lists(YEARS, min_size=2, max_size=3)) for moment in changes(zone, year)]
    moments += data.draw(st.lists(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28)), min_size=10))  # noqa: DTZ001
    found = read(declared, [str(moment) for moment in moments])
    for moment, (value, reasons) in zip(moments, found, strict=True):
        assert (str(moment), value, reasons) == (str(moment), *meant(moment, zone, skipped, doubled))


def test_every_zone_has_the_offsets_of_zoneinfo_this_decade() -> None:
    for zone in ZONES:
        moments = [moment for year in range(2020, 2030) for moment in changes(zone, year)]
        moments += [datetime(2026, 1, 1) + timedelta(hours=37 * step) for step in range(400)]  # noqa: DTZ001
        found = read(local_column(zone), [str(moment) for moment in moments])
        assert found == [meant(moment, zone, "reject", "reject") for moment in moments]


BERLIN: list[tuple[str, str, str]] = [
    ("2026-03-29 01:59:59", "2026-03-29T00:59:59Z", "2026-03-29T00:59:59Z"),
    ("2026-03-29 02:00:00", "skipped_hour:value", "2026-03-29T01:00:00Z"),
    ("2026-03-29 02:59:59.999999", "skipped_hour:value", "2026-03-29T01:59:59.999999Z"),
    ("2026-03-29 03:00:00", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
    ("2026-10-25 01:59:59", "2026-10-24T23:59:59Z", "2026-10-24T23:59:59Z"),
    ("2026-10-25 02:00", "doubled_hour:value", "2026-10-25T00:00:00Z"),
    ("2026-10-25 02:59:59", "doubled_hour:value", "2026-10-25T00:59:59Z"),
    ("2026-10-25 03:00:00", "2026-10-25T02:00:00Z", "2026-10-25T02:00:00Z"),
    ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"),
    ("2026-10-25T02:30:00Z", "2026-10-25T02:30:00Z", "2026-10-25T02:30:00Z"),
    ("2026-10-25 24:00", "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z"),
    ("1945-05-24 02:30:00", "skipped_hour:value", "1945-05-24T00:30:00Z"),
    ("2026-10-25", "type:value", "type:value"),
    ("2026-02-30 02:30", "type:value", "type:value"),
    ("0001-01-01 00:00:00", "type:value", "type:value"),
]


@pytest.mark.parametrize(("text", "strict", "lenient"), BERLIN)
def test_hours_of_daylight_saving_time_follow_the_contract(text: str, strict: str, lenient: str) -> None:
    for expected, rules in ((strict, {}), (lenient, {"skipped_hour": "forward", "doubled_hour": "earlier"})):
        declared = local_column("Europe/Berlin", **rules)
        [(value, reasons)] = read(declared, [f" {text}\u00a0"])
        assert (reasons or [value and value.isoformat().replace("+00:00", "Z")]) == [expected]


def test_a_skipped_hour_is_not_taken_for_another_order_of_day_and_month() -> None:
    declared = local_column("America/New_York", date_forms=("dd/MM/yyyy HH:mm",))
    assert read(declared, ["08/03/2026 02:30", "01/11/2026 01:30", "03/13/2026 10:00", ""]) == [
        (None, ["skipped_hour:value"]),
        (None, ["doubled_hour:value"]),
        (None, ["type:value", "date_order:value"]),
        (None, []),
    ]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("dd.MM.yyyy HH:mm", "24.10.2026 12:00"),
        ("excel", "46319.5"),
        ("epoch_seconds", "1792836000"),
        ("dd.MM.yyyy HH:mm XXX", "24.10.2026 15:30 +05:30"),
        ("dd.MM.yyyy HH:mm X", "24.10.2026 10:00 Z"),
        ("iso_8601", "2026-10-24 12:00"),
    ],
)
def test_the_zone_applies_to_forms_without_an_offset(form: str, text: str) -> None:
    declared = local_column("Europe/Berlin", date_forms=(form, *(["iso_8601"] if form != "iso_8601" else [])))
    assert read(declared, [text]) == [(datetime(2026, 10, 24, 10, tzinfo=UTC), [])]


def test_names_of_zones_are_checked() -> None:
    assert all(map(is_known, [*ZONES, "UTC", "Etc/GMT+5", "EST"]))
    assert not any(map(is_known, ["Europe/Berlim", "CEST", "", "../x", "/etc/localtime", "localtime", "Europe"]))


@pytest.mark.parametrize(
    ("options", "custom", "message"),
    [
        ({"defaultTimezone": "Europe/Berlim"}, {}, "'Europe/Berlim' is no time zone; write it like Europe/Berlin"),
        ({"defaultTimezone": "Asia/Tokyo", "timezone": True}, {}, "has no effect with `timezone: true`"),
        ({"defaultTimezone": "UTC"}, {"skippedHour": "forward"}, "`skippedHour` has no effect without"),
        ({}, {"doubledHour": "later"}, "`doubledHour` has no effect without"),
        ({"defaultTimezone": "Asia/Tokyo"}, {"skippedHour": "forward"}, None),
        ({"defaultTimezone": "UTC"}, {}, None),
    ],
)
def test_a_time_zone_without_effect_is_an_error(
    options: dict[str, Any], custom: dict[str, str], message: str | None
) -> None:
    raw = {"name": "at", "customProperties": [{"property": name, "value": value} for name, value in custom.items()]}
    found = [problem.text for problem in of_options(options, "timestamptz", raw, ())]
    assert len(found) == (0 if message is None else 1)
    assert message is None or message in found[0]
