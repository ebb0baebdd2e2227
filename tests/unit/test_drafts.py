"""Names, layout, keys and types of drafted contracts, without a server."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from support.drafts import DATASET, DOMAIN, draft, drafted_contract
from waybill.cli import app
from waybill.contracts.file_format import UNDECLARED
from waybill.drafts.compare import differences
from waybill.drafts.files import given_files
from waybill.drafts.layout import to_yaml
from waybill.drafts.names import column_names, synonyms_of
from waybill.drafts.target import contract_path
from waybill.errors import DataError


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (
            ["Order Id", "orderDate", "HTTPStatus", "Größe (cm)"],
            ["order_id", "order_date", "http_status", "groesse_cm"],
        ),
        (["a", "A", "a "], ["a", "a_2", "a_3"]),
        (["", "名前", "2026"], ["column_1", "column_2", "column_2026"]),
        (["Rabatt %", "Preis €", "№"], ["rabatt_percent", "preis_eur", "number"]),
        (["_file_id", "record", "xmin"], ["file_id", "record", "xmin_2"]),
    ],
)
def test_names_are_identifiers(headers: list[str], names: list[str]) -> None:
    assert column_names(headers) == names


@given(st.lists(st.text(max_size=80), max_size=20))
def test_names_are_different_identifiers_for_any_headers(headers: list[str]) -> None:
    names = column_names(headers)
    assert len({*names}) == len(headers)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) and len(name) <= 60 for name in names)
    for name, header in zip(names, headers, strict=True):
        if header.isalpha() and header.isascii() and header.islower() and name == header:
            assert synonyms_of(name, header) == {}


@pytest.mark.parametrize("name", ["", "Sales", "1st", "a-b", "a b", "_a", "a_", "a.b", "../a", "a" * 51, "ä"])
def test_other_names_of_tables_are_rejected(name: str) -> None:
    with pytest.raises(DataError, match="--dataset"):
        contract_path("orders", name)
    with pytest.raises(DataError, match="--domain"):
        contract_path(name, "sales")


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=150),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text("abc", min_size=1), values, max_size=3),
    max_leaves=8,
)


@example({"id": "\x85", "purpose": "a\u2028b"})
@example({"id": "\x1f" * 200, "purpose": "well-known " * 30})
@given(st.dictionaries(st.sampled_from(["id", "name", "enum", "purpose"]), YAML_VALUES, min_size=1))
def test_the_layout_keeps_every_value(document: dict[str, object]) -> None:
    text = to_yaml({**document, "properties": [document]}, {("properties",): ["check: why?"]})
    assert yaml.safe_load(text) == {**document, "properties": [document]}


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def test_a_key_that_holds_in_the_first_rows_only_is_not_proposed(include_dir: Path, tmp_path: Path) -> None:
    rows: list[list[object]] = [[n, n, f"x{n}"] for n in range(12_000)]
    rows.append([11_999 - 3_000, 12_000, "other"])
    draft(tmp_path, write_csv(tmp_path / "a.csv", ["sample_id", "line_id", "text"], rows))
    assert drafted_contract().key == ["line_id"]
    rows.append([5, 12_000, "third"])
    rows.append([5, 12_000, "fourth"])
    table = draft(tmp_path, write_csv(tmp_path / "b.csv", ["sample_id", "line_id", "text"], rows))
    assert drafted_contract().key == ["text"]
    assert "does not look like an identifier" in table.text


def test_a_pair_identifies_rows_if_no_column_does(include_dir: Path, tmp_path: Path) -> None:
    rows: list[list[object]] = [[n // 4, n % 4, 7, n * 0.5] for n in range(400)]
    draft(tmp_path, write_csv(tmp_path / "a.csv", ["order_id", "line", "pieces", "price"], rows))
    assert drafted_contract().key == ["order_id", "line"]


@pytest.mark.parametrize("name", ["ORDERID", "orderno", "SAMPLEID", "OrderId"])
def test_an_identifier_without_a_boundary_between_its_words_is_the_key(
    include_dir: Path, tmp_path: Path, name: str
) -> None:
    rows: list[list[object]] = [[f"2026-{n // 28 + 1:02}-{n % 28 + 1:02}", f"A-{n}"] for n in range(100)]
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", ["DAY", name], [*rows, *rows]))
    contract = drafted_contract()
    assert (contract.key, contract.occurrence_column) == ([contract.columns[1].name], None)
    assert "the files have 100 duplicate rows, equal to an earlier row in every column." in unwrapped(table.text)


def test_a_repeated_header_and_rows_are_doubts(include_dir: Path, tmp_path: Path) -> None:
    rows: list[list[object]] = [[f"2026-11-{n % 28 + 1:02}", n % 7] for n in range(150)]
    other: list[list[object]] = [["2026-12-01", 5], ["2026-12-02", 6]]
    text = unwrapped(draft(tmp_path, write_csv(tmp_path / "a.csv", ["day", "n"], [*rows, ["day", "n"], *other])).text)
    assert "record 151 of a.csv repeats the header: the records below may be another table." in text
    assert "122 duplicate rows, equal to an earlier row in every column, which are loaded as rows of their own." in text


@pytest.mark.parametrize("name", ["paid", "PREPAID", "valid", "grid"])
def test_a_word_that_ends_like_an_identifier_is_none(include_dir: Path, tmp_path: Path, name: str) -> None:
    rows: list[list[object]] = [[f"A{n}"] for n in range(100)]
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", [name], rows))
    assert "does not look like an identifier" in table.text


def test_the_command_writes_once_and_then_compares(include_dir: Path, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", ["id", "kind", "email"], [[n, "ab"[n % 2], f"p{n}@x.org"] for n in range(150)])
    path = include_dir / "contracts" / DOMAIN / f"{DATASET}.yaml"
    runner = CliRunner()

    def run(*arguments: str) -> tuple[int, str]:
        done = runner.invoke(app, ["contract", "new", *arguments, "--domain", DOMAIN, "--dataset", DATASET])
        return done.exit_code, done.output

    code, output = run(str(file))
    assert code == 0, output
    assert "p1@x.org" not in output + path.read_text()
    text = path.read_text()
    code, output = run(str(file))
    assert code == 0
    assert "exists, and the files fit it." in output.replace("\n", " ")
    assert "--force" not in output
    other = write_csv(
        tmp_path / "b.csv", ["id", "kind", "colour"], [[1, "", "red"], ["x", "a", "red"], [1, "b", "red"]]
    )
    code, output = run(str(other))
    assert code == 1
    assert "equired columns are missing: email" in output
    third = write_csv(
        tmp_path / "c.csv",
        ["id", "kind", "email", "colour"],
        [[1, "", "a@x.org", 1], ["x", "a", "a@x.org", 2], [1, "b", "b@x.org", 3], [1, "a", "a@x.org", 3]],
    )
    code, output = run(str(third))
    assert code == 1
    assert "the column 'colour' is not in the contract" in output
    assert "required:kind in 1 row: record 1" in output
    assert "type:id in 1 row: record 2 (id 'x')" in output
    assert "the key id repeats with other values in 1 row" in output
    assert path.read_text() == text
    assert run(str(third), "--force")[0] == 0
    assert path.read_text() != text


def test_a_few_wrong_values_of_a_large_file_are_rejected_and_said(include_dir: Path, tmp_path: Path) -> None:
    rows: list[list[object]] = [[n, n * 3, f"{n}.5"] for n in range(2_000)]
    rows[700][1] = "twelve"
    rows[900][1] = "12 or so"
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", ["id", "pieces", "price"], rows))
    contract = drafted_contract()
    assert [column.physical_type for column in contract.columns[:2]] == ["integer", "integer"]
    [file] = table.files
    assert (file.rows, file.rejected) == (2_000, 2)
    assert {rule.reason: rule.rows for rule in file.broken} == {"type:pieces": 2}
    text = unwrapped(table.text)
    assert "the type rejects 2 rows of 2,000 with a value, the first in record 701" in text
    assert "a.csv has 2 rejected rows of 2,000: type:pieces (2, first in record 701)" in text
    for number in range(1_000, 1_200):
        rows[number][1] = f"x{number}"
    draft(tmp_path, write_csv(tmp_path / "a.csv", ["id", "pieces", "price"], rows))
    assert drafted_contract().columns[1].physical_type == "text"


def unwrapped(text: str) -> str:
    return " ".join(text.replace("# ", "").split())


def test_several_files_have_one_contract(include_dir: Path, tmp_path: Path) -> None:
    header: list[str] = ["id", "name"]
    first = write_csv(tmp_path / "a.csv", header, [[n, f"n{n}"] for n in range(150)])
    second = write_csv(tmp_path / "b.csv", [*header, "Extra"], [[n, f"m{n}", n] for n in range(1, 151)])
    table = draft(tmp_path, first, second)
    contract = drafted_contract()
    assert contract.key == ["id"]
    assert [(column.name, column.required) for column in contract.columns[:3]] == [
        ("id", True),
        ("name", True),
        ("extra", False),
    ]
    assert "149 of 151 keys occur in several files" in unwrapped(table.text)
    other = tmp_path / "c.csv"
    other.write_text("id;name\n1;a\n2;b\n")
    with pytest.raises(DataError, match="have different formats"):
        draft(tmp_path, first, other)


@pytest.mark.parametrize(
    ("body", "message"), [(b"", "empty"), (b"%PDF-1.7 x", "PDF"), (b"\n\n", "empty"), (b"\x00\x01\x02" * 50, "a.csv")]
)
def test_files_without_a_table_are_refused(include_dir: Path, tmp_path: Path, body: bytes, message: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(body)
    with pytest.raises(DataError, match=message):
        draft(tmp_path, file)
    with pytest.raises(DataError, match="no such file"):
        draft(tmp_path, tmp_path / "missing.csv")


def test_no_value_of_a_personal_column_is_shown(include_dir: Path, tmp_path: Path) -> None:
    iban = "DE89370400440532013000"
    rows: list[list[object]] = [
        [n, "Ann Other", f"ann{n % 3}@example.org", f"+49 30 12345{n:03d}", f"10.0.0.{n}", iban, "12/11/1980"]
        for n in range(1, 100)
    ]
    header = ["id", "customer_name", "contact", "Phone", "seen_from", "account", "birth_date"]
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", header, rows))
    restricted = {column.name for column in drafted_contract().columns if column.classification == "restricted"}
    assert restricted == {*column_names(header[1:])}
    shown = table.text + "".join(doubt for _, doubt in table.doubts)
    for value in ("Ann", "example.org", "12345", "10.0.0", "DE89", "1980"):
        assert value not in shown


def test_dates_that_disagree_on_day_and_month_stay_text(include_dir: Path, tmp_path: Path) -> None:
    rows: list[list[object]] = [[n, f"{n % 28 + 1}/{n % 12 + 1}/{2000 + n % 25}"] for n in range(2_000)]
    rows[700][1] = "3/25/2025"
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", ["id", "day"], rows))
    assert drafted_contract().columns[1].physical_type == "text"
    assert "all but 1 of 2,000 values fit the type date. The first that does not is in record 701" in unwrapped(
        table.text
    )


def test_members_without_a_name_are_left_out(include_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[{"id": 1, "": 2}, {"id": 2, "": 3}]')
    assert [column.name for column in draft(tmp_path, file).columns] == ["id"]


def test_a_column_of_a_parquet_file_without_a_name_is_left_out_and_said(include_dir: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table([[1, 2], ["x", "y"]], names=["id", ""]), tmp_path / "a.parquet")
    table = draft(tmp_path, tmp_path / "a.parquet")
    assert [column.name for column in table.columns] == ["id"]
    assert any("a column of the Parquet file has no name" in doubt for _, doubt in table.doubts)


@pytest.mark.parametrize(
    "text", ['[{"id": 1, "Id": 2}, {"ID": 3}]', '{"id": 1, "Id": 2}\n{"ID": 3}\n', '[{"id": 1, "id": 2}, {"id": 3}]']
)
def test_equal_members_are_one_column_and_their_records_a_doubt(include_dir: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    table = draft(tmp_path, file)
    assert [column.name for column in table.columns] == ["id"]
    assert drafted_contract().file_format == UNDECLARED
    expected = "json (1, first in record 1). A JSON record is an object that names each column once, in any case."
    assert expected in " ".join(doubt for _, doubt in table.doubts)


def test_a_member_on_the_path_that_occurs_twice_is_named(include_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"orders": [{"id": 1}], "orders": [{"id": 2}]}')
    with pytest.raises(DataError, match="no record that can be read: each must be a JSON object that has each member"):
        draft(tmp_path, file)


@pytest.mark.parametrize(
    ("text", "what"),
    [("[]", "an empty array"), ("[1, 2]", "an array of values"), ("{}", "an empty"), ('"x"', "a single")],
)
def test_json_without_records_is_no_table(include_dir: Path, tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(DataError, match=rf"a\.json is JSON without records: {what}.*A record is an object"):
        draft(tmp_path, file)


def test_too_many_columns_are_said(include_dir: Path, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [f"c{place}" for place in range(2_000)], [[*range(2_000)]])
    with pytest.raises(DataError, match=r"the file has 2,000 columns, but a dataset can have 798 besides"):
        draft(tmp_path, file)


def test_fixed_width_text_is_no_table(include_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("".join(f"{n:06d} {name:20}{n / 7:10.2f}\n" for n in range(20) for name in ("Ann Lee", "Bob")))
    with pytest.raises(DataError, match=r"a\.txt is most likely fixed-width text, .* Export it as CSV\."):
        draft(tmp_path, file)


def test_padded_numbers_are_not_personal(include_dir: Path, tmp_path: Path) -> None:
    rows: list[list[object]] = [[f"00{n:08d}", f"192.{n}", f"1{n:03d}-12"] for n in range(10_000, 10_100)]
    draft(tmp_path, write_csv(tmp_path / "a.csv", ["part", "release", "shelf"], rows))
    assert [column.classification for column in drafted_contract().columns] == [None] * 4


def test_too_little_memory_is_said(include_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"c{place}" for place in range(120)]
    file = write_csv(tmp_path / "a.csv", names, [[*range(120)]])
    monkeypatch.setenv("WAYBILL_DUCKDB_MEMORY_LIMIT", "40MB")
    with pytest.raises(DataError, match=r"Out of Memory.*: raise WAYBILL_DUCKDB_MEMORY_LIMIT, which is 40MB\."):
        draft(tmp_path, file)


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def events(first: int) -> bytes:
    """Return records without a header: an instant in milliseconds, a word, an amount."""
    lines = [f"{1_793_000_000_000 + n * 61_000}\t{['IN', 'OUT'][n % 2]}\t{n % 7}.25" for n in range(first, first + 80)]
    return "\r\n".join([*lines, ""]).encode("utf-16")


def test_members_without_a_header_are_one_file(include_dir: Path, tmp_path: Path) -> None:
    file = zip_of(tmp_path / "events.zip", {"a.tsv": events(0), "b.tsv": events(100), "__MACOSX/._a.tsv": b"\0\5"})
    table = draft(tmp_path, file)
    form = drafted_contract().file_format
    assert (form.members, form.header_lines, form.delimiter, table.rows) == ("*.tsv", 0, "\t", 160)
    narrow = zip_of(tmp_path / "narrow.zip", {"a.tsv": b"1\t2\n3\t4\n", "b.tsv": b"5\t6\t7\n8\t9\t10\n"})
    with pytest.raises(DataError, match=r"the first record of b\.tsv has 3 fields, that of a\.tsv has 2"):
        draft(tmp_path, narrow)


def test_a_member_that_is_written_differently_is_a_doubt(include_dir: Path, tmp_path: Path) -> None:
    members = {"a.csv": b"id,n\n1,2\n3,4\n", "b.csv": b"id,n\n5,6\n7,8\nTotal,\n"}
    table = draft(tmp_path, zip_of(tmp_path / "a.zip", members))
    assert "the format of b.csv seems to differ from that of a.csv" in unwrapped(table.text)


def test_a_number_without_a_name_may_identify_rows_and_be_an_instant(include_dir: Path, tmp_path: Path) -> None:
    for name, first in (("a.tsv", 0), ("b.tsv", 100)):
        (tmp_path / name).write_bytes(events(first))
    table = draft(tmp_path, tmp_path / "a.tsv", tmp_path / "b.tsv")
    assert drafted_contract().key == ["column_1"]
    checks = [text for name, text in table.doubts if name == "column_1"]
    assert any("{property: dateForms, value: [epoch_milliseconds]}" in text for text in checks)
    assert any("milliseconds since 1970 (years 2026 to 2026)" in text for text in checks)


@pytest.mark.parametrize(
    ("header", "first", "form"),
    [
        ("seen", 1_793_000_000, "epoch_seconds"),
        ("seen", 1_793_000_000_000, "epoch_milliseconds"),
        ("order_id", 1_793_000_000_000, None),
        ("seen", 9_793_000_000, None),
        ("seen", 93_000_000_000, None),
    ],
)
def test_numbers_near_today_may_be_instants(
    include_dir: Path, tmp_path: Path, header: str, first: int, form: str | None
) -> None:
    rows: list[list[object]] = [[f"k{n}", first + n * 61_000] for n in range(150)]
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", ["sku", header], rows))
    found = re.findall(r"dateForms, value: \[(\w+)\]", unwrapped(table.text))
    assert found == ([form] if form else [])
    assert drafted_contract().columns[1].physical_type == "bigint"


def test_a_measure_that_differs_in_every_row_is_said(include_dir: Path, tmp_path: Path) -> None:
    rows: list[list[object]] = [["ab"[n % 2], n * 7] for n in range(200)]
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", ["kind", "pieces"], rows))
    assert drafted_contract().occurrence_column
    assert "columns that differ in every row, but look like measures: pieces" in unwrapped(table.text)


@pytest.mark.parametrize(("days", "is_said"), [(1, False), (28, True)])
def test_a_file_of_several_periods_needs_another_period(
    include_dir: Path, tmp_path: Path, days: int, is_said: bool
) -> None:
    rows: list[list[object]] = [[n, f"2026-11-{1 + n % days:02d}T{n % 24:02d}:15:00Z"] for n in range(168)]
    table = draft(tmp_path, write_csv(tmp_path / "a.csv", ["id", "created_at"], rows))
    text = unwrapped(table.text)
    assert "{property: periodColumn, value: created_at}" in text
    assert ("{property: lookbackPeriods, value: 27}" in text) == is_said


def test_nested_records_are_drafted_by_their_path(include_dir: Path, tmp_path: Path) -> None:
    orders = [
        {
            "id": n,
            "customer": {"city": "Linz"},
            "lines": [{"sku": f"S{n}-{m}", "qty": m, "parts": [{"no": m}]} for m in range(1, 3)],
        }
        for n in range(60)
    ]
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"shop": "alp", "marks": [{"at": "x"}], "orders": orders}))
    table = draft(tmp_path, file, records="orders")
    checks = {name: text for name, text in table.doubts if "--records" in text}
    assert {name: text.rsplit(" ", 1)[1] for name, text in checks.items()} == {
        "lines": "orders.lines.",
        "marks": "marks.",
    }
    table = draft(tmp_path, file, records="orders.lines")
    contract = drafted_contract()
    assert contract.file_format.record_path == ("orders", "lines")
    assert table.rows == 120
    assert contract.names[:2] == ["sku", "qty"]
    assert {"orders_id", "orders_customer_city", "shop"} <= {*contract.names}
    assert "draft a contract with --records orders.lines.parts." in unwrapped(table.text)
    with pytest.raises(DataError, match=r"no array of objects at orders\.rows.*orders, orders\.lines"):
        draft(tmp_path, file, records="orders.rows")
    plain = write_csv(tmp_path / "a.csv", ["a"], [[1]])
    with pytest.raises(DataError, match="--records is for JSON only"):
        draft(tmp_path, plain, records="orders")


@pytest.mark.parametrize("total", ["=SUM(D6:D41)", 5421.07])
@pytest.mark.parametrize("rows", [36, 700])
def test_totals_of_a_workbook_are_drafted_as_a_footer(
    include_dir: Path, tmp_path: Path, total: str | float, rows: int
) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    header = [None, "Cost centre", "Month", "Planned", "Note"]
    for row in ([], [None, "Budget by cost centre"], [None, "(thousand EUR)"], [], header):
        sheet.append(row)
    for n in range(rows):
        sheet.append([None, f"{1000 + n // 12}", date(2026, n % 12 + 1, 1), n + 0.25, "checked" if n % 3 else None])
    closed = f"B5:E{sheet.max_row}"
    sheet.append([None, "Total", None, total])
    file = tmp_path / "budget.xlsx"
    book.save(file)
    table = draft(tmp_path, file)
    contract = drafted_contract()
    assert table.rows == rows
    assert contract.file_format.ignored_lines == (r"^\W*Total\b",)
    assert "check: rows that look like comments or totals are left out" in unwrapped(table.text)
    assert differences(given_files([str(file)]), contract, tmp_path) == []
    sheet.insert_rows(sheet.max_row)
    for column, value in enumerate(["1099", date(2026, 1, 1), 1.5], start=2):
        sheet.cell(sheet.max_row - 1, column, value)
    book.save(file)
    ranged = replace(contract, file_format=replace(contract.file_format, skip_lines=0, cells=closed))
    (told,) = differences(given_files([str(file)]), ranged, tmp_path)
    assert told.startswith("budget.xlsx: 1 row has values below the declared `cells:")


@pytest.mark.parametrize("header", ['Order No,"Day,Name', "Order No,,Day,Name"])
def test_columns_that_are_read_in_order_have_the_names_of_a_damaged_header(
    include_dir: Path, tmp_path: Path, header: str
) -> None:
    path = tmp_path / "damaged.csv"
    path.write_text(f"{header}\n" + "".join(f'A-{row},2026-11-0{row},"Ann"\n' for row in range(1, 8)))
    draft(tmp_path, path)
    contract = drafted_contract()
    assert contract.names == ["order_no", "day", "name", "landed_on"]
    assert [column.business_name for column in contract.delivered_columns] == ["Order No", "Day", "Name"]
    assert (contract.file_format.header_lines, contract.key) == (0, ["order_no"])
