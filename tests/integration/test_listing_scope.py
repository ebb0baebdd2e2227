"""Runs of a dataset with many objects look at a part of the bucket, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection

from support.order_files import CONTRACTS, Line, body
from waybill.errors import DataError
from waybill.intake.ingest import ingest_arrived
from waybill.intake.listing_scope import BY_HAND, LARGEST_NUMBER_OF_KEYS, Scope, Start, choose_scope, settle
from waybill.run import Run
from waybill.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = "raw/orders/lines/"
SCHEDULED = Start(is_routine=True)
CONTRACT = CONTRACTS["lines"]


class Counted:
    """A client of S3 that counts its requests and can fail to read objects."""

    def __init__(self, s3: S3Client) -> None:
        self._s3 = s3
        self.listed: list[dict[str, str]] = []
        self.heads: list[str] = []
        self.before_read: Any = lambda _: None

    def get_paginator(self, operation: Any) -> Any:
        outer, inner = self, self._s3.get_paginator(operation)

        class Paginator:
            def paginate(self, **names: str) -> Any:
                if operation == "list_objects_v2":
                    outer.listed.append(names)
                return inner.paginate(**names)

        return Paginator()

    def head_object(self, **names: str) -> Any:
        self.heads.append(names["Key"])
        return self._s3.head_object(**names)

    def get_object(self, **names: str) -> Any:
        self.before_read(names["Key"])
        return self._s3.get_object(**names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)


class Place:
    """A bucket of orders whose every file counts as many."""

    def __init__(self, connection: Connection, s3: S3Client, bucket: str) -> None:
        self.connection, self.s3, self.bucket = connection, s3, bucket
        self.client: Any = Counted(s3)

    def put(self, name: str, *lines: Line, content: bytes | None = None) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=ROOT + name, Body=content or body(*(lines or [Line(name)])))
        return ROOT + name

    def run(self, start: Start, run_id: str = "run") -> list[str]:
        self.client.listed.clear()
        self.client.heads.clear()
        done = ingest_arrived(self.connection, self.client, CONTRACT, CONTRACTS, Run(run_id, "abc123"), start=start)
        return [key.removeprefix(ROOT) for key in done]

    def messages(self, *names: str) -> Start:
        return Start(is_routine=True, keys=frozenset(ROOT + name for name in names))

    def since(self, messages: dict[str, datetime], keys: frozenset[str] | None = None) -> Start:
        """Return the start of a run that can ask for messages about files, which arrived at these instants."""

        def named(instant: datetime) -> set[str]:
            return {ROOT + name for name, arrived in messages.items() if arrived >= instant}

        return Start(is_routine=True, keys=keys, named_since=named)

    def begin(self, start: Start) -> Scope:
        """Return what a run looks at that is then killed, or settled by the test."""
        return choose_scope(self.connection, self.client, CONTRACT, start)

    @property
    def lists_everything(self) -> bool:
        return {"Bucket": self.bucket, "Prefix": ROOT} in self.client.listed


@pytest.fixture
def place(empty_connection: Connection, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("WAYBILL_RAW_BUCKET", bucket)
    monkeypatch.setenv("WAYBILL_WHOLE_LISTING_OBJECTS", "0")
    settings.cache_clear()
    found = Place(empty_connection, s3, bucket)
    found.put("m.csv")
    assert found.run(SCHEDULED) == ["m.csv"]
    assert found.lists_everything, "it is the first run"
    yield found
    settings.cache_clear()


def test_a_scheduled_run_lists_recent_folders_and_the_keys_after_the_last_loaded_one(place: Place) -> None:
    today = datetime.now(UTC).date().isoformat()
    place.put("a.csv")
    place.put("store7/é +%.csv")
    place.put("n.csv")
    place.put(f"dt={today}/b.csv")
    place.put("dt=2020-01-01/c.csv")
    assert sorted(place.run(SCHEDULED)) == sorted(["n.csv", f"dt={today}/b.csv", "store7/é +%.csv"])
    assert not place.lists_everything
    assert len(place.client.listed) == 6, "five days, and what follows m.csv"
    assert place.run(SCHEDULED) == []
    assert sorted(place.run(BY_HAND)) == ["a.csv", "dt=2020-01-01/c.csv"]
    assert place.run(SCHEDULED) == []
    assert not place.lists_everything


def test_messages_name_the_objects_of_their_run(place: Place) -> None:
    for name in ("a.csv", "b.csv", "é +%.csv", "_ignored.csv"):
        place.put(name)
    start = place.messages("a.csv", "é +%.csv", "_ignored.csv", "deleted.csv")
    assert sorted(place.run(start)) == ["a.csv", "é +%.csv"]
    assert place.client.listed == [], "only versions of new objects are listed"
    assert len(place.client.heads) == 4
    place.put("m.csv", Line("m.csv", list_price="7.00"))
    assert place.run(place.messages("m.csv", "a.csv")) == ["m.csv"], "a file that is replaced in place"
    place.connection.execute("update waybill.whole_listing set listed_at = listed_at - interval '24 hours'")
    assert place.run(place.messages("m.csv")) == ["b.csv"], "a message was lost"
    assert place.run(Start(is_routine=True, keys=())) == []
    assert (place.client.listed, place.client.heads) == ([], [])


def test_a_deleted_file_is_noticed_by_the_next_whole_listing(place: Place) -> None:
    place.put("a.csv")
    place.run(BY_HAND)
    place.s3.delete_object(Bucket=place.bucket, Key=ROOT + "m.csv")

    def gone() -> list[Any]:
        return place.connection.execute("select gone from waybill.load_file order by file_id").fetchall()

    place.run(SCHEDULED)
    place.run(place.messages("m.csv"))
    assert gone() == [(None,), (None,)]
    place.run(BY_HAND)
    assert gone() == [("noticed",), (None,)]
    place.put("m.csv")
    place.run(place.messages("m.csv"))
    assert gone() == [(None,), (None,)]


def test_objects_of_an_interrupted_run_are_looked_at_again(place: Place) -> None:
    place.put("a.csv")

    def fail(_: str) -> None:
        raise ConnectionError("S3 is away")

    place.client.before_read = fail
    with pytest.raises(ConnectionError):
        place.run(place.messages("a.csv"))
    place.client.before_read = lambda _: None
    assert place.run(place.messages()) == ["a.csv"]
    assert place.lists_everything
    place.put("b.csv", Line("b.csv"))
    place.client.before_read = lambda _: place.put("b.csv", Line("b.csv", list_price="7.00"))
    assert place.run(place.messages("b.csv")) == []
    place.client.before_read = lambda _: None
    assert place.run(place.messages()) == ["b.csv"], "it changed while it was read"
    place.run(place.messages())
    assert not place.lists_everything


def test_a_rejected_file_is_looked_at_when_it_changes_and_when_the_contract_does(place: Place) -> None:
    place.put("bad.csv", content=b"Order Id\n1\n")
    with pytest.raises(DataError, match="bad"):
        place.run(place.messages("bad.csv"), "first")
    for start in (place.messages("bad.csv"), BY_HAND, SCHEDULED):
        assert place.run(start, "later") == []
    assert not place.lists_everything
    place.connection.execute("update waybill.whole_listing set contract_sha256 = 'of another contract'")
    place.run(SCHEDULED, "later")
    assert place.lists_everything
    place.put("bad.csv", Line("corrected"))
    assert place.run(place.messages("bad.csv"), "corrected") == ["bad.csv"]


def test_few_objects_are_listed_by_each_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_WHOLE_LISTING_OBJECTS", "1")
    settings.cache_clear()
    place.put("a.csv")
    assert place.run(place.messages()) == ["a.csv"]
    assert place.lists_everything
    place.run(place.messages())
    assert not place.lists_everything, "there are two objects"


@pytest.mark.parametrize("keys", [None, frozenset[str]()])
def test_messages_that_another_run_should_have_looked_at_are_not_lost(
    place: Place, keys: frozenset[str] | None
) -> None:
    place.put("a.csv")
    place.put("b.csv")
    place.put("n.csv")
    now = datetime.now(UTC)
    arrived = {"a.csv": now, "b.csv": now - timedelta(hours=1), "n.csv": now}
    assert place.run(place.since(arrived, keys)) == ["a.csv", "n.csv"], "b.csv is a message of a former run"
    assert place.client.heads == [ROOT + name for name in ("a.csv", "n.csv") if keys is not None or name == "a.csv"]
    assert not place.lists_everything
    place.put("a.csv", Line("a.csv", list_price="7.00"))
    assert place.run(place.since({"a.csv": datetime.now(UTC)}, keys)) == ["a.csv"]
    assert not place.lists_everything


def test_the_end_of_one_run_hides_no_other_run_that_is_killed(place: Place) -> None:
    first, second = place.begin(SCHEDULED), place.begin(SCHEDULED)
    assert not first.is_whole
    assert second.is_whole, "the first one has not ended"
    place.put("a.csv")
    settle(place.connection, CONTRACT, first, 1)
    assert place.run(SCHEDULED) == ["a.csv"], "the second one never ended"
    assert place.lists_everything
    settle(place.connection, CONTRACT, second, 1)
    assert place.run(SCHEDULED) == []
    assert not place.lists_everything


def test_the_end_of_a_first_run_hides_no_other_run_that_is_killed(place: Place) -> None:
    place.connection.execute("delete from waybill.whole_listing")
    first, _ = place.begin(BY_HAND), place.begin(BY_HAND)
    settle(place.connection, CONTRACT, first, 1)
    place.put("a.csv")
    assert place.run(SCHEDULED) == ["a.csv"]
    assert place.lists_everything


def test_a_run_that_ends_after_its_dataset_was_retired_leaves_nothing_behind(place: Place) -> None:
    scope = place.begin(BY_HAND)
    place.connection.execute("delete from waybill.whole_listing")
    settle(place.connection, CONTRACT, scope, 1)
    assert place.connection.execute("select * from waybill.whole_listing").fetchall() == []


def test_many_messages_list_everything(place: Place) -> None:
    place.put("a.csv")
    assert place.run(place.messages(*map(str, range(LARGEST_NUMBER_OF_KEYS + 1)))) == ["a.csv"]
    assert (place.lists_everything, place.client.heads) == (True, [])
    place.put("b.csv")
    assert place.run(Start(is_routine=True, named_since=lambda _: None)) == ["b.csv"]
    assert place.lists_everything
