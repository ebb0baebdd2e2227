"""The facts of a received file, from the job to the ledger."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from waybill.files.content import Content
from waybill.files.json_members import MemberNames
from waybill.files.landed_file import LandedFile
from waybill.files.received_file import ArchiveMember, ReceivedFile
from waybill.lakehouse.facts import facts_of, received_from
from waybill.period import Period

LANDED = LandedFile("raw", "a/b.csv", "etag", 10, Period.of("day", date(2026, 3, 1)), datetime(2026, 3, 2, tzinfo=UTC))
CONTENT = Content("v1", "etag", "0" * 64, 10, None)


def _json_members(columns: set[str], unknown: set[str]) -> MemberNames:
    members = MemberNames({})
    members.columns, members.unknown = columns, unknown
    return members


@pytest.mark.parametrize(
    "received",
    [
        ReceivedFile(LANDED, CONTENT, Path("x"), 3, ["id", None, "ts"], ["ID", "extra; \u00e9", "TS"], True),
        ReceivedFile(LANDED, CONTENT, Path("x"), 3, ["id", None], ["id", " "], True, ignored_lines={"#.*": 2}),
        ReceivedFile(
            LANDED, CONTENT, Path("x"), 2, ["id", "ts"], ["id", "ts"], True, members=_json_members({"id"}, {"b", "a"})
        ),
        ReceivedFile(LANDED, CONTENT, Path("x"), 0, ["id"], ["id"], True, members=_json_members(set(), {"a"})),
        ReceivedFile(
            LANDED, CONTENT, Path("x"), 2, ["id"], ["id"], True, archive_members=(ArchiveMember("m.csv", 1, 2),)
        ),
    ],
)
def test_the_ledger_reads_the_same_facts_as_on_one_machine(received: ReceivedFile) -> None:
    again = received_from(LANDED, json.loads(json.dumps(facts_of(received))))
    assert again.content == received.content
    assert again.landed == LANDED
    for name in ("rows_in", "brought", "ignored", "archive_members"):
        assert getattr(again, name) == getattr(received, name)
    assert dict(again.ignored_lines) == dict(received.ignored_lines)
