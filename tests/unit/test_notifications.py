"""Keys of objects in event notifications, as S3, SNS and EventBridge send them."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waybill.intake.notifications import named_keys

KEYS = st.text(st.characters(codec="utf-8"), min_size=1)


def of_s3(*keys: str, bucket: str = "raw") -> str:
    records = [{"s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, "/")}}} for key in keys]
    return json.dumps({"Records": records})


def of_eventbridge(key: str, bucket: str = "raw") -> str:
    return json.dumps({"detail-type": "Object Created", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}})


def of_sns(message: str) -> str:
    return json.dumps({"Type": "Notification", "Message": message})


@given(st.lists(KEYS), KEYS, KEYS)
def test_the_keys_of_all_forms_are_read(keys: list[str], bridged: str, published: str) -> None:
    bodies = [of_s3(*keys), of_eventbridge(bridged), of_sns(of_s3(published)), of_s3("other", bucket="other")]
    assert named_keys(bodies, "raw") == {*keys, bridged, published}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"Event": "s3:TestEvent", "Bucket": "raw"}',
        '{"Records": [{}]}',
        '{"Records": [{"s3": {"bucket": {"name": "raw"}, "object": {"key": null}}}]}',
        '{"Records": [{"s3": {"bucket": {"name": "raw"}, "object": {"key": "%ff.csv"}}}]}',
        '{"Records": {"s3": 1}}',
        '{"detail": "text"}',
        '{"Type": "Notification", "Message": "no JSON"}',
        "[" * 100_000,
    ],
)
def test_a_message_that_cannot_be_read_leaves_no_keys_out(body: str) -> None:
    assert named_keys([of_s3("a.csv"), body], "raw") is None
