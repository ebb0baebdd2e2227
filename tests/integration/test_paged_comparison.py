"""Any history of uploads, deletions and runs is classified alike by the paged comparison and by a plain model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from support.ledger import add_file
from support.listings import PagedBucket
from support.messaging_months import database
from waybill.contracts import Contract, load_domain
from waybill.errors import DataError
from waybill.intake import ledger
from waybill.intake.comparison import Comparison, compare, pending
from waybill.intake.landing import Listing, list_pages
from waybill.intake.listing_scope import BY_HAND, Start, choose_scope, settle
from waybill.intake.withdrawal import accept, find_loaded, record_gone, record_returned
from waybill.run import Run
from waybill.settings import settings as configuration
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

LINES = load_domain("orders")["lines"]
ROOT = "raw/orders/lines/"
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
FEW = 2
"""Up to how many objects each run lists all."""
FOLDERS = {
    "": None,
    "store7/": None,
    "Zoë's & co/a=b/": None,
    "dt=2026-03-01/": date(2026, 3, 1),
    "dt=2026-03-02/": date(2026, 3, 2),
}
"""Folders of data, with the day that they name."""
ODD_FOLDERS = {"dt=20260301/": "misplaced", "_temporary/": "ignored"}
NAMES = [
    *(
        "a.csv",
        "a (1).csv",
        "a+b.csv",
        "a%20b.csv",
        "a b.csv",
        "A.csv",
        "\u00e4.csv",
        "a\u0308.csv",
        "\u6f22\u5b57.csv",
    ),
    *("\U0001f600.csv", "\ufffd.csv", "'; drop table--.csv", "{a,b}.csv", '"q".csv', "back\\slash.csv", "%s.csv"),
    *("null", "NULL.csv", "tab\t.csv", "line\n.csv", "\x01.csv", "nul\0.csv", "~a.csv", "-.csv", "0.csv"),
]
"""Names with characters that SQL, arrays, placeholders or sort orders treat specially."""
BAD = "bad"
"""The content of files that a run rejects."""
CONTENTS = st.sampled_from(["one", "two", BAD])
KEYS = st.tuples(
    st.sampled_from([*FOLDERS, *ODD_FOLDERS]),
    st.one_of(
        st.sampled_from(NAMES), st.text(st.characters(codec="utf-8", exclude_characters="/")).map("{}.csv".format)
    ),
).map("".join)
LANDINGS = st.integers(-100_000, 100_000).map(lambda hours: NOON + timedelta(hours=hours))
"""Landing times in any order, as of clocks that are years off."""
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, CONTENTS, LANDINGS),
    st.tuples(st.just("delete"), st.integers(0, 99)),
    st.tuples(st.just("change"), st.integers(0, 99), CONTENTS, LANDINGS),
    st.tuples(st.just("accept"), st.integers(0, 99)),
    st.tuples(st.just("new version")),
    st.tuples(st.just("retry")),
    st.tuples(st.just("scheduled run"), st.integers(0, 30)),
    st.tuples(st.just("run of messages"), st.sets(st.integers(0, 99))),
    st.tuples(st.just("killed run"), st.booleans()),
    st.tuples(st.just("run")),
)
HISTORIES = st.lists(STEPS, min_size=3, max_size=25)


@dataclass
class Model:
    """What is in the bucket and in the ledger, in plain dictionaries that know nothing of pages or SQL."""

    objects: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """(content, landing) by key below the root."""
    loaded: dict[str, str] = field(default_factory=dict)
    days: dict[str, date] = field(default_factory=dict)
    """The landing day of the first version that was loaded."""
    gone: dict[str, str] = field(default_factory=dict)
    rejected: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(run, version) by (key, content)."""

    def day(self, key: str) -> date:
        folder = next(folder for folder in sorted(FOLDERS, reverse=True) if key.startswith(folder))
        return self.days.get(key) or FOLDERS[folder] or self.objects[key][1].date()

    def kind(self, key: str) -> str:
        found = next((kind for folder, kind in ODD_FOLDERS.items() if key.startswith(folder)), None)
        name = key.rpartition("/")[2].lower()
        if "\0" in name or name.startswith((".", "_")):
            return "ignored"
        return found or "data"

    def expected(self, run: str, version: str, seen: set[str]) -> tuple[dict[str, date], set[str], int]:
        """Return the landing days of the files to load, the misplaced keys to reject, and the number of ignored."""
        todo, misplaced, ignored = dict[str, date](), set[str](), 0
        for key in seen:
            content, _ = self.objects[key]
            kind, before = self.kind(key), self.rejected.get((key, content))
            if kind == "ignored":
                ignored += 1
            elif kind == "misplaced":
                if before is None or before[0] == run:
                    misplaced.add(key)
            elif self.loaded.get(key) != content and (before is None or before[0] == run or before[1] != version):
                todo[key] = self.day(key)
        return todo, misplaced, ignored

    def look_for_gone(self, seen: set[str], *, is_whole: bool) -> None:
        for key in self.loaded:
            if key in seen:
                self.gone.pop(key, None)
            elif is_whole:
                self.gone.setdefault(key, "noticed")


def etag(content: str) -> str:
    return sha256(content.encode()).hexdigest()[:8]


class History:
    """Applies steps to a bucket, the warehouse and the model, and compares them after each run."""

    def __init__(self, connection: Connection, contract: Contract, page_size: int, *, is_sorted: bool) -> None:
        self.connection, self.contract, self.model = connection, contract, Model()
        self.bucket = PagedBucket(page_size, is_sorted=is_sorted)
        self.runs, self.now = 0, NOON
        self.is_settled, self.whole_at, self.listed, self.listed_version = False, NOON, 0, ""
        connection.execute(  # files of others: another dataset, another bucket
            "insert into waybill.rejected_file (dataset, object_key, etag, message) "
            "values ('orders.other', %s, %s, '')",
            (f"{ROOT}a.csv", etag("one")),
        )
        add_file(connection, "orders.other", f"{ROOT}a.csv")
        add_file(connection, LINES.table, f"{ROOT}a.csv")  # in the bucket `raw`

    def apply(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("put", key, content, landed_at):
                self.put(key, content, landed_at)
            case ("change", number, content, landed_at) if self.model.objects:
                self.put(sorted(self.model.objects)[number % len(self.model.objects)], content, landed_at)
            case ("delete", number) if self.model.objects:
                key = sorted(self.model.objects)[number % len(self.model.objects)]
                del self.model.objects[key], self.bucket.objects[ROOT + key]
            case ("accept", number) if self.model.gone:
                key = sorted(self.model.gone)[number % len(self.model.gone)]
                accept(self.connection, find_loaded(self.connection, f"s3://{self.bucket.name}/{ROOT}{key}"))
                self.model.gone[key] = "accepted"
            case ("new version",):
                version = self.contract.version + "1"
                self.contract = replace(self.contract, version=version, document=version)
            case ("run",):
                self.runs += 1
                self.run(BY_HAND)
            case ("retry",):
                self.run(BY_HAND)
            case ("scheduled run", hours):
                self.runs += 1
                self.now += timedelta(hours=hours)
                self.run(Start(is_routine=True))
            case ("run of messages", numbers):
                self.runs += 1
                every = sorted(self.model.objects)
                named = {ROOT + every[number % len(every)] for number in numbers if every}
                self.run(Start(is_routine=True, keys={*named, f"{ROOT}deleted.csv", "raw/orders/other/a.csv"}))
            case ("killed run", is_routine):
                choose_scope(self.connection, self.bucket.client, self.contract, Start(is_routine), self.now)
                self.is_settled = False

    def put(self, key: str, content: str, landed_at: datetime) -> None:
        self.model.objects[key] = (content, landed_at)
        self.bucket.objects[ROOT + key] = (etag(content), landed_at)

    def is_whole(self, start: Start) -> bool:
        """Return whether a run must look at all objects."""
        is_due = not self.is_settled or self.listed_version != self.contract.sha256
        return not start.is_routine or is_due or self.whole_at <= self.now - timedelta(hours=24) or self.listed <= FEW

    def sees(self, key: str, start: Start) -> bool:
        """Return whether a partial run must look at an object."""
        if start.keys is not None:
            return ROOT + key in start.keys
        days = [f"dt={self.now.date() + timedelta(days=days)}/" for days in range(-3, 2)]
        last = max(self.model.loaded, key=str.encode, default=None)
        return key.startswith(tuple(days)) or (last is not None and key.encode() > last.encode())

    def run(self, start: Start) -> None:
        model, run, is_whole = self.model, Run(f"run {self.runs}", "abc123"), self.is_whole(start)
        seen = {key for key in model.objects if is_whole or self.sees(key, start)}
        scope = choose_scope(self.connection, self.bucket.client, self.contract, start, self.now)
        assert scope.is_whole == is_whole
        found = compare(self.connection, self.contract, scope.pages, unless_rejected=run)
        todo, misplaced, ignored = model.expected(run.run_id, self.contract.version, seen)
        assert {file.key.removeprefix(ROOT): file.period.start for file in found.todo} == todo
        assert len(found.todo) == len(todo), "each once"
        assert {one.file.key.removeprefix(ROOT) for one in found.misplaced} == misplaced
        assert (found.ignored, len(found.ignored_examples)) == (ignored, min(5, ignored))
        assert found.landed.total() == sum(model.kind(key) == "data" for key in seen)
        if is_whole:
            record_gone(self.connection, self.contract, found.seen, None, None)
            self.whole_at, self.listed, self.listed_version = self.now, len(model.objects), self.contract.sha256
        record_returned(self.connection, self.contract, found.seen)
        model.look_for_gone(seen, is_whole=is_whole)
        recorded = self.connection.execute(
            "select object_key, gone from waybill.load_file where bucket = %s and status = 'loaded' and gone <> ''",
            (self.bucket.name,),
        ).fetchall()
        assert {key.removeprefix(ROOT): gone for key, gone in recorded} == model.gone
        self.load(found, run)
        settle(self.connection, self.contract, scope, found.objects)
        self.is_settled = True

    def load(self, found: Comparison, run: Run) -> None:
        """Load or reject the files as a run would, without their content."""
        contents = {etag(content): content for content in ("one", "two", BAD)}
        for one in found.misplaced:
            self.reject(one.file, run, one.error)
        for file in found.todo:
            if contents[file.etag] == BAD:
                self.reject(file, run, DataError("bad"))
                continue
            key = file.key.removeprefix(ROOT)
            self.connection.execute(
                "update waybill.load_file set status = 'superseded' "
                "where bucket = %s and object_key = %s and status = 'loaded'",
                (file.bucket, file.key),
            )
            add_file(
                self.connection,
                self.contract.table,
                file.key,
                file.period.start,
                bucket=file.bucket,
                etag=file.etag,
            )
            self.model.loaded[key] = contents[file.etag]
            self.model.days.setdefault(key, file.period.start)
            self.model.gone.pop(key, None)
        wrong = [file for file in found.todo if contents[file.etag] == BAD]
        assert pending(self.connection, self.contract, found.todo) == wrong

    def reject(self, file: Any, run: Run, error: DataError) -> None:
        ledger.record_rejected_file(self.connection, self.contract, file, run, error)
        content = self.model.objects[file.key.removeprefix(ROOT)][0]
        key = (file.key.removeprefix(ROOT), content)
        first = self.model.rejected.get(key, (run.run_id, ""))[0]
        self.model.rejected[key] = (first, self.contract.version)


@pytest.fixture
def bucket_name(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", PagedBucket.name)
    monkeypatch.setenv("WAYBILL_WHOLE_LISTING_OBJECTS", str(FEW))
    configuration.cache_clear()
    yield
    monkeypatch.undo()
    configuration.cache_clear()


RUN, RETRY, VERSION = ("run",), ("retry",), ("new version",)
THREE = [("put", name, "one", NOON) for name in ("a.csv", "b.csv", "c.csv")]
SCHEDULED, NEXT_DAY, MESSAGES = ("scheduled run", 0), ("scheduled run", 25), ("run of messages", {0, 1})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, page_size=st.integers(1, 7), is_sorted=st.booleans())
@example(history=[("put", "a.csv", BAD, NOON), RUN, RETRY, RUN, VERSION, RUN, RETRY], page_size=1, is_sorted=True)
@example(
    history=[("put", "a.csv", "one", NOON), RUN, ("delete", 0), RUN, ("accept", 0), RUN, RUN],
    page_size=1,
    is_sorted=True,
)
@example(
    history=[*(("put", name, "one", NOON) for name in NAMES), RUN, *[("delete", 0)] * 5, RUN],
    page_size=4,
    is_sorted=False,
)
@example(
    history=[("put", "a.csv", "one", NOON), RUN, ("put", "a.csv", "two", NOON - timedelta(days=900)), RUN, RUN],
    page_size=2,
    is_sorted=True,
)
@example(
    history=[*THREE, RUN, ("put", "aa.csv", "one", NOON), SCHEDULED, MESSAGES, ("delete", 0), SCHEDULED, NEXT_DAY],
    page_size=2,
    is_sorted=True,
)
@example(
    history=[*THREE, RUN, ("put", "d.csv", "one", NOON), ("put", "dt=2026-03-02/a.csv", "one", NOON), SCHEDULED],
    page_size=2,
    is_sorted=True,
)
@example(
    history=[*THREE, RUN, ("put", "aa.csv", "one", NOON), ("killed run", True), MESSAGES],
    page_size=2,
    is_sorted=True,
)
def test_pages_of_any_size_are_classified_like_by_the_model(
    empty_connection: Connection, bucket_name: None, history: list[tuple[Any, ...]], page_size: int, is_sorted: bool
) -> None:
    with empty_connection.transaction(force_rollback=True):
        place = History(empty_connection, LINES, page_size, is_sorted=is_sorted)
        for step in [*history, RUN, RUN]:
            place.apply(step)


def test_a_file_that_another_run_loads_during_the_listing_is_not_gone(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", PagedBucket.name)
    configuration.cache_clear()
    bucket = PagedBucket(1)
    bucket.objects[ROOT + "a.csv"] = ("e", NOON)
    try:
        with database(stack) as dsn, connect(dsn) as connection, Connection.connect(dsn) as other:
            add_file(other, LINES.table, ROOT + "a.csv", bucket=bucket.name)
            add_file(connection, "orders.other", bucket=bucket.name)  # its id is the newest

            def pages() -> Iterator[Listing]:
                yield from list_pages(bucket.client, bucket.name, LINES, None, None)
                other.commit()

            found = compare(connection, LINES, pages())
            record_gone(connection, LINES, found.seen, None, None)
            assert [file.key for file in found.todo] == [ROOT + "a.csv"], "it was not committed yet"
            assert connection.execute("select gone from waybill.load_file").fetchall() == [(None,), (None,)]
    finally:
        configuration.cache_clear()
