"""Daily files in any order, again and replaced: the tables of the shop depend on the current files only.

Every load is compared with a plain Python model of the files, which knows nothing of their order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import Connection

from support.landing import LANDED_AT, total
from support.shop_landing import LAYOUTS, Shop
from waybill.intake.ledger import Books
from waybill.settings import settings

DAYS = ["2026-03-28", "2026-03-29", "2026-04-04", "2026-04-05"]  # around the ends and starts of summer time
INSTANTS = [
    datetime(2026, 3, 20, 23, 59, 59, 999_999, UTC),  # too late for the first day, and for the second in Sydney
    datetime(2026, 3, 21, 0, 0, tzinfo=UTC),
    datetime(2026, 3, 28, 12, 59, 59, tzinfo=UTC),  # 23:59:59 of the 28th in Sydney
    datetime(2026, 3, 28, 13, 0, tzinfo=UTC),  # midnight of the 29th in Sydney
    datetime(2026, 3, 29, 0, 0, tzinfo=UTC),
    datetime(2026, 4, 4, 13, 30, tzinfo=UTC),  # the 5th in Sydney, whose day has 25 hours
    datetime(2026, 4, 5, 14, 0, tzinfo=UTC),  # midnight of the 6th in Sydney, the 5th in UTC
]
LOOKBACK = timedelta(days=7)
NEVER = datetime(1, 1, 2, tzinfo=UTC)
Row = tuple[int, datetime, int]
"""(number, instant, value)"""
Name = tuple[str, str]
"""(day of delivery, file name)"""
Version = tuple[str, str, int, Row]
"""(day of delivery, file name, record, row)"""
ROWS = st.lists(st.tuples(st.integers(1, 2), st.sampled_from(INSTANTS), st.integers(1, 2)), max_size=5)
ARRIVALS = st.lists(
    st.tuples(st.tuples(st.sampled_from(DAYS), st.sampled_from(["a.csv", "b.csv"])), ROWS, st.integers(0, 2)),
    min_size=2,
    max_size=8,
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of the rows of a file without regard to other files, by record number."""

    accepted: dict[Any, tuple[int, Row]]
    """(record, row) by key."""
    rejected: dict[int, str]
    duplicates: int


class Model:
    """The current files and the expected tables."""

    def __init__(self, dataset: str, timezone: str) -> None:
        self.dataset, self.zone = dataset, ZoneInfo(timezone)
        self.files: dict[Name, list[Row]] = {}
        self.landings: dict[Name, int] = {}
        """The landing hour of the current content, by file."""

    def day_of(self, row: Row) -> date:
        return row[1].date() if self.dataset == "reviews" else row[1].astimezone(self.zone).date()

    def key_of(self, row: Row) -> Any:
        return row[:2] if self.dataset == "customers" else row[0]

    def stored(self, row: Row) -> Row:
        """Return the row as stored: a review keeps the day only."""
        number, at, value = row
        return (
            (number, at.replace(hour=0, minute=0, second=0, microsecond=0), value) if self.dataset == "reviews" else row
        )

    def validate(self, delivered: str, rows: list[Row]) -> Outcome:
        accepted, rejected, duplicates = dict[Any, tuple[int, Row]](), dict[int, str](), 0
        own = date.fromisoformat(delivered)
        for record, row in enumerate(rows, start=1):
            key = self.key_of(row)
            if self.day_of(row) > own:
                rejected[record] = "after_period"
            elif self.day_of(row) < own - LOOKBACK:
                rejected[record] = "too_late"
            elif key not in accepted:
                accepted[key] = (record, row)
            elif accepted[key][1] == row:
                duplicates += 1
            else:
                rejected[record] = "conflict"
        return Outcome(accepted, rejected, duplicates)

    def newest(self, delivered: str) -> list[datetime]:
        """Return the instants of the accepted rows of a day's files."""
        return [
            row[1] if self.dataset != "reviews" else row[1].replace(tzinfo=self.zone)
            for (day, _), rows in self.files.items()
            if day == delivered
            for _, row in self.validate(day, rows).accepted.values()
        ]

    def versions(self, before: str = "9999") -> dict[Any, list[Version]]:
        """Return by key every accepted row of the files delivered before a day, in the order of application."""
        found: dict[Any, list[Version]] = {}
        for delivered, name in sorted(self.files, key=lambda file: (file[0], self.landings[file], file[1])):
            if delivered < before:
                for key, (record, row) in self.validate(delivered, self.files[delivered, name]).accepted.items():
                    found.setdefault(key, []).append((delivered, name, record, row))
        return found

    def current(self, before: str = "9999") -> set[Row]:
        return {found[-1][3] for found in self.versions(before).values()}

    def latest(self, before: str = "9999") -> list[Row]:
        """Return the latest change of each customer among the current rows."""
        if self.dataset != "customers":
            return sorted(self.current(before))
        return sorted({row[0]: row for row in sorted(self.current(before))}.values())


def stored(shop: Shop, table: str, layout_select: str) -> list[Version]:
    rows = shop.all(
        "select t._delivered::text, split_part(object_key, '/', 5), _record, "
        f"{layout_select} from shop.{table} as t inner join waybill.load_file as f on t._file_id = f.file_id "
        "where f.status = 'loaded' order by 1, 2, 3"
    )
    return [(delivered, name, record, (number, at, value)) for delivered, name, record, number, at, value in rows]


def check(shop: Shop, model: Model) -> None:
    """Compare every table and the ledger with the model."""
    dataset, layout = model.dataset, LAYOUTS[model.dataset]
    versions = model.versions().values()
    assert stored(shop, layout.table, layout.select) == sorted(found[-1] for found in versions)
    superseded = f"{dataset}_superseded"
    assert stored(shop, superseded, layout.select) == sorted(old for found in versions for old in found[:-1])
    counts = shop.all(f"select count(*) from shop.{layout.table} union all select count(*) from shop.{superseded}")
    assert sum(count for (count,) in counts) == sum(map(len, versions)), "no row of a replaced file is left"
    for bound in [*DAYS, "2026-04-06"]:
        found = shop.all(f"select {layout.select} from shop.{dataset}_as_of(%s)", (bound,))
        assert sorted(found) == model.latest(before=bound)
    assert sorted(shop.all(f"select {layout.select} from shop.{dataset}")) == model.latest()
    ledger = shop.all(
        "select period::text, split_part(object_key, '/', 5), rows_in, rejected, duplicate, "
        "rows_in - inserted - updated - unchanged - rejected - duplicate - stale - filtered, "
        "array(select (record, reasons[1])::text from waybill.quarantine as q "
        "where q.file_id = f.file_id order by record) "
        "from waybill.load_file as f where status = 'loaded' order by 1, 2"
    )
    validated = {name: model.validate(name[0], rows) for name, rows in sorted(model.files.items())}
    assert ledger == [
        (
            *name,
            len(model.files[name]),
            len(file.rejected),
            file.duplicates,
            0,
            [f"({record},{why})" for record, why in file.rejected.items()],
        )
        for name, file in validated.items()
    ]


@pytest.fixture(params=["UTC", "Australia/Sydney"])
def timezone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The business time zone."""
    monkeypatch.setenv("WAYBILL_TIMEZONE", request.param)
    settings.cache_clear()
    yield request.param
    settings.cache_clear()


A, B = (DAYS[0], "a.csv"), (DAYS[1], "a.csv")


@pytest.mark.parametrize("dataset", LAYOUTS)
@given(arrivals=ARRIVALS)
# A sale moves to another day, is withdrawn, and its older version is current again.
@example(
    arrivals=[(A, [(1, INSTANTS[1], 1)], 0), (B, [(1, INSTANTS[3], 1)], 0), (B, [(1, INSTANTS[2], 1)], 0), (B, [], 0)]
)
# The same, and the version that is current again has equal values.
@example(arrivals=[(A, [(1, INSTANTS[1], 1)], 0), (B, [(1, INSTANTS[1], 1)], 0), (B, [], 0)])
@hypothesis_settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_tables_depend_on_the_files_and_not_on_their_arrival(
    empty_connection: Connection, timezone: str, dataset: str, arrivals: list[tuple[Name, list[Row], int]]
) -> None:
    with empty_connection.transaction(force_rollback=True):
        shop, model, newest = Shop(empty_connection), Model(dataset, timezone), NEVER
        for (delivered, name), rows, landing in arrivals:
            rows = list(map(model.stored, rows))  # noqa: PLW2901
            is_new = model.files.get((delivered, name)) != rows
            before = model.current()
            model.files[delivered, name] = rows
            if is_new:
                model.landings[delivered, name] = landing
            newest = max([newest, *model.newest(delivered)])
            books: Books | None = shop.load_rows(dataset, delivered, rows, name, LANDED_AT + timedelta(hours=landing))
            assert (books is not None) == is_new, "the same content again is no load"
            if books is not None:
                validated = model.validate(delivered, rows)
                assert books.rows_in == len(rows) == total(books)
                assert (books.rejected, books.duplicate) == (len(validated.rejected), validated.duplicates)
            changed = {model.day_of(row) for row in before ^ model.current()}
            assert shop.new_changes() == [(f"shop.{dataset}", day) for day in sorted(changed)]
            assert shop.all("select newest from waybill.checkpoint") == ([(newest,)] if newest > NEVER else [])
        check(shop, model)
        for (delivered, name), rows in model.files.items():
            assert shop.load_rows(dataset, delivered, rows, name) is None
        assert shop.new_changes() == []
        check(shop, model)


@pytest.mark.parametrize("dataset", LAYOUTS)
@given(
    arrivals=ARRIVALS, names=st.sets(st.tuples(st.sampled_from(DAYS), st.sampled_from(["a.csv", "b.csv"])), max_size=3)
)
@hypothesis_settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_withdrawn_files_leave_the_tables_as_if_they_had_never_been_loaded(
    empty_connection: Connection, dataset: str, arrivals: list[tuple[Name, list[Row], int]], names: set[Name]
) -> None:
    with empty_connection.transaction(force_rollback=True):
        shop, model = Shop(empty_connection), Model(dataset, settings().timezone)
        for (delivered, name), rows, landing in arrivals:
            rows = list(map(model.stored, rows))  # noqa: PLW2901
            if model.files.get((delivered, name)) != rows:
                model.files[delivered, name], model.landings[delivered, name] = rows, landing
            shop.load_rows(dataset, delivered, rows, name, LANDED_AT + timedelta(hours=landing))
        for withdrawn in sorted(names & model.files.keys()):
            before = model.current()
            del model.files[withdrawn]
            shop.new_changes()
            shop.withdraw(dataset, *withdrawn)
            changed = {model.day_of(row) for row in before ^ model.current()}
            assert shop.new_changes() == [(f"shop.{dataset}", day) for day in sorted(changed)]
        check(shop, model)
