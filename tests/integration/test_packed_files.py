"""Packed files reach the tables through a real bucket, and their records are found again."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace

import pytest

from support.landing import TRAFFIC, Landing, csv_body, traffic_rows
from waybill.contracts.file_format import FileFormat
from waybill.settings import PROJECT_ROOT

FILES = PROJECT_ROOT / "docs/reference/contracts/files.md"


def archive(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name, body in members.items():
            opened.writestr(name, body)
    return target.getvalue()


@pytest.fixture
def members(landing: Landing) -> Landing:
    """The landing, with a contract that reads all members of an archive."""
    contract = replace(landing.contracts["traffic"], file_format=FileFormat(members="*.csv"))
    landing.contracts = {**landing.contracts, "traffic": contract}
    return landing


def test_a_rejected_record_of_an_archive_leads_to_its_member(members: Landing) -> None:
    good = traffic_rows(200)
    body = archive(
        {
            "part 10.csv": csv_body(TRAFFIC, [*good[120:199], "200,2026-03-01,1,1,1,many,1.00"]),
            "part 2.csv": csv_body(TRAFFIC, good[:120]),
        }
    )
    key = members.load("traffic", body, "traffic.zip")
    members.check(key, 200, {200: ["type:interactions_count"]})
    assert members.ledger(key)["archive_members"] == [
        {"name": "part 2.csv", "first_record": 1, "records": 120},
        {"name": "part 10.csv", "first_record": 121, "records": 80},
    ]
    (query,) = re.findall(r"(?s)```sql\n(.*?)```", FILES.read_text())
    assert members.all(query) == [(200, "part 10.csv", 80, ["type:interactions_count"])]


def test_the_message_of_a_rejected_archive_lists_its_members(members: Landing) -> None:
    bad = [row.replace("2026-03", "2026-13") for row in traffic_rows(4)]
    message = members.reject(
        "traffic", archive({"b.csv": csv_body(TRAFFIC, bad), "a.csv": csv_body(TRAFFIC, traffic_rows(2))}), "t.zip"
    )
    assert "Members: a.csv from record 1, b.csv from record 3." in message
    assert "record 3 " in message


def test_a_packed_file_without_several_members_has_none_in_the_ledger(landing: Landing) -> None:
    key = landing.load("traffic", archive({"t.csv": csv_body(TRAFFIC, traffic_rows(3))}), "traffic.csv.zip")
    assert landing.check(key, 3)["archive_members"] is None


def test_a_member_that_was_cut_off_is_told(members: Landing) -> None:
    first, second = csv_body(TRAFFIC, traffic_rows(30)), csv_body(TRAFFIC, traffic_rows(60)[30:])
    key = members.load("traffic", archive({"a.csv": first[:-20], "b.csv": second}), "traffic.zip")
    members.check(key, 60, {30: ["ragged", "truncated"]})
    assert members.all("select kind, message from waybill.file_warning") == [
        (
            "truncated",
            (
                "the last record of 1 member has no line end (first: record 30): the members may be truncated. "
                "Check their last values. If they are incomplete, send the archive again."
            ),
        )
    ]
