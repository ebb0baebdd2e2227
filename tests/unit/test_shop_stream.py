"""The simulated stream of clicks, and the order in which it is put."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any, cast

import pytest

from support import stream_oracle
from waybill_devtools.sampledata import producer
from waybill_devtools.sampledata.producer import put
from waybill_devtools.sampledata.shop_products import FIRST_PRODUCT, PRODUCTS
from waybill_devtools.sampledata.shop_stream import LATENESS, MALFORMED, Click, Clicks, Mix

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = BEGAN + timedelta(days=1)
ALL_DEFECTS = Mix(too_late=0.01, future=0.01, conflict=0.01)


def clicks(number: int, seed: int = 1, mix: Mix = ALL_DEFECTS) -> list[Click]:
    return [*islice(Clicks(seed, 10, BEGAN, mix, lambda: NOW), number)]


def test_the_same_seed_and_beginning_give_the_same_records() -> None:
    assert clicks(500) == clicks(500)
    assert not {one.data for one in clicks(500)} & {one.data for one in clicks(500, seed=2)}


def test_defects_have_their_shares() -> None:
    counts = Counter(one.kind for one in clicks(20_000, mix=Mix()))
    assert counts.keys() == {"new", "repeated", "late", "malformed"}
    for kind, share in {"repeated": 0.05, "late": 0.03, "malformed": 0.005}.items():
        assert counts[kind] / 20_000 == pytest.approx(share, rel=0.35)


def test_each_defect_is_what_it_is_called() -> None:
    newest, known = BEGAN, dict[str, Any]()
    for one in clicks(20_000):
        event = stream_oracle.read(one.data)
        if one.kind == "malformed":
            assert event is None
            continue
        assert event is not None
        assert event["session_id"] == one.session
        if one.kind == "future":
            assert event["ts"] > NOW + timedelta(minutes=2)
            continue
        if one.kind == "repeated":
            assert known[event["event_id"]] == event
        elif one.kind == "conflict":
            assert known[event["event_id"]] != event
        else:
            assert event["event_id"] not in known
            known[event["event_id"]] = event
            assert (newest - event["ts"] > LATENESS) == (one.kind == "too_late")
            newest = max(newest, event["ts"])


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_each_malformed_record_breaks_the_contract(number: int) -> None:
    (good,) = clicks(1, mix=Mix(0, 0, 0))
    assert stream_oracle.read(MALFORMED[number](json.loads(good.data))) is None


def test_shoppers_reach_each_step_and_products_exist() -> None:
    events = [json.loads(one.data) for one in clicks(20_000, mix=Mix(0, 0, 0))]
    kinds = Counter(event["event_type"] for event in events)
    assert kinds.keys() == {*stream_oracle.EVENT_TYPES}
    assert kinds["product_view"] > kinds["add_to_cart"] > kinds["checkout"] > kinds["purchase"] > 0
    products = {event["product_id"] for event in events} - {None}
    assert products <= set(range(FIRST_PRODUCT, FIRST_PRODUCT + PRODUCTS))
    assert {event["customer_id"] is None for event in events} == {True, False}


class Throttling:
    """A stream that refuses some records of each request."""

    def __init__(self) -> None:
        self.rng, self.taken, self.sizes = Random(1), list[tuple[str, bytes]](), list[int]()

    def put_records(self, StreamName: str, Records: list[Any]) -> Any:  # noqa: ARG002, N803
        results = list[dict[str, str]]()
        self.sizes.append(len(Records))
        for record in Records:
            if self.rng.random() < 0.3:
                results.append({"ErrorCode": "ProvisionedThroughputExceededException"})
            else:
                self.taken.append((record["PartitionKey"], record["Data"]))
                results.append({"ShardId": "shard", "SequenceNumber": str(len(self.taken))})
        return {"Records": results}


def test_refused_records_are_put_again_in_the_order_of_their_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "PAUSE_SECONDS", 0)
    stream, sent = Throttling(), clicks(3000)
    log = put(cast("Any", stream), "stream", sent)

    assert max(stream.sizes) <= producer.GROUP
    assert len(stream.taken) == len(sent)
    for session in {one.session for one in sent}:
        assert [data for key, data in stream.taken if key == session] == [
            one.data for one in sent if one.session == session
        ]
    assert {one.sequence: one.click.data for one in log} == {
        str(place): data for place, (_, data) in enumerate(stream.taken, start=1)
    }
