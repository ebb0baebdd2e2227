"""What the context of a task tells about the start of its run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest
from airflow.sdk.api.datamodels._generated import AssetEventResponse, AssetResponse
from airflow.sdk.execution_time.comms import AssetEventsResult, GetAssetEventByAsset

from waybill.intake.listing_scope import BY_HAND, Start
from waybill.operators.datasets import keys_since, start_of


def of_s3(key: str) -> str:
    record = {"s3": {"bucket": {"name": "raw"}, "object": {"key": quote_plus(key, "/")}}}
    return json.dumps({"Records": [record]})


def context(kind: str, *extras: Any, try_number: int = 1) -> dict[str, Any]:
    return {
        "dag_run": SimpleNamespace(run_type=kind),
        "ti": SimpleNamespace(try_number=try_number),
        "triggering_asset_events": {"orders_landed": [SimpleNamespace(extra=extra) for extra in extras]},
    }


def batch(*bodies: str) -> dict[str, Any]:
    messages = [{"MessageId": str(number), "Body": body} for number, body in enumerate(bodies)]
    return {"from_trigger": True, "payload": {"status": "success", "message_batch": messages}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (context("manual"), BY_HAND),
        (context("backfill"), BY_HAND),
        (context("scheduled"), Start(is_routine=True)),
        (context("scheduled", try_number=2), BY_HAND),
        (context("asset_triggered", batch(of_s3("a b.csv")), try_number=2), BY_HAND),
        (
            context("asset_triggered", batch(of_s3("a b.csv"), of_s3("c.csv")), batch(of_s3("d.csv"))),
            Start(is_routine=True, keys={"a b.csv", "c.csv", "d.csv"}),
        ),
        (context("asset_triggered"), Start(is_routine=True)),
        (context("asset_triggered", batch(of_s3("a.csv")), {}), Start(is_routine=True)),
        (context("asset_triggered", {"payload": None}), Start(is_routine=True)),
        (context("asset_triggered", batch(of_s3("a.csv"), "?")), Start(is_routine=True)),
    ],
)
def test_only_runs_that_others_follow_may_look_at_a_part(
    given: dict[str, Any], expected: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waybill.settings.settings", lambda: SimpleNamespace(raw_bucket="raw"))
    assert start_of(given, "orders") == expected


class Supervisor:
    """Answers a task's question for events of an asset."""

    def __init__(self, *extras: Any) -> None:
        self.asked: list[GetAssetEventByAsset] = []
        self._events = [
            AssetEventResponse(
                id=number,
                timestamp=datetime(2026, 3, 1, tzinfo=UTC),
                extra=extra,
                asset=AssetResponse(name="orders_landed", uri="orders_landed", group="arrivals"),
                created_dagruns=[],
            )
            for number, extra in enumerate(extras)
        ]

    def send(self, msg: GetAssetEventByAsset) -> AssetEventsResult:
        self.asked.append(msg)
        return AssetEventsResult(asset_events=self._events[: msg.limit])


@pytest.mark.parametrize("queue", ["https://sqs/orders", None])
def test_the_messages_that_the_scheduler_keeps_back_are_read(
    queue: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waybill.settings.settings", lambda: SimpleNamespace(raw_bucket="raw"))
    monkeypatch.setattr("waybill.operators.datasets.queue_url", lambda _: queue)
    supervisor = Supervisor(batch(of_s3("a b.csv"), "?"), {}, {"payload": None}, batch(of_s3("c.csv")))
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    since = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    for kind in ("scheduled", "asset_triggered"):
        assert start_of(context(kind), "orders").named_since(since) == ({"a b.csv", "c.csv"} if queue else set())
    assert [(one.name, one.after) for one in supervisor.asked] == ([("orders_landed", since)] * 2 if queue else [])


def test_too_many_messages_name_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waybill.settings.settings", lambda: SimpleNamespace(raw_bucket="raw"))
    monkeypatch.setattr("waybill.operators.datasets.queue_url", lambda _: "https://sqs/orders")
    many = Supervisor(*[batch(of_s3("a.csv"))] * 1001)
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", many, raising=False)
    assert keys_since("orders", datetime(2026, 3, 1, tzinfo=UTC)) is None
