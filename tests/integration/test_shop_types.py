"""Rules over several columns, and instants, truth values and UUIDs, in loads of CSV and JSON files."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from psycopg import Connection

from landing_support import csv_body, total
from shop_landing import LAYOUTS, SHOP, Shop
from waybill.contracts import ContractError
from waybill.contracts.odcs import RowRule

SALES = LAYOUTS["transactions"].header
DAY = "2026-03-02"
AT = f"{DAY}T12:00:00Z"


@pytest.fixture
def shop(empty_connection: Connection) -> Shop:
    return Shop(empty_connection)


def rejects(shop: Shop) -> dict[int, list[str]]:
    return dict(shop.all("select record, reasons from waybill.quarantine order by record"))


def test_an_amount_must_be_quantity_times_price(shop: Shop) -> None:
    rows = [
        f"1,1,1,3,0.10,0.30,{AT},completed,card",
        f"2,1,1,3,0.10,0.31,{AT},completed,card",
        f"3,1,1,,0.10,0.31,{AT},completed,card",  # missing: the rule does not judge
        f"4,1,1,2147483647,99999999.99,214748364678525163.53,{AT},completed,card",  # too large for the column
        f"5,1,1,2147483647,99999999.99,1.00,{AT},completed,cash",
        f"6,1,1,0,0.10,0.31,{AT},lost,card",
    ]
    books = shop.load("transactions", DAY, csv_body(SALES, rows))
    assert books
    assert (books.inserted, books.rejected, total(books)) == (1, 5, 6)
    assert rejects(shop) == {
        2: ["rule:total_amount"],
        3: ["required:quantity"],
        4: ["type:total_amount"],
        5: ["rule:total_amount"],
        6: ["range:quantity", "enum:status", "rule:total_amount"],
    }


@pytest.mark.parametrize("expression", ["quantity = ", "nonsense(quantity)", "quantity = payment_method || 1 +"])
def test_a_rule_that_cannot_be_compiled_names_the_contract(expression: str, shop: Shop) -> None:
    shop.contracts["transactions"] = replace(SHOP["transactions"], row_rules=(RowRule("x", expression),))
    with pytest.raises(ContractError, match=r"the contract of shop.transactions \(version 1.0.0\) cannot be compiled"):
        shop.load("transactions", DAY, csv_body(SALES, [f"1,1,1,3,0.10,0.30,{AT},completed,card"]))
    assert shop.all("select count(*) from waybill.load_file") == [(0,)]
    assert json.dumps(shop.all("select message from waybill.refusal")).count("look at its row rules") == 1
