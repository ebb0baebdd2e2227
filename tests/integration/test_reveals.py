"""Restricted values of rejected records are shown to few people, on request only, and each time is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from support.landing import Landing
from support.ledger import add_file, add_reject
from support.problems import landed, reader_of, writer_of
from support.views import Page, Someone, check_inert, client_of
from waybill.cli import app
from waybill.cli.terminal import operating_system_user
from waybill.contracts.domains import load_manifest
from waybill.settings import settings
from waybill.views.operations.rejected_rows import HIDDEN
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

__all__ = ["landed"]

DATASET, SECRET = "shop.customers", "ada<b>@example.com"
PAGE = f"/operations/quarantine.html?dataset={DATASET}"
ROUTE = f"/operations/reveal/{load_manifest('shop').dag}"


@pytest.fixture
def record(landed: Landing) -> tuple[int, int]:
    """A rejected customer: the file and the number of the record."""
    file_id = add_file(landed.connection, DATASET, rows_in=2, rejected=2)
    add_reject(landed.connection, file_id, 1, json.dumps({"email": SECRET, "country": "DE"}), "pattern:email")
    add_reject(landed.connection, file_id, 2, json.dumps(f"a line with {SECRET}"), "ragged")
    return file_id, 1


@pytest.fixture
def client(stack: Stack, landed: Landing) -> TestClient:
    """A client of a person who may reveal values."""
    return client_of(reader_of(stack, landed), writer_of(stack, landed), Someone("ada", may_reveal=True))


def body(record: tuple[int, int], **changed: Any) -> dict[str, Any]:
    return {"dataset": DATASET, "row": record, "reason": "ticket 7"} | changed


def recorded(landed: Landing) -> list[tuple[Any, ...]]:
    return landed.all(
        "select dataset, file_id, record, shard, sequence::text, revealed_by, shown_in, reason "
        "from waybill.reveal order by 1, 2, 3"
    )


def test_a_reveal_shows_the_record_is_not_cached_and_is_recorded(
    client: TestClient, landed: Landing, record: tuple[int, int]
) -> None:
    answer = client.post(ROUTE, json=body(record))
    assert answer.status_code == 200, answer.text
    assert answer.json()["values"] == [["email", SECRET], ["country", "DE"]]
    assert "no-store" in answer.headers["cache-control"]
    assert recorded(landed) == [(DATASET, *record, None, None, "ada", "page", "ticket 7")]
    whole = client.post(ROUTE, json=body((record[0], 2), reason="")).json()
    assert whole["values"] == [["record", f"a line with {SECRET}"]]
    assert len(recorded(landed)) == 2
    page = Page(client.get("/operations/reveals.html?domain=shop").text)
    check_inert(page)
    text = " ".join(page.text.split())
    assert "Reveals 2 reveals" in text
    assert f"ada page {DATASET} record 1 of file {record[0]} ticket 7" in text
    assert SECRET not in text
    assert "Nobody has revealed" in client.get("/operations/reveals.html?domain=messaging").text


def test_an_event_of_a_stream_is_revealed_by_its_place(client: TestClient, landed: Landing) -> None:
    landed.connection.execute(
        "insert into waybill.stream_rejected (dataset, shard, sequence, arrived_at, reasons, raw, contract_version) "
        "values (%s, 'shardId-0', 12345678901234567890123456, now(), '{x}', %s, '1')",
        (DATASET, json.dumps({"email": SECRET})),
    )
    landed.connection.commit()
    wanted = {"dataset": DATASET, "event": ["shardId-0", "12345678901234567890123456"]}
    assert client.post(ROUTE, json=wanted).json()["values"] == [["email", SECRET]]
    [one] = recorded(landed)
    assert one[1:5] == (None, None, "shardId-0", "12345678901234567890123456")


def test_the_page_hides_values_and_offers_reveals_to_those_who_may(
    stack: Stack, client: TestClient, landed: Landing, record: tuple[int, int]
) -> None:
    page = client.get(PAGE)
    check_inert(Page(page.text))
    assert SECRET.partition("<")[0] not in page.text
    assert HIDDEN in page.text
    assert "no-store" in page.headers["cache-control"]
    buttons = [attributes for tag, attributes in Page(page.text).tags if "data-reveal" in attributes]
    assert [json.loads(str(one["data-body"]))["row"] for one in buttons] == [[record[0], 1], [record[0], 2]]
    for user in (Someone(), Someone(may_run=False, may_reveal=True)):
        other = client_of(reader_of(stack, landed), writer_of(stack, landed), user).get(PAGE).text
        assert "data-reveal" not in other
        assert "you need permission to edit the connection" in other
    assert recorded(landed) == []


REFUSED: list[tuple[Someone, dict[str, Any], dict[str, str], int]] = [
    (Someone(), {}, {}, 403),  # may start runs, and so replay rows
    (Someone(may_run=False, may_reveal=True), {}, {}, 403),
    (Someone(may_look=False, may_reveal=True), {}, {}, 401),
    (Someone(may_reveal=True), {}, {"origin": "https://evil.example.com"}, 403),
    (Someone(may_reveal=True), {}, {"sec-fetch-site": "cross-site"}, 403),
    (Someone(may_reveal=True), {}, {"content-type": "text/plain"}, 415),
    (Someone(may_reveal=True), {"dataset": "messaging.traffic"}, {}, 404),
    (Someone(may_reveal=True), {"dataset": "shop.reviews"}, {}, 404),
    (Someone(may_reveal=True), {"row": [0, 1]}, {}, 404),
    (Someone(may_reveal=True), {"row": None}, {}, 422),
    (Someone(may_reveal=True), {"event": ["shardId-0", "1"]}, {}, 422),
    (Someone(may_reveal=True), {"reason": "x" * 501}, {}, 422),
]
"""Users, changes of the body, headers, and the status of the answer."""


def test_nothing_is_revealed_without_the_right_or_with_a_wrong_request(
    stack: Stack, client: TestClient, landed: Landing, record: tuple[int, int]
) -> None:
    for user, changed, headers, status in REFUSED:
        other = client_of(reader_of(stack, landed), writer_of(stack, landed), user)
        content = json.dumps(body(record, **changed))
        answer = other.post(ROUTE, content=content, headers={"content-type": "application/json"} | headers)
        assert answer.status_code == status, (user, changed, headers, answer.text)
        assert SECRET not in answer.text
    assert client.get(ROUTE, params={"dataset": DATASET, "row": record}).status_code == 405
    assert recorded(landed) == []


def test_the_command_records_the_account_of_the_operating_system(
    stack: Stack, landed: Landing, record: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", writer_of(stack, landed))
    settings.cache_clear()
    monkeypatch.setenv("USER", "somebody_else")
    monkeypatch.setenv("LOGNAME", "somebody_else")
    place = ["--file-id", str(record[0]), "--record", "1"]
    done = CliRunner().invoke(app, ["reveal", DATASET, *place, "--reason", "ticket 8"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == [f"email: {SECRET}", "country: DE"]
    assert recorded(landed) == [(DATASET, *record, None, None, operating_system_user(), "command", "ticket 8")]
    listed = CliRunner().invoke(app, ["quarantine", DATASET])
    assert "ada" not in listed.output
    for wrong in ([], place[:2], [*place, "--shard", "a"]):
        done = CliRunner().invoke(app, ["reveal", DATASET, *wrong])
        assert (done.exit_code, "name the record" in done.stderr) == (1, True)
    done = CliRunner().invoke(app, ["reveal", "shop.reviews", *place])
    assert (done.exit_code, SECRET in done.output) == (1, False)
    assert f"shop.reviews has no record 1 of file {record[0]} in quarantine" in done.stderr
    assert len(recorded(landed)) == 1
