"""Records nested in JSON documents are those that a flattening of the whole documents with Python's json finds."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from waybill.contracts.member_paths import is_path, join_path, split_path
from waybill.errors import DataError
from waybill.files.json_members import MemberNames
from waybill.files.json_records import read_records, write_lines
from waybill.files.recognise_json import likely_record_path
from waybill.files.records import Record
from waybill.files.spellings import normalise

COLUMNS = ["id", "note", "meta", "meta.city", "rows.id", "rows.meta.city", "rows.parts.id", "batch"]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text('aé"\\\n\t😀', max_size=4))
NAMES = ["id", "note", "batch", "other", "more", "a.b"]
PATHS = [("rows",), ("rows", "parts"), ("rows", "parts", "x.y")]
LAYOUTS = ["array", "pretty array", "lines", "lines with blanks", "together", "pretty"]


def names(columns: Sequence[str] = COLUMNS) -> MemberNames:
    return MemberNames({normalise(column): column for column in columns})


def written(body: bytes, path: Sequence[str], folder: Path, size: int = 2**20, **options: Any) -> list[Record]:
    """Write the records at a path as lines, and return them as read back."""
    chunks = (body[start : start + size] for start in range(0, len(body), size))
    columns = options.pop("columns", COLUMNS)
    found = write_lines("file", chunks, folder / "body.jsonl", names(columns), path, **options)
    read = list(read_records(found, columns, names(columns)))
    assert len(read) == found.rows
    return read


@st.composite
def objects(draw: st.DrawFn, step: str | None, inner: st.SearchStrategy[Any] | None) -> dict[str, Any]:
    """Draw an object whose members, in any order, include a step of the path."""
    found: dict[str, Any] = draw(st.dictionaries(st.sampled_from(NAMES), SCALARS | st.lists(SCALARS, max_size=2)))
    if draw(st.booleans()):
        found["meta"] = draw(st.dictionaries(st.sampled_from(["city", "zip"]), SCALARS, max_size=2) | SCALARS)
    if step is not None and inner is not None and draw(st.integers(0, 4)):
        found[step] = draw(inner)
    return dict(draw(st.permutations([*found.items()])))


def documents(path: Sequence[str]) -> st.SearchStrategy[Any]:
    if not path:
        return objects(None, None)
    below = documents(path[1:])
    inner = st.lists(below | SCALARS if len(path) < 3 else below, max_size=3) | below | SCALARS
    return objects(path[0], inner)


def paths_of(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each member of an object, and of the objects in it."""
    for name, inner in value.items():
        yield prefix + name, inner
        if isinstance(inner, dict):
            yield from paths_of(inner, f"{prefix}{name}.")


def flattened(value: Any, path: Sequence[str], steps: Sequence[str] = (), around: Any = None) -> Iterator[Any]:
    """Yield a dictionary of paths and values for each record, or the reason to reject it."""
    around = around or {}
    if not isinstance(value, dict):
        yield "json"
    elif len(steps) == len(path):
        yield around | dict(paths_of(value))
    else:
        step = path[len(steps)]
        beside = {name: inner for name, inner in value.items() if name != step}
        around = around | dict(paths_of(beside, "".join(f"{name}." for name in steps)))
        inner = value.get(step, "absent")
        if inner is not None and not isinstance(inner, dict | list):
            yield "record_path"
        for one in inner if isinstance(inner, list) else [inner] if isinstance(inner, dict) else []:
            yield from flattened(one, path, (*steps, step), around)


def as_text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value)


def body_of(values: Sequence[Any], layout: str, *, is_ascii: bool) -> bytes:
    indent = 1 if "pretty" in layout else None
    if "array" in layout:
        return json.dumps(values, indent=indent, ensure_ascii=is_ascii).encode()
    between = {"lines": "\n", "lines with blanks": " \r\n\n\t\n"}.get(layout, "")
    return between.join(json.dumps(value, indent=indent, ensure_ascii=is_ascii) for value in values).encode()


@given(
    st.sampled_from(PATHS).flatmap(
        lambda path: st.tuples(st.just(path), st.lists(documents(path), min_size=1, max_size=4))
    ),
    st.sampled_from(LAYOUTS),
    st.booleans(),
    st.integers(1, 60),
)
@example((("rows",), [{"rows": [{"id": 1}], "batch": 7}]), "lines", True, 3)
@example((PATHS[1], [{"batch": 1, "rows": [{}]}, {"batch": 2, "rows": [{"parts": [{"id": 5}]}]}]), "lines", True, 9)
@settings(max_examples=300)
def test_rows_are_those_of_a_flattening(
    path_and_documents: tuple[Sequence[str], list[Any]], layout: str, is_ascii: bool, size: int
) -> None:
    path, values = path_and_documents
    expected = [row for value in values for row in flattened(value, path)]
    body = body_of(values, layout, is_ascii=is_ascii)
    with tempfile.TemporaryDirectory() as folder:
        if expected and set(map(str, expected)) == {"record_path"}:
            with pytest.raises(DataError, match="the file has no records at the recordPath `"):
                written(body, path, Path(folder), size)
            return
        found = written(body, path, Path(folder), size)
    assert len(found) == len(expected)
    for record, row in zip(found, expected, strict=True):
        if isinstance(row, str):
            assert record.reasons == [row]
        else:
            assert record.reasons == []
            assert record.fields == [as_text(row.get(column)) for column in COLUMNS]


ROWS = b'{"batch": 7, "rows": [{"id": 1}, {"id": 2}]}'
BAD_LINES: list[tuple[bytes, str, str | None]] = [
    (b'{"batch": 8}', "record_path", None),
    (b'{"batch": 8, "rows": "none"}', "record_path", None),
    (b'{"rows": 0, "batch": 8}', "record_path", None),
    (b"5", "json", None),
    (b'[{"rows": [{"id": 3}]}]', "json", None),
    (b'{"rows": [{"id": 3}, {"id": 4]}', "json", None),
    (b'{"rows": [{"id": 3}], "rows": [{"id": 4}]}', "json", None),
    (b'{"rows": 3, "rows": [{"id": 4}]}', "json", None),
    (b'{"rows": [{"id": 3}]} {"rows": []}', "json", None),
    (b'{"rows": [{"id": 3}], "x": NaN}', "json", None),
    (b'{"rows": [{"id": 3},]}', "json", None),
    (b'{"rows": [{"id": 3}],}', "json", None),
    (b'{"rows": nul}', "json", None),
    (b'{"rows": [{"id": "\xff"}]}', "encoding", '{"rows": [{"id": "\\xff"}]}'),
    (b'{"rows": [{"id": "\0"}]}', "nul", None),
    (b'{"rows": [' + b"[" * 100_000, "json", None),
    (b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json", None),
    (b'{"rows": [7]}', "json", "7"),
    (b'{"rows": [[{"id": 3}]]}', "json", '[{"id": 3}]'),
    (b'{"rows": {"id": 3, "ID": 3}}', "json", '{"id": 3, "ID": 3}'),
    (b'{"rows": {"id": "\\ud800"}}', "encoding", '{"id": "\\ud800"}'),
    (b'{"rows": {"id": 3}, "note": "\\u0000"}', "nul", '{"id": 3}'),
    (b'{"note": 1, "rows": {"id": 3}, "NOTE": 2}', "json", '{"id": 3}'),
]


@pytest.mark.parametrize(("body", "reason", "raw"), BAD_LINES)
def test_a_bad_line_is_one_rejected_record(body: bytes, reason: str, raw: str | None, tmp_path: Path) -> None:
    first, second, bad, *others = written(b"\n".join([ROWS, body, ROWS]), ["rows"], tmp_path)
    assert (bad.reasons, bad.text) == ([reason], body.decode() if raw is None else raw)
    good = [(record.fields[0], record.fields[-1]) for record in (first, second, *others)]
    assert good == [("1", "7"), ("2", "7")] * 2


@pytest.mark.parametrize("layout", ["array", "pretty array", "pretty", "together"])
def test_objects_without_the_path_are_records_of_every_layout(layout: str, tmp_path: Path) -> None:
    values = [{"rows": [{"id": 1}, 5]}, {"batch": 8}, {"rows": None}, {"rows": []}, {"batch": 9, "rows": {"id": 2}}]
    found = written(body_of(values, layout, is_ascii=True), ["rows"], tmp_path)
    assert [(record.reasons, json.loads(record.text)) for record in found] == [
        ([], {"id": 1}),
        (["json"], 5),
        (["record_path"], {"batch": 8}),
        ([], {"id": 2}),
    ]
    assert (found[0].fields[-1], found[3].fields[-1]) == (None, "9")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            b'{"rows": [{"id": 1}, {"id": ',
            "object 1 is not valid JSON: Expecting value. The file ends there and may be",
        ),
        (b'{"rows": [{"id": 1}, ', "object 1 is not valid JSON: Expecting value. The file ends there and may be"),
        (b'{"rows": [{"id": 1}', "object 1 is not valid JSON: expected a comma or the end of the array. The file ends"),
        (
            b'{"rows": [{"id": 1}]',
            "object 1 is not valid JSON: expected a comma or the end of the object. The file ends",
        ),
        (b'{"batch": 1,\n "rows": [{"id": 1}', "object 1 is not valid JSON: expected a comma"),
        (
            b'[{"rows": [{"id": 1}]}, {"rows": [x]}]',
            "element 2 of the array is not valid JSON: Expecting value. Nothing",
        ),
        (
            b'{"rows": [{"id": 1}]}{"rows": [], "rows": []}',
            "object 2 is not valid JSON: an object has the member 'rows'",
        ),
        (b'{"rows" [{"id": 1}]}{}', "object 1 is not valid JSON: Expecting ':' delimiter"),
        (b"{'rows': []}{}", "object 1 is not valid JSON: Expecting property name"),
        (b'{"rows": [' + b"[" * 100_000, "object 1 is not valid JSON: values are nested too deeply"),
        (b'{"rows": [{"id": "\xff"}]}{}', "object 1 is not valid JSON: 'utf-8' codec can't decode"),
        (
            b'[{"data": [{"id": 1}]}, {"data": []}]',
            "no records at the recordPath `rows`: there is no object or array at",
        ),
        (b'{"id": 1}\n{"id": 2}\n', "there is no object or array at `rows`. Correct the recordPath"),
    ],
)
@pytest.mark.parametrize("size", [3, 2**20])
def test_a_file_is_rejected_with_the_place(body: bytes, message: str, size: int, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        written(body, ["rows"], tmp_path, size if len(body) < 1000 else 2**18)
    assert str(caught.value).startswith("file: ")
    assert message in str(caught.value)


def test_the_likely_path_and_the_first_missing_member_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"object or array at `rows`\. Records may be at `data`\. Correct the"):
        written(b'[{"data": [{"id": 1}]}, {"data": []}]', ["rows"], tmp_path)
    with pytest.raises(DataError, match=r"recordPath `rows\.parts`: there is no object or array at `rows\.parts`"):
        written(b'{"rows": [{"id": 1}, {"parts": 5}]}', ["rows", "parts"], tmp_path)


@pytest.mark.parametrize("form", ["%s", "[%s]"])
def test_memory_does_not_grow_with_a_wrapped_file(form: str, tmp_path: Path) -> None:
    row = b'{"id": 1, "parts": [{"id": 2, "note": "' + b"x" * 20_000 + b'"}]}'
    start, end = form.encode().split(b"%s")

    def chunks() -> Iterator[bytes]:
        yield start + b'{"skipped": ['
        for number in range(1000):  # 20 MB beside the path
            yield b", " * (number > 0) + row
        yield b'], "rows": ['
        for number in range(2500):  # 50 MB
            yield b", " * (number > 0) + row
        yield b'], "batch": 7}' + end

    tracemalloc.start()
    found = names()
    body = write_lines("file", chunks(), tmp_path / "body", found, ["rows", "parts"])
    read = [record.fields[-1] for record in read_records(body, COLUMNS, names()) if not record.reasons]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (body.rows, read) == (2500, ["7"] * 2500)
    assert found.unknown == {"skipped"}
    assert peak < 40 * 2**20


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ('"batch": [%s]', "`batch` is longer than 4194304 bytes and may be needed for a column"),
        ('"meta": {"zip": [%s]}', "`meta` is longer than 4194304 bytes and may be needed for a column"),
        ('"long": "%s"', "a value is longer than 4194304 bytes"),
        (
            '"rows": [{"id": [%s]}]',
            "object 1 is too long: a value is longer than 4194304 bytes. Nothing was loaded. Send",
        ),
    ],
)
def test_a_long_value_is_not_lost(member: str, message: str, tmp_path: Path) -> None:
    long = ("1" * 1000 + ("" if '"%s"' in member else ", ")) * 6000 + "1"
    body = ("{" + member % long + ', "rows": [{"id": 1}]}').encode()
    with pytest.raises(DataError) as caught:
        written(body, ["rows"], tmp_path)
    assert message in str(caught.value)


def test_members_of_a_long_document_follow_its_first_line(tmp_path: Path) -> None:
    body = b'{ "batch": 7,\n  "rows": [\n' + b",\n".join([b'{"id": 1, "note": "%s"}' % (b"x" * 500)] * 13_000) + b"]}"
    assert len(body) > 6 * 2**20
    assert {(record.fields[0], record.fields[-1]) for record in written(body, ["rows"], tmp_path)} == {("1", "7")}


@pytest.mark.parametrize(
    ("value", "fields", "unknown"),
    [
        ({"address": {"city": "Leeds", "zip": 1}}, ["Leeds", '{"city": "Leeds", "zip": 1}', None], set()),
        ({"address_city": "Leeds"}, ["Leeds", None, None], set()),
        ({"Address": {"City": None}}, [None, '{"City": null}', None], set()),
        ({"address.city": "Leeds"}, ["Leeds", None, None], set()),
        ({"address": {"city": {"name": "Leeds"}}}, ['{"name": "Leeds"}', '{"city": {"name": "Leeds"}}', None], set()),
        ({"address": [1, "x"]}, [None, '[1, "x"]', None], set()),
        ({"shop": {"opened": {"on": 1.50, "at": 2}}}, [None, None, "1.5"], {"shop.opened.at"}),
        ({"shop": {"openedOn": 3}}, [None, None, "3"], set()),
        ({"shop": {}, "x": {"y.z": {"a": 1}, "b": []}}, [None] * 3, {"shop", "x.y.z.a", "x.b"}),
        ({"address_city": "York", "address": {"city": "Leeds"}}, ["York", '{"city": "Leeds"}', None], set()),
        ({"shop": {"opened": {"on": 2}}, "shop_opened_on": 1}, [None, None, "1"], {"shop.opened.on"}),
        ({"shop": {"opened_on": 1, "opened": {"on": 2}}}, [None, None, "1"], {"shop.opened.on"}),
        ({"shop": {"opened.on": 1, "opened": {"on": 2}}}, None, set()),
        ({"address.city": "York", "address": {"city": "Leeds"}}, None, set()),
        ({"address": {"city": "Leeds"}, "address.city": "Leeds"}, None, set()),
        ({"address": {"city": "York", "City": "Leeds"}}, None, set()),
        ({"shop": {"opened": {"on": 2}}, "Shop": {"opened": {"on": 2}}}, None, set()),
    ],
)
def test_members_are_columns_by_their_path(
    value: Any, fields: list[str | None] | None, unknown: set[str], tmp_path: Path
) -> None:
    found = names(["address.city", "address", "shop.opened.on"])
    body = write_lines("file", iter([b'{"address": 1}\n' + json.dumps(value).encode()]), tmp_path / "body", found)
    _, record = read_records(body, ["address.city", "address", "shop.opened.on"], found)
    assert (record.fields, record.reasons) == (([], ["json"]) if fields is None else (fields, []))
    assert fields is None or found.unknown == unknown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"batch": 1, "rows": [{"batch": 2}, {"batch": None}, {}]}, ["2", None, "1"]),
        ({"rows": [{"id": 1, "parts": [{"rows.id": 2}, {"rows": {"id": 3}}, {}]}]}, ["2", "3", "1"]),
        ({"rows_id": 5, "rows": [{"id": 1, "parts": [{}]}]}, ["5"]),
        ({"rows.id": 5, "rows": [{"id": 1, "parts": [{}]}]}, ["json"]),
    ],
)
def test_the_members_of_a_record_come_first(value: Any, expected: list[str | None], tmp_path: Path) -> None:
    is_deep = '"parts"' in json.dumps(value)
    path, column = (["rows", "parts"], "rows.id") if is_deep else (["rows"], "batch")
    found = written(json.dumps(value).encode(), path, tmp_path, columns=[column])
    assert [record.reasons[0] if record.reasons else record.fields[0] for record in found] == expected


def test_names_that_are_data_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = (b'{"id": %d, "by": {"n%d": {"x%d": 1}}}\n' % (number, number, number) for number in range(30_000))
    found = names(["id"])
    body = write_lines("file", lines, tmp_path / "body", found)
    tracemalloc.start()
    assert (
        sum(record.fields == [str(number)] for number, record in enumerate(read_records(body, ["id"], found))) == 30_000
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.unknown) == 100
    assert peak < 30 * 2**20


@pytest.mark.parametrize("path", [(), ("rows",)])
def test_a_declared_layout_is_read_or_refused(path: Sequence[str], tmp_path: Path) -> None:
    rows = [{"rows": [{"id": 1}]}, {"rows": [{"id": 2}]}] if path else [{"id": 1}, {"id": 2}]
    for layout, delimiter in (("lines", "new_line"), ("array", "array"), ("pretty array", "array")):
        body = body_of(rows, layout, is_ascii=True)
        found = written(body, path, tmp_path, layout=delimiter)
        assert [record.fields[0] for record in found] == ["1", "2"]
    with pytest.raises(DataError, match="declares `delimiter: array`, but the file does not begin with `\\["):
        written(body_of(rows, "lines", is_ascii=True), path, tmp_path, layout="array")
    for layout in ("array", "together"):
        found = written(body_of(rows, layout, is_ascii=True), path, tmp_path, layout="new_line")
        assert [record.reasons for record in found] == [["json"]]


@pytest.mark.parametrize(
    ("value", "columns", "expected"),
    [
        ({"count": 1, "none": [], "rows": [{"x": 1}]}, ["id"], "rows"),
        ({"errors": [{"code": 1}], "rows": [{"id": 1}]}, ["id"], "rows"),
        ({"data": {"page": 1, "x.y": [{"a": 1}]}}, ["id"], 'data."x.y"'),
        ({"rows": [{"id": 1, "parts": [{"part": 1}, {"part": 2}]}]}, ["x"], "rows"),
        ({"rows": [{"id": 1, "parts": [{"part": 1}, {"part": 2}]}]}, ["rows.id", "part"], "rows.parts"),
        ({"id": 1, "tags": [{"x": 1}]}, ["id"], None),
        ({"id": 1, "tags": [{"id": 1}]}, ["id"], None),
        ({"id": 1}, ["x"], None),
        ([{"id": 1}], ["x"], None),
        ([{"rows": [{"id": 1}]}], ["id"], "rows"),
        (5, ["x"], None),
    ],
)
def test_the_likely_path_is_found_in_the_beginning_of_a_file(
    value: Any, columns: list[str], expected: str | None
) -> None:
    text = json.dumps(value)
    end = text.rindex("}]") if expected else len(text)
    for beginning in (text, f"{text}\n{text}", "\n" + text[:end]):
        assert likely_record_path(beginning, names(columns).column) == expected


@given(st.text('{}[]",:1a\\ ', max_size=40))
@settings(max_examples=300)
def test_any_text_gives_a_path_or_none(text: str) -> None:
    found = likely_record_path(text, names(["1"]).column)
    assert found is None or is_path(found)


@given(st.lists(st.text('ab".', max_size=4), min_size=1, max_size=4))
def test_a_path_is_split_into_the_names_that_were_joined(steps: list[str]) -> None:
    assert is_path(join_path(steps))
    assert split_path(join_path(steps)) == tuple(steps)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", 'a"b', '"a', '"a"b', 5, None])
def test_other_texts_are_no_paths(text: object) -> None:
    assert not is_path(text)
