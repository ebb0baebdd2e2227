"""Daily files of the shop, built from the few values that decide the outcome of a row, and ingested."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from support.landing import LANDED_AT, MemoryBucket, csv_body
from support.messaging_months import RUN
from waybill.contracts import Contract, load_domain, locations
from waybill.files.landed_file import LandedFile
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.period import Period

CONTRACTS = load_domain("shop")
SHOP = {name: replace(contract, reject_threshold_pct=100) for name, contract in CONTRACTS.items()}
"""The contracts, with any number of rejects allowed, so that every file of a test counts."""


@dataclass(frozen=True)
class Layout:
    """How rows of a dataset are written as CSV and found again."""

    header: str
    line: Callable[[int, datetime, int], str]
    """From a number, an instant and a value (1 to 9)."""
    select: str
    """SQL of the number, the instant (or the day's midnight in UTC) and the value."""
    table: str


LAYOUTS = {
    "transactions": Layout(
        "transaction_id,customer_id,product_id,quantity,price,total_amount,transaction_ts,status,payment_method",
        lambda number, at, value: f"{number},1,1,{value},1.00,{value}.00,{at.isoformat()},completed,card",
        "transaction_id, transaction_ts, quantity",
        "transactions",
    ),
    "reviews": Layout(
        "review_id,product_id,customer_id,rating,review_text,review_date",
        lambda number, at, value: f"{number},1,1,{value},,{at:%Y-%m-%d}",
        "review_id, review_date::timestamp at time zone 'UTC', rating",
        "reviews",
    ),
    "customers": Layout(
        "customer_id,name,email,registration_date,country,updated_at",
        lambda number, at, value: f"{number},N{value},a@b.c,2020-01-31,DE,{at.isoformat()}",
        "customer_id, updated_at, right(name, 1)::integer",
        "customers_changes",
    ),
}


def day(key: str) -> Period:
    return Period.parse("day", key)


@dataclass
class Shop:
    """A warehouse and the files that were put into it."""

    connection: Connection
    contracts: dict[str, Contract] = field(default_factory=lambda: dict(SHOP))
    bucket: MemoryBucket = field(default_factory=MemoryBucket)
    _last_change: int = 0

    def land(
        self, dataset: str, key_day: str, body: bytes, name: str = "part-1.csv", landed_at: datetime = LANDED_AT
    ) -> LandedFile:
        return self.bucket.put("shop", dataset, day(key_day), body, name, landed_at)

    def load(
        self, dataset: str, key_day: str, body: bytes, name: str = "part-1.csv", landed_at: datetime = LANDED_AT
    ) -> Books | None:
        """Land a file, over its older version if there is one, and ingest it."""
        file = self.land(dataset, key_day, body, name, landed_at)
        return ingest_file(self.connection, self.bucket, file, self.contracts[dataset], self.contracts, RUN)

    def withdraw(self, dataset: str, key_day: str, name: str) -> None:
        """Delete the object of a file and withdraw its rows."""
        key = locations.raw_prefix("shop", dataset, day(key_day)) + name
        self.bucket.delete(key)
        file = withdrawal.find_loaded(self.connection, key)
        withdrawal.withdraw(self.connection, self.bucket, self.contracts[dataset], file)

    def load_rows(
        self,
        dataset: str,
        key_day: str,
        rows: Iterable[tuple[int, datetime, int]],
        name: str = "part-1.csv",
        landed_at: datetime = LANDED_AT,
    ) -> Books | None:
        layout = LAYOUTS[dataset]
        body = csv_body(layout.header, (layout.line(*row) for row in rows))
        return self.load(dataset, key_day, body, name, landed_at)

    def new_changes(self) -> list[tuple[str, date]]:
        """Return (table, day) of every change that was recorded since the last call."""
        rows = self.all(
            "select change_id, table_name, day from waybill.change where change_id > %s order by table_name, day",
            (self._last_change,),
        )
        self._last_change = max([self._last_change, *(number for number, *_ in rows)])
        return [(table, day) for _, table, day in rows]

    def all(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()
