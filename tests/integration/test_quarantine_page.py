"""The quarantine says what is wrong with each row, what the contract requires, and what a replay could not do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.landing import CUSTOMERS, TRAFFIC, Landing, csv_body, customer_rows
from support.ledger import add_file, add_reject
from support.problems import DAG, GOOD, landed, reader_of, with_values, writer_of
from support.views import Page, check_inert, client_of
from waybill.contracts import load_all
from waybill.views.operations.rejected_rows import HIDDEN, quarantined, reasons
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

__all__ = ["landed"]

PAGE = "/operations/quarantine.html?domain=messaging&dataset=messaging.traffic"
BAD_ROWS = 5


@pytest.fixture
def client(stack: Stack, landed: Landing) -> TestClient:
    """A client; two rows have an unknown customer, two a negative number, one no fields."""
    unknown, negative = with_values(GOOD[:2], 3, "10"), with_values(GOOD[2:4], 5, "-3")
    landed.load("traffic", csv_body(TRAFFIC, [*unknown, *negative, "1,2", *GOOD[BAD_ROWS:]]))
    return client_of(reader_of(stack, landed), writer_of(stack, landed))


def test_the_page_counts_rows_and_names_expectation_and_next_step_of_each_reason(client: TestClient) -> None:
    page = Page(client.get(PAGE).text)
    check_inert(page)
    text = " ".join(page.text.split())
    assert "Quarantine 5 rows of messaging.traffic" in text
    assert "Why rows are open" in text
    assert "range:interactions_count 2 at least 0 Send a corrected file." in text
    assert "reference:customer_id 2 a value of customers.customer_id Replay them when the missing customer_id" in text
    assert "ragged 1 a record that can be split into fields Send a corrected file under the same name." in text
    assert "range:interactions_count must be at least 0" in text
    assert "Cannot be replayed: it has no fields." in text
    requests = [attributes["data-body"] for tag, attributes in page.tags if tag == "form" and "data-body" in attributes]
    assert len(requests) == 2, "nothing can replay rows without fields"


def test_the_values_that_break_a_rule_are_marked(client: TestClient, landed: Landing) -> None:
    rows, _ = quarantined(landed.connection, landed.contracts["traffic"])
    marked = [[(name, value) for name, value, is_broken in row.values if is_broken] for row in rows]
    assert marked == [[("customer_id", "10")]] * 2 + [[("interactions_count", "-3")]] * 2 + [[]]
    page = Page(client.get(PAGE).text)
    assert len([tag for tag, _ in page.tags if tag == "mark"]) == 4


def test_all_rows_of_a_reason_are_replayed_and_the_rest_is_explained(client: TestClient, landed: Landing) -> None:
    landed.load("customers", csv_body(CUSTOMERS, customer_rows(10)))
    body = {"dataset": "messaging.traffic", "reason": "reference:customer_id"}
    answer = client.post(f"/operations/replay/{DAG}", json=body).json()
    assert answer["is_done"]
    assert answer["text"].startswith("Replayed 2 rows: 2 inserted.")
    answer = client.post(f"/operations/replay/{DAG}", json=body).json()
    assert (answer["text"], answer["is_done"]) == ("Nothing was replayed.", True)
    body["reason"] = "range:interactions_count"
    answer = client.post(f"/operations/replay/{DAG}", json=body).json()
    assert answer["text"] == "Replayed 2 rows: 2 rejected. Still rejected: range:interactions_count (2)."
    assert answer["is_done"] is False
    (file_id,) = landed.column("select distinct file_id from waybill.quarantine")
    rows = {"dataset": "messaging.traffic", "rows": [[file_id, BAD_ROWS]]}
    answer = client.post(f"/operations/replay/{DAG}", json=rows).json()
    told = "Nothing was replayed. Not replayed, because they have no fields: ragged (1). Send their file again."
    assert (answer["text"], answer["is_done"]) == (told, False)


def test_a_restricted_value_that_breaks_a_rule_is_marked_and_stays_hidden(landed: Landing) -> None:
    contract = load_all()["shop.customers"]
    (name, *_) = [column.name for column in contract.columns if column.classification == "restricted"]
    file_id = add_file(landed.connection, "shop.customers", rows_in=1, rejected=1)
    add_reject(landed.connection, file_id, 1, f'{{"{name}": "secret@example.com"}}', f"pattern:{name}")
    (row,), _ = quarantined(landed.connection, contract)
    assert (name, HIDDEN, True) in row.values
    assert "secret" not in str(row)


def test_a_value_that_is_absent_is_marked(landed: Landing) -> None:
    contract = landed.contracts["traffic"]
    file_id = add_file(landed.connection, contract.table, rows_in=1, rejected=1)
    add_reject(landed.connection, file_id, 1, '{"account_id": "1"}', "required:customer_id")
    (row,), _ = quarantined(landed.connection, contract)
    assert row.values == [("account_id", "1", False), ("customer_id", "", True)]


def test_rows_that_wait_for_an_effective_row_need_nobody(landed: Landing) -> None:
    contract = replace(load_all()["shop.reviews"])
    file_id = add_file(landed.connection, contract.table, rows_in=1, rejected=1)
    add_reject(landed.connection, file_id, 1, "{}", "in_force:product_id")
    (found,) = reasons(landed.connection, contract)
    assert found.advice == "Wait: the next run after the referenced row arrives replays them."
