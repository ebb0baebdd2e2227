"""The page of loads lists rejected files too, filters by status, and leads to the run of each file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.landing import MONTH, TRAFFIC, Landing, csv_body
from support.messaging_months import RUN, month
from support.problems import DAG, GOOD, NOW, landed, load_and_delete, reader_of, with_values, writer_of
from support.views import Page, check_inert, client_of
from waybill.errors import DataError
from waybill.files.landed_file import LandedFile
from waybill.intake.ledger import record_rejected_file
from waybill.intake.withdrawal import find_loaded, withdraw
from waybill.views.operations.loads import loaded_files, rejected_files
from waybill.views.operations.scope import Scope
from waybill.watch.seen_files import seen_files, without_deleted
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

__all__ = ["landed"]

SCOPE = Scope(("messaging",))
PAGE = "/operations/loads.html?domain=messaging&dataset=messaging.traffic"


@pytest.fixture
def client(stack: Stack, landed: Landing) -> TestClient:
    return client_of(reader_of(stack, landed), writer_of(stack, landed))


def text_of(client: TestClient, query: str = "") -> str:
    page = Page(client.get(PAGE + query).text)
    check_inert(page)
    return " ".join(page.text.split())


def test_rejected_files_are_listed_until_they_are_loaded_and_with_their_status(
    landed: Landing, client: TestClient
) -> None:
    message = landed.reject("traffic", csv_body(TRAFFIC, with_values(GOOD[:20], 6, "x")), "broken.csv")
    text = text_of(client)
    assert "Rejected files that were not loaded later" in text
    assert f"messaging.traffic broken.csv rejected {message.splitlines()[0]}" in text
    assert "broken.csv rejected" in text_of(client, "&state=rejected")
    assert "broken.csv" not in text_of(client, "&state=loaded")
    landed.put("traffic", MONTH, csv_body(TRAFFIC, GOOD), "broken.csv")
    landed.ingest("traffic", MONTH)
    assert "Rejected files" not in text_of(client)
    assert "broken.csv loaded later" in text_of(client, "&state=rejected")
    assert "broken.csv loaded" in text_of(client, "&state=loaded")


def test_an_object_that_two_datasets_read_is_rejected_by_each(landed: Landing) -> None:
    file = LandedFile(landed.bucket, "raw/x.csv", "the-etag", 1, month(MONTH), NOW)
    datasets = landed.contracts["customers"], landed.contracts["traffic"]
    for contract in datasets:
        record_rejected_file(landed.connection, contract, file, RUN, DataError("no"))
    found = rejected_files(landed.connection, SCOPE, None, 1)[0]
    assert {one["dataset"] for one in found} == {one.table for one in datasets}


def test_a_deleted_rejected_file_is_no_longer_open(landed: Landing, client: TestClient) -> None:
    landed.reject("traffic", csv_body(TRAFFIC, with_values(GOOD[:20], 6, "x")), "broken.csv")
    (found,) = [one for one in seen_files(landed.connection, landed.contracts["traffic"]) if one.is_rejected]
    landed.s3.delete_object(Bucket=landed.bucket, Key=found.object_key)
    assert without_deleted(landed.connection, landed.s3, landed.contracts["traffic"], [found]) == []
    assert "Rejected files" not in text_of(client)
    assert "broken.csv deleted" in text_of(client, "&state=rejected")


def test_the_same_content_under_another_name_settles_a_rejection(landed: Landing) -> None:
    file = LandedFile(landed.bucket, "raw/x.csv", "the-etag", 1, month(MONTH), NOW)
    record_rejected_file(landed.connection, landed.contracts["traffic"], file, RUN, DataError("no"))
    assert [one["is_settled"] for one in rejected_files(landed.connection, SCOPE, None, 1)[0]] == [False]
    landed.load("traffic", csv_body(TRAFFIC, GOOD))
    landed.connection.execute("update waybill.load_file set etag = 'the-etag' where period = '2026-03-01'")
    assert [one["is_settled"] for one in rejected_files(landed.connection, SCOPE, None, 1)[0]] == [True]
    assert rejected_files(landed.connection, SCOPE, None, 1, only_open=True)[0] == []


def test_files_are_filtered_by_status(landed: Landing, client: TestClient) -> None:
    key = load_and_delete(landed)
    landed.load("traffic", csv_body(TRAFFIC, GOOD[:20]), "twice.csv")
    landed.load("traffic", csv_body(TRAFFIC, GOOD[:10]), "twice.csv")
    withdraw(landed.connection, landed.s3, landed.contracts["traffic"], find_loaded(landed.connection, key))
    found = {
        state: [
            one["object_key"].rpartition("/")[2] for one in loaded_files(landed.connection, SCOPE, None, 1, state)[0]
        ]
        for state in ("superseded", "withdrawn")
    }
    assert found == {"superseded": ["twice.csv"], "withdrawn": ["part-1.csv"]}
    assert "1 to 1 of 1 files" in text_of(client, "&state=withdrawn")
    assert client.get(f"{PAGE}&state=other").status_code == 422
    landed.connection.execute("delete from waybill.load_file where status = 'withdrawn'")
    assert "No files with this status." in text_of(client, "&state=withdrawn")


def test_a_file_shows_its_name_and_leads_to_its_run(landed: Landing, client: TestClient) -> None:
    key = landed.load("traffic", csv_body(TRAFFIC, GOOD), "my-file.csv")
    page = Page(client.get(PAGE).text)
    (whole,) = [attributes for _, attributes in page.tags if str(attributes.get("title")).endswith(key)]
    assert whole["tabindex"] == "0"
    assert key not in page.text
    assert f"index.html?dag_id={DAG}&run_id=test" in page.links


def test_many_rejected_files_are_paged(landed: Landing) -> None:
    for number in range(60):
        file = LandedFile(landed.bucket, f"raw/{number}.csv", str(number), 1, month(MONTH), NOW)
        record_rejected_file(landed.connection, landed.contracts["traffic"], file, RUN, DataError("no"))
    files, total = rejected_files(landed.connection, SCOPE, None, 2)
    assert (len(files), total.place(2), files[-1]["object_key"]) == (10, "51 to 60 of 60", "raw/0.csv")
    assert rejected_files(landed.connection, SCOPE, None, 3) == ([], total)
