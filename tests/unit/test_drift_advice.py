"""What a proposed contract leaves to a person depends on the engine of the domain."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from waybill.contracts import load_domain
from waybill.settings import PROJECT_ROOT
from waybill.watch.drift import Drift
from waybill.watch.proposal import propose

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("domain", "advice"),
    [
        ("shop", "After the next load, replay the rejected rows: waybill replay shop.clickstream"),
        ("clicks", "The next run with this contract loads the files again that have rejected rows."),
    ],
)
def test_rows_with_a_new_value_are_replayed_or_on_spark_loaded_again(domain: str, advice: str) -> None:
    dataset = f"{domain}.clickstream"
    found = Drift(
        drift_id=1, dataset=dataset, kind="new value", column_name="event_type", name="wishlist", bucket="raw",
        first_key="a.csv", last_key="a.csv", period=date(2026, 3, 1), files=1, rejected_keys=(), examples=(),
        found_at=MOMENT, seen_at=MOMENT,
    )  # fmt: skip
    path = PROJECT_ROOT / "include/contracts" / domain / "clickstream.yaml"
    proposal = propose(found, load_domain(domain)["clickstream"], path, {})
    assert proposal.advice == [advice]
    assert "{value: wishlist}" in proposal.after
    assert proposal.after.splitlines()[4] != proposal.before.splitlines()[4], "the version is raised"
