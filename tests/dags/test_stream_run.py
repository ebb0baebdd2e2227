"""A run that looks at streams: incidents, and one message when one opens and one when it closes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from airflow.dag_processing.dagbag import BundleDagBag

from support.landing import Landing, landing_bucket, landing_dsn
from support.problems import landed, writer_of
from waybill.operators import StreamsOperator
from waybill.settings import PROJECT_ROOT, settings
from waybill_devtools.stack import Stack

__all__ = ["landed", "landing_bucket", "landing_dsn"]

STREAMS = '{"shop.clickstream": "clicks"}'


@pytest.fixture
def supervised(landed: Landing, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Landing]:
    """A warehouse whose stream has one shard."""
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", writer_of(stack, landed))
    monkeypatch.setenv("WAYBILL_STREAMS", STREAMS)
    settings.cache_clear()
    landed.connection.execute(
        "insert into waybill.stream (dataset, name, created_at) values ('shop.clickstream', 'clicks', now())"
    )
    landed.connection.execute(
        "insert into waybill.stream_shard (dataset, stream_created_at, shard, read_at, behind_seconds) "
        "select dataset, created_at, '1', now() - interval '10 minutes', 0 from waybill.stream"
    )
    yield landed
    settings.cache_clear()


def run(number: int) -> dict[str, float | None]:
    found: dict[str, float | None] = StreamsOperator(task_id="streams").execute({"run_id": f"run {number}"})
    return found


def messages(landed: Landing) -> list[str]:
    found = landed.all("select message from waybill.alert order by raised_at")
    return [message.splitlines()[0] for (message,) in found]


def test_a_lag_sends_one_message_when_it_opens_and_one_when_consumers_have_caught_up(supervised: Landing) -> None:
    what = "The stream clicks of shop.clickstream is not read in time"
    lag = run(1)["shop.clickstream"]
    assert lag is not None
    assert 600 <= lag < 660
    run(2)
    assert messages(supervised) == [f"Shop: incident 1 opened: {what}."]
    supervised.connection.execute("update waybill.stream_shard set read_at = now()")
    run(3)
    run(4)
    assert messages(supervised)[1:] == [f"Shop: incident 1 closed: {what}."]


def test_a_stream_that_is_not_set_any_more_closes_its_incident(
    supervised: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(1)
    monkeypatch.delenv("WAYBILL_STREAMS")
    settings.cache_clear()
    assert run(2) == {}
    assert [line.partition(":")[2].split()[2] for line in messages(supervised)] == ["opened:", "closed:"]


@pytest.mark.parametrize(("streams", "schedule"), [(STREAMS, "*/5 * * * *"), ("", "0 */6 * * *")])
def test_streams_are_looked_at_every_five_minutes(monkeypatch: pytest.MonkeyPatch, streams: str, schedule: str) -> None:
    monkeypatch.setenv("WAYBILL_STREAMS", streams)
    settings.cache_clear()
    folder = PROJECT_ROOT / "dags" / "operations"
    try:
        bag = BundleDagBag(str(folder / "operations_freshness.py"), bundle_path=folder, bundle_name="dags-folder")
    finally:
        settings.cache_clear()
    [dag] = bag.dags.values()
    assert dag.schedule == schedule
