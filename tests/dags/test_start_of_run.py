"""What the context of a task tells about the start of its run."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest

from waybill.intake.listing_scope import BY_HAND, Start
from waybill.operators.datasets import start_of


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
    assert start_of(given) == expected
