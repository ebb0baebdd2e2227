"""Files with purchases and rates for tests: rows as they are written, and a bucket to land them in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from psycopg import Connection

from support.landing import MemoryBucket, csv_body
from support.messaging_months import RUN
from waybill.contracts import Contract, load_domain
from waybill.files.landed_file import LandedFile
from waybill.intake.ingest import ingest_file
from waybill.intake.ledger import Books
from waybill.intake.replay import replay_waiting
from waybill.period import Period

HEADER = "customer_id,first_name,last_name,email,purchase_id,purchase_date,amount,currency"
RATES_HEADER = "currency,valid_from,rate"
# Any number of rejects is allowed, so that every file of a test counts.


def contracts() -> dict[str, Contract]:
    """Return the domain's datasets as the environment has them now, without a limit of rejected rows."""
    return {name: replace(one, reject_threshold_pct=100) for name, one in load_domain("purchases").items()}


CONTRACTS = contracts()


@dataclass(frozen=True)
class Purchase:
    """One purchase as it is written; the amount is text, as in the file."""

    purchase: str = "1"
    customer: str = "c1"
    first_name: str = "Ada"
    last_name: str = "Low"
    email: str = "ada@example.org"
    date: str = "2026-03-01"
    amount: str = "10.00"
    currency: str = "USD"

    def __str__(self) -> str:
        return (
            f"{self.customer},{self.first_name},{self.last_name},{self.email},{self.purchase},{self.date},"
            f"{self.amount},{self.currency}"
        )


@dataclass(frozen=True)
class Rate:
    """One rate as it is written."""

    currency: str = "USD"
    valid_from: str = "2026-01-01"
    rate: str = "1.5"

    def __str__(self) -> str:
        return f"{self.currency},{self.valid_from},{self.rate}"


Rows = Iterable[Purchase | Rate] | bytes


def day(key: str) -> Period:
    return Period.parse("day", key)


class Purchases:
    """Files of the domain, in memory, and the warehouse they are loaded into."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.bucket, self.contracts = connection, MemoryBucket(), contracts()

    def land(self, dataset: str, key: str, name: str, rows: Rows) -> LandedFile:
        header = HEADER if dataset == "purchases" else RATES_HEADER
        body = rows if isinstance(rows, bytes) else csv_body(header, map(str, rows))
        return self.bucket.put("purchases", dataset, day(key), body, name)

    def arrive(self, dataset: str, key: str, name: str, rows: Rows) -> Books | None:
        """Land and ingest a file of the day, then replay the rows that waited for it."""
        file = self.land(dataset, key, name, rows)
        books = ingest_file(self.connection, self.bucket, file, self.contracts[dataset], self.contracts, RUN)
        replay_waiting(self.connection, self.contracts["purchases"], self.contracts, RUN)
        return books
