"""Files with order lines for tests: header, rows from the few values that matter, and a bucket to land them in."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import Connection

from support.landing import LANDED_AT, MemoryBucket, csv_body
from support.messaging_months import RUN
from waybill.contracts import load_domain, locations
from waybill.files.landed_file import LandedFile
from waybill.intake import withdrawal
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.period import Period

HEADER = (
    "Order Id,Order Date,Ship Mode,Segment,Country,City,State,Postal Code,Region,Category,Sub Category,"
    "Product Id,cost price,List Price,Quantity,Discount Percent"
)
CONTRACTS = load_domain("orders")
# Any number of rejects is allowed, so that every file of a test counts.
LINES = replace(CONTRACTS["lines"], reject_threshold_pct=100)


@dataclass(frozen=True)
class Line:
    """One line as it is written; prices and the discount are text, as in the file."""

    order: str = "1"
    product: str = "P1"
    quantity: str = "1"
    date: str = "2026-03-01"
    ship_mode: str = "First Class"
    region: str = "West"
    category: str = "Furniture"
    sub_category: str = "Chairs"
    cost: str = "6.00"
    list_price: str = "10.00"
    discount: str = "0"

    def __str__(self) -> str:
        return (
            f"{self.order},{self.date},{self.ship_mode},Consumer,United States,Seattle,Washington,01234,{self.region},"
            f"{self.category},{self.sub_category},{self.product},{self.cost},{self.list_price},{self.quantity},"
            f"{self.discount}"
        )


def body(*lines: Line) -> bytes:
    return csv_body(HEADER, map(str, lines))


def lines_of(text: bytes, rejected: Collection[int]) -> dict[tuple[str, str, int], Line]:
    """Return the accepted lines of a file by order, product and occurrence."""
    found: dict[tuple[str, str, int], Line] = {}
    seen = Counter[tuple[str, str]]()
    for record, fields in enumerate(list(csv.reader(io.StringIO(text.decode())))[1:], start=1):
        if record in rejected:
            continue
        order, written, ship_mode, *_, region, category, sub_category, product, cost, price, quantity, discount = fields
        seen[order, product] += 1
        line = Line(order, product, quantity, written, ship_mode, region, category, sub_category, cost, price, discount)
        found[order, product, seen[order, product]] = line
    return found


def day(key: str) -> Period:
    return Period.parse("day", key)


class Orders:
    """Files with order lines, in memory, and the warehouse they are loaded into."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.bucket = connection, MemoryBucket()

    def land(self, key: str, name: str, lines: tuple[Line, ...] | bytes, landed_at: datetime = LANDED_AT) -> LandedFile:
        text = lines if isinstance(lines, bytes) else body(*lines)
        return self.bucket.put("orders", "lines", day(key), text, name, landed_at)

    def withdraw(self, key: str, name: str) -> withdrawal.Withdrawn:
        """Delete the object of a file and withdraw its rows."""
        object_key = locations.raw_prefix("orders", "lines", day(key)) + name
        self.bucket.delete(object_key)
        file = withdrawal.find_loaded(self.connection, object_key)
        return withdrawal.withdraw(self.connection, self.bucket, LINES, file)

    def arrive(self, key: str, name: str, *lines: Line, landed_at: datetime = LANDED_AT) -> Books | None:
        """Land a file of the day and take it in."""
        file = self.land(key, name, lines, landed_at)
        return ingest_file(self.connection, self.bucket, file, LINES, CONTRACTS, RUN)
