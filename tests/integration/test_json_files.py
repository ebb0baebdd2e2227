"""JSON files load the same rows as CSV files, account for every record, and messages name the next step."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection

from support.landing import total
from support.messaging_months import RUN
from support.shop_landing import SHOP, Shop
from waybill.contracts.file_format import FileFormat
from waybill.errors import DataError
from waybill.files.spellings import knows_more
from waybill.intake.dry_run import try_contract
from waybill.intake.ledger import Books
from waybill.intake.replay import replay

DAY = "2026-03-02"
REVIEWS = [
    {
        "review_id": n,
        "product_id": 1,
        "customer_id": n % 7 + 1,
        "rating": n % 5 + 1,
        "review_text": f'»Nr. {n}«\n"so, so" \\ 😀' if n % 3 else None,
        "review_date": "2026-03-02",
    }
    for n in range(1, 41)
]
BAD_RECORD = 21


def lines(rows: Sequence[Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.fixture
def shop(empty_connection: Connection) -> Shop:
    return Shop(empty_connection)


def loaded(shop: Shop, body: bytes, name: str = "a.json", dataset: str = "reviews") -> Books:
    books = shop.load(dataset, DAY, body, name)
    assert books is not None
    assert books.rows_in == total(books)
    return books


def rejects(shop: Shop) -> dict[int, list[str]]:
    return dict(shop.all("select record, reasons from waybill.quarantine where resolved_as is null order by record"))


def respelled(row: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-").upper(): value for name, value in row.items()} | {"remark": {"any": ["thing"]}}


TEXT = lines(REVIEWS).decode()
ACCEPTED: dict[str, tuple[str, bytes]] = {
    "lines": ("a.jsonl", lines(REVIEWS)),
    "array": ("a.json", json.dumps(REVIEWS).encode()),
    "array over several lines": ("a.json", json.dumps(REVIEWS, indent=2).encode()),
    "array, BOM, CRLF": ("a.json", codecs.BOM_UTF8 + json.dumps(REVIEWS, indent=2).replace("\n", "\r\n").encode()),
    "BOM": ("a.ndjson", codecs.BOM_UTF8 + lines(REVIEWS)),
    "CRLF": ("a.ndjson", lines(REVIEWS).replace(b"\n", b"\r\n")),
    "blank lines": ("a.jsonl", b"\n \r\n" + lines(REVIEWS).replace(b"}\n", b"}\n\n\t\r\n")),
    "no line end at the end": ("a.jsonl", lines(REVIEWS).rstrip()),
    "UTF-8": ("a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in REVIEWS).encode()),
    "gzip": ("a.jsonl.gz", gzip.compress(lines(REVIEWS))),
    "gzip of an array under a plain name": ("a.json", gzip.compress(json.dumps(REVIEWS).encode())),
    "everything text": ("a.jsonl", lines([{k: v and str(v) for k, v in row.items()} for row in REVIEWS])),
    "blanks around values": ("a.jsonl", lines([{k: v and f" {v} " for k, v in row.items()} for row in REVIEWS])),
    "other spellings, more fields, other order": (
        "a.json",
        json.dumps([dict(reversed(respelled(row).items())) for row in REVIEWS]).encode(),
    ),
    "what is absent is left out": (
        "a.jsonl",
        lines([{k: v for k, v in row.items() if v is not None} for row in REVIEWS]),
    ),
    "what is absent is empty": ("a.jsonl", lines([{k: v or "" for k, v in row.items()} for row in REVIEWS])),
}


@pytest.mark.parametrize(("name", "body"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_every_form_of_a_file_gives_the_same_table(name: str, body: bytes, shop: Shop) -> None:
    books = loaded(shop, body, name)
    assert (books.rows_in, books.inserted, rejects(shop)) == (40, 40, {})
    found = shop.all(
        "select review_id, product_id, customer_id, rating, review_text, review_date::text "
        "from shop.reviews order by review_id"
    )
    assert [dict(zip(REVIEWS[0], row, strict=True)) for row in found] == REVIEWS
    assert shop.all("select _record from shop.reviews order by review_id") == [(n,) for n in range(1, 41)]


GOOD = json.dumps(REVIEWS[BAD_RECORD - 1]).encode()
BAD: dict[str, tuple[bytes, list[str]]] = {
    "cut off": (GOOD[:-5], ["json"]),
    "a comma too much": (GOOD[:-1] + b",}", ["json"]),
    "single quotes": (b"{'review_id': 21}", ["json"]),
    "two objects": (GOOD + GOOD, ["json"]),
    "a carriage return between": (GOOD + b"\r" + GOOD, ["json"]),
    "a comment": (GOOD + b" // fine", ["json"]),
    "not a number": (GOOD.replace(b'"review_id": 21', b'"review_id": NaN'), ["json"]),
    "a number like none": (GOOD.replace(b'"review_id": 21', b'"review_id": 021'), ["json"]),
    "an array": (b"[" + GOOD + b"]", ["json"]),
    "a number": (b"21", ["json"]),
    "a text": (b'"review"', ["json"]),
    "null": (b"null", ["json"]),
    "CSV": (b"21,1,1,5,fine,2026-03-02", ["json"]),
    "a field twice": (GOOD[:-1] + b', "rating": 2}', ["json"]),
    "a field under two spellings": (GOOD[:-1] + b', "RATING": 2}', ["json"]),
    "nested deeply": (b'{"review_text": ' + b"[" * 100_000, ["json"]),
    "nested deeply and closed": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ["json"]),
    "invalid UTF-8": (GOOD.replace(b"2026", b"20\xff26"), ["encoding"]),
    "a field again, spelt with blanks": (GOOD[:-1] + b', "Review Text ": "\\ud800"}', ["json"]),
    "half a surrogate": (b'{"review_id": 21, "review_text": "\\ud800"}', ["encoding"]),
    "NUL": (GOOD.replace(b"2026", b"20\x0026"), ["nul"]),
    "an escaped NUL": (b'{"review_id": 21, "review_text": "\\u0000"}', ["nul"]),
    "an object in a number": (GOOD.replace(b'"rating": 2', b'"rating": {"stars": 2}'), ["type:rating"]),
    "an array in a date": (GOOD.replace(b'"2026-03-02"', b'["2026-03-02"]'), ["type:review_date"]),
    "true": (GOOD.replace(b'"rating": 2', b'"rating": true'), ["type:rating"]),
    "a fraction": (GOOD.replace(b'"rating": 2', b'"rating": 2.0'), ["type:rating"]),
    "an exponent": (GOOD.replace(b'"rating": 2', b'"rating": 2e0'), ["type:rating"]),
    "too large": (GOOD.replace(b'"rating": 2', b'"rating": 99999999999999999999'), ["type:rating"]),
    "null where a value must be": (GOOD.replace(b'"rating": 2', b'"rating": null'), ["required:rating"]),
    "empty where a value must be": (GOOD.replace(b'"rating": 2', b'"rating": ""'), ["required:rating"]),
    "no value where one must be": (GOOD.replace(b'"rating": 2, ', b""), ["required:rating"]),
    "no field at all": (b"{}", [f"required:{c.name}" for c in SHOP["reviews"].columns if c.required]),
    "a megabyte": (
        json.dumps(REVIEWS[BAD_RECORD - 1] | {"review_text": "x" * 2**20}).encode(),
        ["length:review_text"],
    ),
}


@pytest.mark.parametrize("bad_and_reasons", BAD.values(), ids=BAD.keys())
def test_a_bad_line_is_rejected_alone(bad_and_reasons: tuple[bytes, list[str]], shop: Shop) -> None:
    bad, reasons = bad_and_reasons
    rows = lines(REVIEWS).splitlines()
    rows[BAD_RECORD - 1] = bad
    books = loaded(shop, b"\n".join(rows), "a.jsonl")
    assert (books.rows_in, books.inserted, books.rejected) == (40, 39, 1)
    assert {record: sorted(why) for record, why in rejects(shop).items()} == {BAD_RECORD: sorted(reasons)}
    [(raw,)] = shop.all("select raw from waybill.quarantine")
    if reasons[0] in ("json", "encoding", "nul"):
        assert json.loads(raw) == bad.decode("utf-8", "backslashreplace"), "the text is kept"
    else:
        assert isinstance(json.loads(raw), dict)


def test_elements_of_an_array_are_validated_like_lines(shop: Shop) -> None:
    rows = [*REVIEWS, 7, "x", None, [REVIEWS[0]], {"review_id": 99}, REVIEWS[0], REVIEWS[1] | {"rating": 1}]
    books = loaded(shop, json.dumps(rows).encode())
    assert (books.rows_in, books.inserted, books.duplicate) == (47, 40, 1)
    required = ["required:product_id", "required:customer_id", "required:rating", "required:review_date"]
    assert rejects(shop) == {**{record: ["json"] for record in (41, 42, 43, 44)}, 45: required, 47: ["conflict"]}


REJECTED: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.json", b"", "the file is empty, without even an empty array. Send it again"),
    "an empty gzip": ("a.json.gz", gzip.compress(b""), "the file is empty"),
    "blank lines": ("a.jsonl", b"\n\r\n", "the file is empty"),
    "an array cut off": ("a.json", json.dumps(REVIEWS).encode()[:-20], "element 40 of the array is not valid JSON: "),
    "two arrays": ("a.json", b"[] []", "text follows the end of the array"),
    "a truncated gzip": ("a.jsonl.gz", gzip.compress(lines(REVIEWS))[:-20], "the gzip stream is truncated"),
    "no gzip": ("a.jsonl.gz", lines(REVIEWS), "the name ends in .gz, but the content is not gzip"),
    "CSV throughout": ("a.json", b"x,y\n" * 20_000, "more than 10,000 of 20,000 records are malformed"),
}


@pytest.mark.parametrize(("name", "body", "message"), REJECTED.values(), ids=REJECTED.keys())
def test_a_file_that_is_rejected_leaves_nothing_but_the_message(
    name: str, body: bytes, message: str, shop: Shop
) -> None:
    shop.contracts["reviews"] = replace(SHOP["reviews"], reject_threshold_pct=5)
    with pytest.raises(DataError) as caught:
        shop.load("reviews", DAY, body, name)
    assert message in str(caught.value)
    assert f"s3://memory/raw/shop/reviews/dt={DAY}/{name}" in str(caught.value)
    assert shop.all("select count(*) from waybill.load_file") == [(0,)]
    assert shop.all("select message from waybill.rejected_file") == [(str(caught.value),)]


def test_an_empty_array_is_a_file_without_rows(shop: Shop) -> None:
    assert loaded(shop, b" [ ]\n").rows_in == 0
    with pytest.raises(DataError, match="the snapshot has no valid row"):
        shop.load("products", DAY, b"[]", "a.json")


PRODUCT = {"product_id": 1, "name": "P", "category": "C", "brand": "B", "supplier": "S", "price": 9.5, "stock": 0}


@pytest.mark.parametrize("form", ["[{}]", "{}"])
def test_money_keeps_every_digit(form: str, shop: Shop) -> None:
    body = json.dumps(PRODUCT).replace("9.5", "99999999.99")
    loaded(shop, form.replace("{}", body).encode(), dataset="products")
    assert shop.all("select price from shop.products") == [(Decimal("99999999.99"),)]


def test_a_snapshot_as_an_array_is_loaded_into_the_history(shop: Shop) -> None:
    for day, price in {"2026-03-01": 9.5, "2026-03-02": 9.75, "2026-03-04": 9.75}.items():
        shop.load("products", day, json.dumps([PRODUCT | {"price": price}]).encode(), "a.json")
    found = shop.all("select price::text, valid_from::text, valid_to::text from shop.products_history order by 2")
    assert found == [("9.50", "2026-03-01", "2026-03-02"), ("9.75", "2026-03-02", "infinity")]


def test_the_same_rows_as_csv_and_json_are_unchanged(shop: Shop) -> None:
    rows = [{name: value for name, value in row.items() if name != "review_text"} for row in REVIEWS]
    csv = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    assert shop.load("reviews", DAY, "\n".join(csv).encode(), "a.csv")
    assert loaded(shop, lines(rows), "b.jsonl").unchanged == 40


def test_rows_of_json_are_replayed(shop: Shop) -> None:
    rows = [*REVIEWS, {**REVIEWS[0], "review_id": 41, "rating": 6, "review_text": 'a\r\n"b"'}, {"review_id": 42}, 7]
    loaded(shop, lines(rows), "a.jsonl")
    ratings = [replace(c, options={"minimum": 1}) if c.name == "rating" else c for c in SHOP["reviews"].columns]
    contract = replace(SHOP["reviews"], columns=tuple(ratings))
    [replayed] = replay(shop.connection, contract, SHOP, RUN)
    assert (replayed.books.rows_in, replayed.books.inserted, replayed.books.rejected) == (2, 1, 1)
    assert shop.all("select review_text from shop.reviews where rating = 6") == [('a\r\n"b"',)]
    assert rejects(shop).keys() == {42, 43}


def test_a_dry_run_reads_json(shop: Shop) -> None:
    shop.load("reviews", DAY, b"[]", "first.json")
    files = [shop.land("reviews", DAY, lines([*REVIEWS, 7]), name) for name in ("a.jsonl", "b.jsonl")]
    ratings = [replace(c, options={"minimum": 3}) if c.name == "rating" else c for c in SHOP["reviews"].columns]
    proposed = replace(SHOP["reviews"], columns=tuple(ratings))
    results = try_contract(shop.connection, shop.bucket, SHOP["reviews"], proposed, SHOP, files)
    assert [(result.rows, result.rows_newly_rejected, dict(result.reasons)) for result in results] == [
        (41, 16, {"range:rating": 16})
    ] * 2


NESTED = FileFormat("json", record_path=("customer", "reviews"))
CUSTOMERS = sorted({row["customer_id"] for row in REVIEWS})


def own(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a review says of itself when it is nested in its customer."""
    return {name: row[name] for name in ("review_id", "rating", "review_text")}


def customer(number: int) -> dict[str, Any]:
    rows = [own(row) for row in REVIEWS if row["customer_id"] == number]
    return {"reviews": rows[0] if len(rows) == 1 else rows, "id": number}


def document(customers: Any) -> dict[str, Any]:
    return {"product": {"id": 1}, "customer": customers, "review_date": "2026-03-02", "count": 40}


WRAPPED = document([customer(number) for number in CUSTOMERS])
EACH = [document(customer(number)) for number in CUSTOMERS]
NESTED_FILES: dict[str, tuple[str, bytes, FileFormat]] = {
    "one document": ("a.json", json.dumps(WRAPPED).encode(), NESTED),
    "over several lines": ("a.json", json.dumps(WRAPPED, indent=2).encode(), NESTED),
    "lines": ("a.jsonl", lines(EACH), NESTED),
    "declared lines": ("a.jsonl", lines(EACH), replace(NESTED, delimiter="new_line")),
    "one after another": ("a.json", lines(EACH).replace(b"\n", b""), NESTED),
    "an array": ("a.json", json.dumps(EACH).encode(), replace(NESTED, delimiter="array")),
    "gzip": ("a.json.gz", gzip.compress(json.dumps(WRAPPED).encode()), NESTED),
    "another name": ("export.dat", json.dumps(WRAPPED).encode(), NESTED),
    "UTF-16": ("a.json", json.dumps(WRAPPED, ensure_ascii=False).encode("utf-16"), replace(NESTED, encoding="utf-16")),
    "Windows-1252": (
        "a.json",
        json.dumps(WRAPPED, ensure_ascii=False).replace("😀", "\\ud83d\\ude00").encode("cp1252"),
        replace(NESTED, encoding="cp1252"),
    ),
}


@pytest.mark.parametrize(("name", "body", "file_format"), NESTED_FILES.values(), ids=NESTED_FILES.keys())
def test_nested_records_give_the_same_table(name: str, body: bytes, file_format: FileFormat, shop: Shop) -> None:
    shop.contracts["reviews"] = replace(SHOP["reviews"], file_format=file_format)
    books = loaded(shop, body, name)
    assert (books.rows_in, books.inserted, rejects(shop)) == (40, 40, {})
    found = shop.all(
        "select review_id, product_id, customer_id, rating, review_text, review_date::text "
        "from shop.reviews order by review_id"
    )
    assert [dict(zip(REVIEWS[0], row, strict=True)) for row in found] == REVIEWS
    assert shop.all("select ignored_columns from waybill.load_file") == [(["count"],)]


def test_a_rejected_nested_row_is_replayed_with_the_values_around_it(shop: Shop) -> None:
    shop.contracts["reviews"] = replace(SHOP["reviews"], file_format=NESTED)
    reviews = [{"review_id": 1, "rating": 5}, {"review_id": 2, "rating": 6}, 7]
    values = [
        document([{"reviews": reviews, "id": 3}, {"id": 4}, "x", {"id": 5, "reviews": []}]),
        {"customer": None},
        {"product": {"id": 2}},
    ]
    books = loaded(shop, lines(values), "a.jsonl")
    assert (books.rows_in, books.inserted, books.rejected) == (6, 1, 5)
    assert rejects(shop) == {2: ["range:rating"], 3: ["json"], 4: ["record_path"], 5: ["json"], 6: ["record_path"]}
    raws = dict(shop.all("select record, raw from waybill.quarantine"))
    assert [json.loads(json.loads(raws[record])) for record in (3, 4, 5, 6)] == [7, {"id": 4}, "x", values[2]]
    ratings = [replace(c, options={"minimum": 1}) if c.name == "rating" else c for c in SHOP["reviews"].columns]
    contract = replace(shop.contracts["reviews"], columns=tuple(ratings))
    [replayed] = replay(shop.connection, contract, SHOP, RUN)
    assert (replayed.books.rows_in, replayed.books.inserted) == (1, 1)
    query = "select product_id, customer_id, review_date::text from shop.reviews order by review_id"
    assert shop.all(query) == [(1, 3, "2026-03-02")] * 2


def test_a_file_without_the_path_is_rejected_with_the_likely_one(shop: Shop) -> None:
    shop.contracts["reviews"] = replace(SHOP["reviews"], file_format=replace(NESTED, record_path=("client", "reviews")))
    with pytest.raises(DataError, match=r"no object or array at `client`\. Records may be at `customer\.reviews`\."):
        shop.load("reviews", DAY, json.dumps(WRAPPED).encode(), "a.json")


def test_undeclared_nested_records_are_named(shop: Shop) -> None:
    body = json.dumps({"customer": WRAPPED["customer"]}).encode()
    with pytest.raises(
        DataError, match=r"nested under `customer\.reviews` of an object\. Declare `recordPath: customer"
    ):
        shop.load("reviews", DAY, body, "a.json")


def test_a_dry_run_counts_nested_records(shop: Shop) -> None:
    shop.load("reviews", DAY, b"[]", "first.json")
    file = shop.land("reviews", DAY, json.dumps(WRAPPED).encode(), "a.json")
    nested = replace(SHOP["reviews"], file_format=NESTED)
    [result] = try_contract(shop.connection, shop.bucket, SHOP["reviews"], nested, SHOP, [file])
    assert (result.rows, result.rows_newly_rejected, result.rejection) == (40, 0, None)


def test_a_nested_member_is_loaded_once_the_contract_names_it(shop: Shop) -> None:
    rows = [{**own(row), "by": {"id": row["customer_id"]}, "product_id": 1, "review_date": DAY} for row in REVIEWS]
    optional = [replace(c, required=False) if c.name == "customer_id" else c for c in SHOP["reviews"].columns]
    shop.contracts["reviews"] = replace(SHOP["reviews"], columns=tuple(optional))
    loaded(shop, lines(rows), "a.jsonl")
    [(ignored, brought)] = shop.all("select ignored_columns, brought_columns from waybill.load_file")
    assert (ignored, "customer_id" in brought) == (["by.id"], False)
    named = [replace(c, spellings=("by.id",)) if c.name == "customer_id" else c for c in SHOP["reviews"].columns]
    contract = replace(SHOP["reviews"], columns=tuple(named))
    assert knows_more(contract, ignored, brought)
    shop.contracts["reviews"] = contract
    loaded(shop, lines(rows), "b.jsonl")
    assert shop.all("select distinct customer_id from shop.reviews order by 1") == [(number,) for number in CUSTOMERS]


def test_nested_values_are_loaded_as_jsonb(shop: Shop) -> None:
    columns = [
        replace(c, logical_type="object", physical_type="jsonb") if c.name == "review_text" else c
        for c in SHOP["reviews"].columns
    ]
    shop.contracts["reviews"] = replace(SHOP["reviews"], columns=tuple(columns), file_format=NESTED)
    texts = [
        '{"stars": [1.10, {"a.b": null}]}',
        '["é", 5]',
        "{}",
        '{"a": 1, "a": 2}',
        '{"a": "\\u0000"}',
        '"text"',
        "5",
    ]
    reviews = [f'{{"review_id": {n}, "rating": 2, "review_text": {text}}}' for n, text in enumerate(texts, start=1)]
    body = json.dumps(document({"id": 3, "reviews": "…"})).replace('"\\u2026"', f"[{', '.join(reviews)}]")
    books = loaded(shop, body.encode())
    assert (books.inserted, rejects(shop)) == (3, {record: ["type:review_text"] for record in range(4, 8)})
    found = shop.all("select review_text::text from shop.reviews order by review_id")
    assert [json.loads(value) for (value,) in found] == [json.loads(text) for text in texts[:3]]
    assert "1.10" in found[0][0]
