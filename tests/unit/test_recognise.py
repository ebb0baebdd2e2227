"""A file's dataset is found by its header, if one dataset alone knows most of its columns."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from waybill.contracts import load_all
from waybill.contracts.file_format import FileFormat
from waybill.intake.recognise import datasets_like, misfit
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


@pytest.mark.parametrize(
    ("head", "is_found"),
    [
        ('{"page": 1, "data": {"of": "EUR", "rates": [{"from": {"day": "2026-01-01"}, "rate": 1.7}, {"from"', True),
        ('{"data": {"rates": {"from": {"day": "2026-01-01"}, "rate": 1.7}, "of": "EUR"}}', True),
        ('{"data": {"of": "EUR", "rates": [{"rate": 1.7}]}}', False),
        ('{"currency": "EUR", "valid_from": "2026-01-01", "rate": 1.7}', False),
        ('{"data": {"of": "EUR", "rates": [], "other": [{"from": {"day": "2026-01-01"}, "rate": 1.7}]}}', False),
    ],
)
def test_nested_records_need_the_required_columns_of_a_dataset(head: str, is_found: bool, tmp_path: Path) -> None:
    rates = next(contract for contract in DATASETS if contract.table == "purchases.rates")
    spellings = {"currency": ("data.of",), "valid_from": ("from.day",)}
    columns = tuple(replace(one, spellings=spellings.get(one.name, one.spellings)) for one in rates.columns)
    nested = replace(rates, columns=columns, file_format=FileFormat("json", record_path=("data", "rates")))
    file = tmp_path / "some.json"
    file.write_text(head, "utf-8")
    assert datasets_like(file, [nested]) == [nested] * is_found


HEADER = ["currency", "valid_from", "rate"]


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst", "zip"])
@pytest.mark.parametrize(
    "text", [",".join(HEADER) + "\n", '{"currency": "EUR", "valid_from": "2026-01-01", "rate": 1}\n']
)
def test_packed_files_are_recognised(ending: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"some.{'json' if text.startswith('{') else 'csv'}.{ending}"
    packed = {"gz": gzip.compress, "bz2": bz2.compress, "zst": partial(pa.compress, codec="zstd", asbytes=True)}
    if ending == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(file.stem, text)
    else:
        file.write_bytes(packed[ending](text.encode()))
    assert [one.table for one in datasets_like(file, DATASETS)] == ["purchases.rates"]


def test_tables_are_recognised_by_the_contracts_that_declare_them(tmp_path: Path) -> None:
    book, workbook, parquet = openpyxl.Workbook(), tmp_path / "some.xlsx", tmp_path / "some.parquet"
    book.worksheets[0].append(["Rates"])
    book.worksheets[0].append(HEADER)
    book.save(workbook)
    pq.write_table(pa.table({name: ["1"] for name in HEADER}), parquet)
    forms = {"parquet": FileFormat("parquet"), "xlsx": FileFormat("xlsx", skip_lines=1)}
    for name, form in forms.items():
        contracts = [replace(one, file_format=form) if one.table == "purchases.rates" else one for one in DATASETS]
        for file in (workbook, parquet):
            wanted = ["purchases.rates"] if file.suffix == f".{name}" else []
            assert [one.table for one in datasets_like(file, contracts)] == wanted


NO_HEADER = "EUR;2026-01-01;1.7\nUSD;2026-01-01;1.1\n"


@pytest.mark.parametrize(
    ("text", "header_lines", "is_found"), [(NO_HEADER, 0, True), (NO_HEADER, 1, False), ("EUR;2026-01-01\n", 0, False)]
)
def test_a_file_without_a_header_is_found_by_its_declared_format(
    text: str, header_lines: int, is_found: bool, tmp_path: Path
) -> None:
    rates = next(contract for contract in DATASETS if contract.table == "purchases.rates")
    assert len(rates.delivered_columns) == 3
    declared = replace(rates, file_format=FileFormat("csv", delimiter=";", header_lines=header_lines))
    file = tmp_path / "some.csv"
    file.write_text(text, "utf-8")
    assert datasets_like(file, [declared]) == [declared] * is_found


def test_a_file_that_does_not_fit_its_dataset_is_explained(tmp_path: Path) -> None:
    rates = next(contract for contract in DATASETS if contract.table == "purchases.rates")
    file = tmp_path / "some.csv"
    file.write_text("currency;valid_from;rate\nEUR;2026-01-01;1.7\n", "utf-8")
    assert f'{file}: it appears that semicolons separate the fields. Declare `delimiter: ";"`' in str(
        misfit(file, rates)
    )
    file.write_text("currency,valid_from,rate\nEUR,2026-01-01,1.7\n", "utf-8")
    assert misfit(file, rates) is None
