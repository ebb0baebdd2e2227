"""The messaging files read and checked a second time, in plain Python; see `oracle_messaging`."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

csv.field_size_limit(sys.maxsize)

Row = dict[str, Any]
Values = tuple[Any, ...]

SYNONYMS = {
    "customers": {
        "customer": "customer_id",
        "cust_id": "customer_id",
        "account": "account_id",
        "acct_id": "account_id",
        "name": "customer_name",
        "country_code": "country",
        "created": "created_date",
        "created_at": "created_date",
    },
    "channels": {
        "channel": "channel_id",
        "name": "channel_name",
        "type": "channel_type",
        "unit_price": "unit_price_eur",
        "price_eur": "unit_price_eur",
    },
    "traffic": {
        "id": "traffic_id",
        "date": "send_date",
        "sent_on": "send_date",
        "account": "account_id",
        "acct_id": "account_id",
        "customer": "customer_id",
        "cust_id": "customer_id",
        "channel": "channel_id",
        "interactions": "interactions_count",
        "revenue": "revenue_eur",
    },
}
INTEGER = re.compile(r"[+-]?[0-9]+")


class RuleError(Exception):
    """A value breaks a rule; the message is the rule."""


def integer(bits: int, lowest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not INTEGER.fullmatch(text.strip()) or not -(1 << bits - 1) <= int(text) < 1 << bits - 1:
            raise RuleError("type")
        if int(text) < lowest:
            raise RuleError("range")
        return int(text)

    return read


def decimal(precision: int, scale: int) -> Callable[[str], int]:
    """Read a decimal from 0 up, as a whole number of its last decimal."""
    pattern = re.compile(rf"([+-]?)([0-9]+)(?:\.([0-9]{{1,{scale}}}))?")

    def read(text: str) -> int:
        match = pattern.fullmatch(text.strip())
        if not match:
            raise RuleError("type")
        sign, whole, part = match.groups()
        value = int(whole + (part or "").ljust(scale, "0"))
        if value >= 10**precision:
            raise RuleError("type")
        if sign == "-" and value:
            raise RuleError("range")
        return value

    return read


@lru_cache(maxsize=100_000)
def day(text: str) -> date:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text.strip()):
        raise RuleError("type")
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise RuleError("type") from None


def words(longest: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) > longest:
            raise RuleError("length")
        return text

    return read


# per dataset, the columns in the contract's order and how each is read
READERS: dict[str, dict[str, Callable[[str], Any]]] = {
    "customers": {
        "customer_id": integer(32, 1),
        "account_id": integer(32, 1),
        "customer_name": words(200),
        "segment": words(100),
        "industry": words(100),
        "country": words(100),
        "created_date": day,
    },
    "channels": {
        "channel_id": integer(32, 1),
        "channel_name": words(100),
        "channel_type": words(100),
        "unit_price_eur": decimal(10, 4),
    },
    "traffic": {
        "traffic_id": integer(64, 1),
        "send_date": day,
        "account_id": integer(32, 1),
        "customer_id": integer(32, 1),
        "channel_id": integer(32, 1),
        "interactions_count": integer(32, 0),
        "revenue_eur": decimal(12, 2),
    },
}
# places in a traffic row
DATE, ACCOUNT, CUSTOMER, CHANNEL, INTERACTIONS, CENTS = range(1, 7)


def month_of(text: str) -> int:
    """Return a month YYYY-MM as a number, so that months can be added."""
    return int(text[:4]) * 12 + int(text[5:7]) - 1


@lru_cache
def first_day(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def read_records(dataset: str, key: str, body: bytes) -> tuple[list[str], list[tuple[list[str], list[str]]]]:
    """Return the header as column names, and the fields of each record with its reject reasons."""
    if key.endswith(".gz"):
        body = gzip.decompress(body)
    text = body.decode("utf-8-sig", errors="surrogateescape")
    records = [fields for fields in csv.reader(io.StringIO(text, newline="")) if fields]
    synonyms = SYNONYMS[dataset]
    names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in records[0]]
    header = [synonyms.get(name, name) for name in names]
    missing = [column for column in READERS[dataset] if header.count(column) != 1]
    if missing:
        raise ValueError(f"{key}: columns {missing} are missing or there twice")
    checked = []
    for fields in records[1:]:
        faults = []
        if len(fields) != len(header):
            faults.append("ragged")
        joined = "".join(fields)
        if not joined.isascii() and re.search("[\udc80-\udcff]", joined):
            faults.append("encoding")
        if "\0" in joined:
            faults.append("nul")
        checked.append((fields, faults))
    if text.count('"') % 2:
        checked[-1][1].extend(["quote", "truncated"])  # the file ends within a quoted field
    return header, checked


@dataclass
class Book:
    """What became of one file's records."""

    dataset: str
    month: int
    key: str
    counts: Counter[str] = field(default_factory=Counter)
    rejected: list[Row] = field(default_factory=list)

    def reject(self, record: int, reasons: list[str]) -> None:
        self.counts["rejected"] += 1
        self.rejected.append({"record": record, "reasons": sorted(reasons)})

    def as_row(self) -> Row:
        names = ("rows_in", "inserted", "updated", "unchanged", "rejected", "duplicate", "stale", "filtered")
        return {
            "dataset": self.dataset,
            "month": f"{self.month // 12:04d}-{self.month % 12 + 1:02d}",
            "key": self.key,
            **{name: self.counts[name] for name in names},
            "rejects": self.rejected,
        }


def check(book: Book, body: bytes, known_customers: set[int], known_channels: set[int]) -> dict[Any, Values]:
    """Return the accepted rows of a file by key; count rejected and duplicate records and `rows_in` in the book."""
    header, records = read_records(book.dataset, book.key, body)
    book.counts["rows_in"] = len(records)
    readers = [(column, header.index(column), read) for column, read in READERS[book.dataset].items()]
    accepted: dict[Any, Values] = {}
    names_seen: set[str] = set()
    for number, (fields, faults) in enumerate(records, start=1):
        if faults:
            book.reject(number, faults)
            continue
        reasons: list[str] = []
        values: list[Any] = []
        for column, place, read in readers:
            text = fields[place]
            value = None
            if not text or text.isspace():
                reasons.append(f"required:{column}")
            else:
                try:
                    value = read(text)
                except RuleError as rule:
                    reasons.append(f"{rule}:{column}")
            values.append(value)
        row = tuple(values)
        if book.dataset == "traffic":
            reasons += traffic_reasons(row, book.month, known_customers, known_channels)
        key = row[DATE : CHANNEL + 1] if book.dataset == "traffic" else row[0]
        if reasons:
            book.reject(number, reasons)
        elif key in accepted and accepted[key] == row:
            book.counts["duplicate"] += 1
        elif key in accepted:
            book.reject(number, ["conflict"])
        elif book.dataset == "channels" and row[1] in names_seen:
            book.reject(number, ["unique:channel_name"])
        else:
            accepted[key] = row
            names_seen.add(row[1])
    return accepted


def traffic_reasons(row: Values, month: int, known_customers: set[int], known_channels: set[int]) -> list[str]:
    """Return the reject reasons of a traffic row as a whole; an unreadable value is None."""
    reasons = []
    if row[CUSTOMER] is not None and row[CUSTOMER] not in known_customers:
        reasons.append("reference:customer_id")
    if row[CHANNEL] is not None and row[CHANNEL] not in known_channels:
        reasons.append("reference:channel_id")
    if row[DATE] is not None and row[DATE] >= first_day(month + 1):
        reasons.append("after_period")
    if row[DATE] is not None and row[DATE] < first_day(month - 12):
        reasons.append("too_late")
    return reasons
