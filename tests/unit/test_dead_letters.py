"""Messages in dead-letter queues are counted at most once a minute, and a failure is no error. moto answers for SQS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from rights.calls import DEAD_LETTERS, Request
from rights.policies import is_allowed
from waybill.ops import dead_letters
from waybill.ops.dead_letters import KEPT_SECONDS, DeadLetterCounts, DeadLetters
from waybill.settings import settings

ARN = "arn:aws:sqs:eu-central-1:123456789012:waybill-orders-dead"
DOMAINS = ("messaging", "orders", "purchases")


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    url = "https://sqs.eu-central-1.amazonaws.com/123456789012/waybill-{domain}-dead"
    monkeypatch.setenv("WAYBILL_DEAD_LETTER_URLS", f'{{"*": "{url}"}}')
    settings.cache_clear()
    with mock_aws():
        yield boto3.client("sqs", region_name="eu-central-1")
    settings.cache_clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the module: its only entry."""
    now = [1000.0]
    monkeypatch.setattr(dead_letters, "monotonic", lambda: now[0])
    return now


def send(sqs: Any, domain: str, messages: int) -> None:
    url = sqs.create_queue(QueueName=f"waybill-{domain}-dead")["QueueUrl"]
    for _ in range(messages):
        sqs.send_message(QueueUrl=url, MessageBody="{}")


def test_queues_with_messages_are_found_and_counted_again_after_a_minute(sqs: Any, clock: list[float]) -> None:
    send(sqs, "orders", 3)
    send(sqs, "purchases", 0)
    counts = DeadLetterCounts(lambda: sqs)
    found = [DeadLetters("orders", "waybill-orders-dead", ARN, 3)]
    assert counts(DOMAINS) == found, "messaging has no queue, that of purchases is empty"
    send(sqs, "orders", 1)
    assert counts(DOMAINS) == found
    assert counts(("purchases",)) == []
    clock[0] += KEPT_SECONDS
    assert [one.messages for one in counts(DOMAINS)] == [4]


def test_without_the_setting_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.cache_clear()

    def client() -> Any:
        raise AssertionError("there is no queue")

    assert DeadLetterCounts(client)(DOMAINS) == []


def test_a_queue_that_cannot_be_read_is_logged_once_a_minute(
    sqs: Any, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    send(sqs, "purchases", 2)
    counts = DeadLetterCounts(lambda: sqs)
    with caplog.at_level(logging.WARNING):
        assert counts(DOMAINS) == [], "there is no queue of orders"
        assert counts(DOMAINS) == []
    (line,) = caplog.messages
    assert "waybill-orders-dead cannot be counted: " in line
    send(sqs, "orders", 1)
    clock[0] += KEPT_SECONDS
    assert [one.messages for one in counts(DOMAINS)] == [1, 2]


def test_a_service_that_does_not_answer_is_asked_once_a_minute(
    sqs: Any, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def client() -> Any:
        asked.append(clock[0])
        limits = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
        return boto3.client("sqs", region_name="eu-central-1", endpoint_url="http://127.0.0.1:9", config=limits)

    counts = DeadLetterCounts(client)
    for _ in range(3):
        assert counts(DOMAINS) == []
    assert len(asked) == len(caplog.messages) == 1


def test_only_dead_letter_queues_may_be_counted() -> None:
    assert is_allowed(Request("sqs:GetQueueAttributes", (DEAD_LETTERS,)))
    for queue in ("landed", "other"):
        place = DEAD_LETTERS.replace("dead-letters", queue)
        assert not is_allowed(Request("sqs:GetQueueAttributes", (place,)))
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue"):
        assert not is_allowed(Request(action, (DEAD_LETTERS,)))
