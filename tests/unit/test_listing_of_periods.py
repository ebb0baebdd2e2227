"""Listing some periods finds what listing all objects finds, except what is below the folders of other periods."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.listings import PagedBucket
from waybill.contracts import Contract, load_domain
from waybill.contracts.locations import raw_layout
from waybill.intake.landing import Listing, list_pages, list_within
from waybill.period import Period

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
CONTRACTS = {
    "days": load_domain("shop")["transactions"],
    "months": load_domain("messaging")["traffic"],
    "any time": load_domain("orders")["lines"],
    "three folders": load_domain("purchases")["purchases"],
}
FIRST = date(2026, 2, 27)


def root(contract: Contract) -> str:
    return raw_layout(contract.domain, contract.name, contract.cadence).root


def keys(pages: Iterable[Listing]) -> list[str]:
    return sorted(
        key
        for page in pages
        for key in (*(file.key for file in page.landed), *(one.file.key for one in page.misplaced), *page.ignored)
    )


def in_folder_of_another_period(contract: Contract, key: str, periods: list[Period]) -> bool:
    layout = raw_layout(contract.domain, contract.name, contract.cadence)
    folders = key.removeprefix(layout.root).split("/")[:-1][: len(layout.folders)]
    day = layout.day_of(folders) if len(folders) == len(layout.folders) else None
    return day is not None and all(period.start != day for period in periods)


DAYS = st.integers(0, 70).map(lambda days: FIRST + timedelta(days=days))
ODD = (
    *("", "store7/", "region=eu/", "dt=2026-3-1/", "dt=2026-02-30/", "dt=20260301/", "month=2026-3/", "year=2026/"),
    *("year=2026/month=3/", "year=2026/month=02/day=30/", "_temporary/", "\U0001f600/", "dt=2026-03-01 (2)/"),
)


@st.composite
def objects(draw: st.DrawFn, contract: Contract) -> list[str]:
    layout = raw_layout(contract.domain, contract.name, contract.cadence)
    folder = DAYS.map(lambda day: layout.prefix(day).removeprefix(layout.root))
    deeper = st.sampled_from(("", "", "store7/", "dt=2026-03-01/", "a b/"))
    names = st.sampled_from(("a.csv", "\U0001f600.csv", "\uffff.csv", "_hidden.csv", "", "~"))
    path = st.one_of(st.sampled_from(ODD), folder, st.tuples(st.sampled_from(ODD), folder).map("".join))
    found = st.tuples(path, deeper, names).map("".join).map(lambda below: layout.root + below)
    return draw(st.lists(found, max_size=40, unique=True))


@pytest.mark.parametrize("name", CONTRACTS)
@given(data=st.data(), first=DAYS, length=st.integers(0, 40), page_size=st.integers(1, 7))
def test_only_objects_of_other_periods_are_left_out(
    name: str, data: st.DataObject, first: date, length: int, page_size: int
) -> None:
    contract, bucket = CONTRACTS[name], PagedBucket(page_size)
    bucket.objects = dict.fromkeys(data.draw(objects(contract)), ("e", NOON))
    periods = Period.of(contract.cadence, first).until(Period.of(contract.cadence, first + timedelta(days=length)))
    found = keys(list_within(bucket.client, bucket.name, contract, periods[0], periods[-1]))
    every = keys(list_pages(bucket.client, bucket.name, contract, None, None))
    assert len(found) == len(set(found))
    assert set(found) <= set(every)
    left_out = set(every) - set(found)
    assert all(in_folder_of_another_period(contract, key, periods) for key in left_out)


@pytest.mark.parametrize("others", [3, 300])
def test_the_requests_do_not_grow_with_the_objects_of_other_periods(others: int) -> None:
    contract, bucket = CONTRACTS["any time"], PagedBucket(1000)
    days = [FIRST + timedelta(days=number) for number in range(3000)]
    bucket.objects = {f"{root(contract)}dt={day}/{n}.csv": ("e", NOON) for day in days for n in range(20)}
    bucket.objects |= {f"{root(contract)}store{n}/a.csv": ("e", NOON) for n in range(others)}
    month = Period.of("day", days[-30]), Period.of("day", days[-1])
    found = keys(list_within(bucket.client, bucket.name, contract, *month))
    if others > 100:  # each folder would need a request
        assert len(found) == len(bucket.objects)
        assert bucket.pages <= 4 + 61
    else:
        assert len(found) == 30 * 20 + others
        assert bucket.pages <= 4 + 1 + others
