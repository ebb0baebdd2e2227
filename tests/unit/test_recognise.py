"""A file's dataset is found by its header, if one dataset alone knows most of its columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from waybill.contracts import load_all
from waybill.intake.recognise import datasets_like
from waybill.settings import PROJECT_ROOT

DATASETS = [contract for contract in load_all().values() if contract.is_dataset]


@pytest.mark.parametrize(
    ("name", "table"), [("orders", "orders.lines"), ("purchases", "purchases.purchases"), ("rates", "purchases.rates")]
)
def test_the_examples_are_recognised(name: str, table: str) -> None:
    assert [one.table for one in datasets_like(PROJECT_ROOT / f"examples/{name}.csv", DATASETS)] == [table]


@pytest.mark.parametrize(
    ("head", "tables"),
    [
        ("currency,valid_from,rate\n", ["purchases.rates"]),
        ("\ufeff\n\nCurrency;Valid From;Rate\n", ["purchases.rates"]),
        ('{"currency": "EUR", "valid_from": "2026-01-01", "rate": 1.7, "more": 1}\n', ["purchases.rates"]),
        ('[\n{"currency": "EUR", "valid_from": "2026-01-01", "rate": 1.7},\n', ["purchases.rates"]),
        ('{\n  "currency": "EUR",\n  "valid_from": "2026-01-01",\n  "rate": 1.7\n}\n', ["purchases.rates"]),
        ('"currency","valid_from","rate"\n', ["purchases.rates"]),
        ("currency,valid_from\n", []),
        ("", []),
        ("[1, 2]\n", []),
        ("PK\x03\x04\n", []),
    ],
)
def test_a_header_needs_the_required_columns_of_a_dataset(head: str, tables: list[str], tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text(head, "utf-8")
    assert [one.table for one in datasets_like(file, DATASETS)] == tables
