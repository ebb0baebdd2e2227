"""The shop's files read, checked and loaded a second time, in plain Python.

It is written from the contracts alone and shares no code with the kernel or with the generator of sample files,
so that equality with them says something. Money is whole cents. Files are loaded in order of (day, key).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

csv.field_size_limit(sys.maxsize)

Row = dict[str, Any]
Parsed = tuple[Any, list[str]]
"""A value, None if the text has none of the type, and the rules that it breaks."""
LOOKBACK = timedelta(days=7)
INTEGER = re.compile(r"[+-]?[0-9]+")
TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def integer(bits: int, lowest: int, highest: int | None = None) -> Callable[[str], Parsed]:
    def read(text: str) -> Parsed:
        if not INTEGER.fullmatch(text) or not -(1 << bits - 1) <= int(text) < 1 << bits - 1:
            return None, ["type"]
        value = int(text)
        return value, ["range"] if value < lowest or (highest is not None and value > highest) else []

    return read


def cents(precision: int) -> Callable[[str], Parsed]:
    """Read an amount above 0 with two decimals."""

    def read(text: str) -> Parsed:
        match = re.fullmatch(r"([+-]?)([0-9]+)(?:\.([0-9]{1,2}))?", text)
        value = int(match[1] + match[2] + (match[3] or "").ljust(2, "0")) if match else 10**precision
        if abs(value) >= 10**precision:
            return None, ["type"]
        return value, [] if value > 0 else ["range"]

    return read


@lru_cache(maxsize=100_000)
def day(text: str) -> Parsed:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None, ["type"]
    try:
        return date.fromisoformat(text), []
    except ValueError:
        return None, ["type"]


def instant(text: str) -> Parsed:
    if not TIMESTAMP.fullmatch(text):
        return None, ["type"]
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None, ["type"]
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC), []


def uuid(text: str) -> Parsed:
    return (text.lower(), []) if UUID.fullmatch(text) else (None, ["type"])


def text_value(longest: int | None = None, pattern: str | None = None) -> Callable[[str], Parsed]:
    def read(text: str) -> Parsed:
        broken = []
        if longest is not None and len(text) > longest:
            broken.append("length")
        if pattern is not None and not re.fullmatch(pattern, text):
            broken.append("pattern")
        return text, broken

    return read


def one_of(*values: str) -> Callable[[str], Parsed]:
    return lambda text: (text, [] if text in values else ["enum"])


@dataclass(frozen=True)
class Dataset:
    """The rules of a contract."""

    columns: dict[str, Callable[[str], Parsed]]
    key: tuple[str, ...]
    period: str | None = None
    optional: tuple[str, ...] = ()
    synonyms: dict[str, str] = field(default_factory=dict)


ID = integer(32, 1)
DATASETS = {
    "customers": Dataset(
        {
            "customer_id": ID,
            "name": text_value(200),
            "email": text_value(254, r"[^@\s]+@[^@\s]+[.][^@\s]+"),
            "registration_date": day,
            "country": text_value(pattern="[A-Z]{2}"),
            "updated_at": instant,
        },
        key=("customer_id", "updated_at"),
        period="updated_at",
    ),
    "products": Dataset(
        {
            "product_id": ID,
            "name": text_value(200),
            "category": text_value(),
            "brand": text_value(),
            "supplier": text_value(),
            "price": cents(10),
            "stock": integer(32, 0),
        },
        key=("product_id",),
    ),
    "transactions": Dataset(
        {
            "transaction_id": integer(64, 1),
            "customer_id": ID,
            "product_id": ID,
            "quantity": ID,
            "price": cents(10),
            "total_amount": cents(14),
            "transaction_ts": instant,
            "status": one_of("completed", "returned", "refunded"),
            "payment_method": text_value(),
        },
        key=("transaction_id",),
        period="transaction_ts",
        synonyms={"timestamp": "transaction_ts", "sold_at": "transaction_ts"},
    ),
    "clickstream": Dataset(
        {
            "event_id": uuid,
            "session_id": uuid,
            "customer_id": ID,
            "event_type": one_of("page_view", "product_view", "add_to_cart", "checkout", "purchase"),
            "page": text_value(),
            "product_id": ID,
            "ts": instant,
            "device": text_value(50),
        },
        key=("event_id",),
        period="ts",
        optional=("customer_id", "product_id"),
        synonyms={"timestamp": "ts"},
    ),
    "reviews": Dataset(
        {
            "review_id": ID,
            "product_id": ID,
            "customer_id": ID,
            "rating": integer(32, 1, 5),
            "review_text": text_value(10_000),
            "review_date": day,
        },
        key=("review_id",),
        period="review_date",
        optional=("review_text",),
    ),
}


def records(dataset: Dataset, key: str, body: bytes) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Return the fields of each record as text, and the reject reasons of the record as a whole."""
    if key.endswith(".gz"):
        key, body = key.removesuffix(".gz"), gzip.decompress(body)
    read = {"csv": _csv_records, "json": _json_array, "jsonl": _json_lines}[key.rpartition(".")[2]]
    for fields, faults in read(body.decode(errors="surrogateescape")):
        yield {dataset.synonyms.get(name, name): text for name, text in fields.items()}, faults


def _csv_records(text: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    header, *rows = [fields for fields in csv.reader(io.StringIO(text, newline="")) if fields]
    names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]
    for fields in rows:
        joined = "".join(fields)
        faults = {
            "ragged": len(fields) != len(names),
            "encoding": not joined.isascii() and bool(re.search("[\udc80-\udcff]", joined)),
            "nul": "\0" in joined,
        }
        yield dict(zip(names, fields, strict=False)), [fault for fault, is_there in faults.items() if is_there]


def _json_array(text: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    for item in json.loads(text, parse_float=str, parse_int=str):
        yield _texts(item), []


def _json_lines(text: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    for line in filter(str.strip, text.split("\n")):
        try:
            item = json.loads(line, parse_float=str, parse_int=str)
        except ValueError:
            yield {}, ["json"]
        else:
            yield _texts(item), []


def _texts(item: dict[str, Any]) -> dict[str, str]:
    texts = {None: "", True: "true", False: "false"}
    return {name: value if isinstance(value, str) else texts[value] for name, value in item.items()}


def validate(dataset: Dataset, delivered: date, fields: dict[str, str]) -> tuple[Row, list[str]]:
    """Return the typed row and its reject reasons."""
    row: Row = {}
    reasons = []
    for name, read in dataset.columns.items():
        text = fields.get(name, "").strip()
        row[name] = None
        if text:
            row[name], broken = read(text)
            reasons += [f"{rule}:{name}" for rule in broken]
        elif name not in dataset.optional:
            reasons.append(f"required:{name}")
    if dataset.period and row[dataset.period] is not None:
        value = row[dataset.period]
        own_day = value.date() if isinstance(value, datetime) else value
        if own_day > delivered:
            reasons.append("after_period")
        if own_day < delivered - LOOKBACK:
            reasons.append("too_late")
    if "total_amount" in row:
        total, quantity, price = row["total_amount"], row["quantity"], row["price"]
        if None not in (total, quantity, price) and total != quantity * price:
            reasons.append("rule:total_amount")
    return row, reasons


@dataclass
class Book:
    """What became of one file's records."""

    dataset: str
    day: date
    key: str
    counts: Counter[str] = field(default_factory=Counter)
    rejected: list[Row] = field(default_factory=list)
    accepted: dict[Any, Row] = field(default_factory=dict)


class ShopOracle:
    """All files, loaded in order: their books, and the rows of each dataset by key."""

    def __init__(self, files: Iterable[tuple[str, bytes]]) -> None:
        self.books: list[Book] = []
        self.rows: dict[str, dict[Any, Row]] = {name: {} for name in DATASETS}
        """Of products, those of the last snapshot."""
        ordered = []
        for key, body in files:
            match = re.fullmatch(r"raw/shop/(\w+)/dt=(\d{4}-\d{2}-\d{2})/[^/]+", key)
            if not match or match[1] not in DATASETS:
                raise ValueError(f"{key} is not a file of the shop")
            ordered.append((date.fromisoformat(match[2]), key, match[1], body))
        for delivered, key, name, body in sorted(ordered):
            book = Book(name, delivered, key)
            self._check(book, body)
            self._load(book)
            self.books.append(book)

    def _check(self, book: Book, body: bytes) -> None:
        dataset = DATASETS[book.dataset]
        for number, (fields, faults) in enumerate(records(dataset, book.key, body), start=1):
            book.counts["rows_in"] += 1
            row, reasons = validate(dataset, book.day, fields) if not faults else ({}, faults)
            key = tuple(row.get(name) for name in dataset.key)
            first = book.accepted.get(key)
            if not reasons and first is not None and first != row:
                reasons = ["conflict"]
            if reasons:
                book.rejected.append({"record": number, "reasons": sorted(reasons)})
            elif first is not None:
                book.counts["duplicate"] += 1
            else:
                book.accepted[key] = row

    def _load(self, book: Book) -> None:
        known = self.rows[book.dataset]
        for key, row in book.accepted.items():
            if key not in known:
                book.counts["inserted"] += 1
            else:
                book.counts["unchanged" if known[key] == row else "updated"] += 1
        if book.dataset == "products":
            self.rows["products"] = dict(book.accepted)
        else:
            known |= book.accepted
