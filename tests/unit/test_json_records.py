"""JSON files are cut into records as Python's own reader of whole texts cuts them, wherever the chunks end."""

from __future__ import annotations

import codecs
import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from waybill.errors import DataError
from waybill.files.json_members import MemberNames
from waybill.files.json_records import is_json, read_records, write_lines
from waybill.files.records import Record
from waybill.files.spellings import normalise

COLUMNS = ["a", "b"]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text(max_size=5))
# Names that differ from a column's only in case or blanks are that column.
NAMES = st.text(max_size=2).filter(lambda name: name in COLUMNS or normalise(name) not in COLUMNS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2))
CHUNK = st.integers(1, 40)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "c", "é"]), VALUES, max_size=4)


def chunks_of(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def names(columns: list[str] = COLUMNS) -> MemberNames:
    return MemberNames({column: column for column in columns})


def records(body: bytes, folder: Path, size: int = 2**20) -> list[Record]:
    """Write the records of a body as lines, and return them as read back."""
    written = write_lines("file", chunks_of(body, size), folder / "body.jsonl", names(["a", "b", "c", "é"]))
    found = list(read_records(written, COLUMNS, names()))
    assert len(found) == written.rows
    return found


@pytest.mark.parametrize(
    ("last", "is_unfinished"),
    [('{"a": 1, "A": 2}', False), ("[1]", False), ('{"a": 1', True), ('{"a": {"b": 1}', True)],
)
def test_a_whole_document_is_not_unfinished(last: str, is_unfinished: bool, tmp_path: Path) -> None:
    *_, found = records(f'{{"a": 1}}\n{last}'.encode(), tmp_path)
    assert (found.reasons, found.is_unfinished) == (["json"], is_unfinished)


def as_text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value)


@given(
    st.lists(st.one_of(OBJECTS, VALUES), max_size=5),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.integers(1, 40),
)
@example([12, 345], None, True, 1)
@settings(max_examples=200)
def test_an_arrays_elements_are_its_records(values: list[Any], indent: Any, is_ascii: bool, size: int) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=is_ascii).encode(errors="surrogatepass")
    with tempfile.TemporaryDirectory() as folder:
        found = records(b" \r\n" + text + b"\n", Path(folder), size)
    expected = [[as_text(value.get(name)) for name in COLUMNS] if isinstance(value, dict) else [] for value in values]
    for record, fields in zip(found, expected, strict=True):
        if record.reasons in (["nul"], ["encoding"]):
            assert any("\0" in (field or "") for field in fields)
        else:
            assert (record.fields, record.reasons) == (fields, [] if fields else ["json"])


@given(st.lists(OBJECTS, min_size=1, max_size=5), st.sampled_from(["\n", "\r\n", "\n\n \t\n"]), st.integers(1, 40))
@settings(max_examples=100)
def test_lines_are_records(values: list[dict[str, Any]], line_end: str, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = records(codecs.BOM_UTF8 + line_end.join(map(json.dumps, values)).encode(), Path(folder), size)
    for record, value in zip(found, values, strict=True):
        fields = [as_text(value.get(name)) for name in COLUMNS]
        assert record.reasons == (["nul"] if any("\0" in (field or "") for field in fields) else [])
        assert record.reasons or record.fields == fields


@pytest.mark.parametrize("number", ["1.10", "-0", "1e2", "1E+2", "0.00000012", "12345678901234567.89", "9" * 5000])
@pytest.mark.parametrize("form", ['[{{"a": {}, "b": [{}, "x"]}}]', '{{"a": {}, "b": [{}, "x"]}}'])
def test_a_number_keeps_its_text(form: str, number: str, tmp_path: Path) -> None:
    [record] = records(form.format(number, number).encode(), tmp_path)
    assert record.fields == [number, f'[{number}, "x"]']


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the file is empty, without even an empty array. Send it again"),
        (b" \n\r\n", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"[", "element 1 of the array is not valid JSON: Expecting value"),
        (b'[{"a": 1}', "element 2 of the array is not valid JSON: expected a comma or the end of the array"),
        (b'[{"a": 1}, ', "element 2 of the array is not valid JSON: Expecting value"),
        (b'[{"a": 1},]', "element 2 of the array is not valid JSON: Expecting value"),
        (b'[{"a": 1} {"a": 2}]', "element 2 of the array is not valid JSON: expected a comma"),
        (b'[{"a": 1}]\n[{"a": 2}]', "text follows the end of the array"),
        (b'[{"a": 1}, {"a": 2]', "element 2 of the array is not valid JSON: Expecting ',' delimiter"),
        (b'[{"a": NaN}]', "element 1 of the array is not valid JSON: NaN is not JSON"),
        (b"[{'a': 1}]", "element 1 of the array is not valid JSON: Expecting property name"),
        (b'[{"a": "x\0"}]', "element 1 of the array is not valid JSON: Invalid control character"),
        (b'[{"a": "\xff"}]', "element 1 of the array is not valid JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 200_000, "element 1 of the array is not valid JSON: values are nested too deeply"),
        (
            b'[{"a": "' + b"x" * 6 * 2**20,
            "element 1 of the array is too long: a value is longer than 4194304 bytes. No",
        ),
        (b'[1, {"a": [' + b"true," * 2**20, "element 2 of the array is too long: a value is longer than 4194304"),
        (
            b'[{"a": "' + b"\\u00e9" * 2**20,
            "is too long: a value is longer than 4194304 bytes. Nothing was loaded. Send",
        ),
        (b"[" + b"9" * 6 * 2**20, "element 1 of the array is too long: a value is longer than 4194304 bytes"),
        (b'[{"a": x, "b": "' + b"x" * 6 * 2**20, "element 1 of the array is not valid JSON: Expecting value. Nothing"),
        (b"x" * 6 * 2**20, "record 1 is longer than 4194304 bytes. Send it in parts"),
        (b'{"a": 1}\n' + b"x" * 6 * 2**20, "record 2 is longer than"),
    ],
)
@pytest.mark.parametrize("size", [3, 2**20])
def test_what_cannot_be_read_is_rejected_with_its_place(body: bytes, message: str, size: int, tmp_path: Path) -> None:
    if size == 3 and len(body) > 2**20:
        size = 2**18
    with pytest.raises(DataError) as caught:
        write_lines("s3://bucket/file.json", chunks_of(body, size), tmp_path / "body", names())
    assert str(caught.value).startswith("s3://bucket/file.json: ")
    assert message in str(caught.value)


@given(
    st.lists(OBJECTS, min_size=1, max_size=5), st.sampled_from([1, "\t", 0]), st.sampled_from(["", "\n", " "]), CHUNK
)
@settings(max_examples=100)
def test_objects_that_are_not_one_a_line_are_records(
    values: list[dict[str, Any]], indent: Any, between: str, size: int
) -> None:
    values[0] = {"a": 1, **values[0]}  # after an empty object on a line of its own, lines are records
    text = between.join(json.dumps(value, indent=indent) for value in values)
    with tempfile.TemporaryDirectory() as folder:
        found = records(text.encode(), Path(folder), size)
    for record, value in zip(found, values, strict=True):
        fields = [as_text(value.get(name)) for name in COLUMNS]
        assert record.reasons == (["nul"] if any("\0" in (field or "") for field in fields) else [])
        assert record.reasons or record.fields == fields


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            b'{"a": 1}{"a": 2}{"a": 3',
            "object 3 is not valid JSON: Expecting ',' delimiter. The file ends there and may",
        ),
        (b'{"a": 1}{"a": 2} x', "object 3 is not valid JSON: expected another object or the end"),
        (b'{\n "a": 1\n}\n{\n "a": NaN\n}', "object 2 is not valid JSON: NaN is not JSON. Nothing was loaded"),
        (b'{\n "a": 1,\n', "object 1 is not valid JSON: Expecting property name"),
        (
            b'[{"a": 1}, {"a": "x',
            "element 2 of the array is not valid JSON: Unterminated string. The file ends there and may",
        ),
        (b'[{"a": 1}, {"a": x}]', "element 2 of the array is not valid JSON: Expecting value. Nothing was loaded"),
    ],
)
@pytest.mark.parametrize("size", [3, 2**20])
def test_objects_that_are_no_json_are_rejected_with_their_place(
    body: bytes, message: str, size: int, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        write_lines("file", chunks_of(body, size), tmp_path / "body", names())
    assert message in str(caught.value)


def test_an_element_that_is_cut_off_anywhere_may_be_truncated(tmp_path: Path) -> None:
    element = b'{"a": [true, false, null, -1.5e+3, "x\\ud83d\\ude00\\n"]}'
    json.loads(element)
    for length in range(1, len(element)):
        with pytest.raises(DataError, match=r"element 1 of the array is not valid JSON: .* The file ends there"):
            write_lines("file", iter([b"[" + element[:length]]), tmp_path / "body", names())


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("size", [3, 2**20])
def test_records_within_an_object_are_rejected_with_its_name(indent: int | None, size: int, tmp_path: Path) -> None:
    body = json.dumps({"count": 1, "none": [], "orders": [{"a": 1}]}, indent=indent).encode()
    with pytest.raises(
        DataError, match=r"^file: the records are nested under `orders` of an object\. Declare `recordPath"
    ):
        write_lines("file", chunks_of(body, size), tmp_path / "body", names())
    with_column = json.dumps({"a": 1, "lines": [{"x": 1}]}, indent=indent).encode()
    assert write_lines("file", chunks_of(with_column, size), tmp_path / "body", names()).rows == 1


@pytest.mark.parametrize("is_array", [True, False])
def test_memory_does_not_grow_with_the_file(is_array: bool, tmp_path: Path) -> None:
    element = b'{"a": "' + b"x" * 50_000 + b'", "b": 1}'

    def chunks() -> Iterator[bytes]:
        yield b"[" if is_array else b""
        for number in range(1000):  # 50 MB
            yield (b"," if is_array and number else b"") + element + b"\n"
        yield b"]" if is_array else b""

    tracemalloc.start()
    written = write_lines("file", filter(None, chunks()), tmp_path / "body", names())
    read = sum(1 for record in read_records(written, COLUMNS, names()) if not record.reasons)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (written.rows, read) == (1000, 1000)
    assert peak < 5 * 2**20


def test_json_is_recognised_by_the_file_name() -> None:
    assert all(map(is_json, ["a.json", "x/a.jsonl", "a.ndjson", "a.json.gz", "a.jsonl.gz", "A.JSON", "A.Json.GZ"]))
    assert not any(map(is_json, ["a.csv", "json", "a.json.csv", "a.csv.gz", "a.gz", "ajson"]))
