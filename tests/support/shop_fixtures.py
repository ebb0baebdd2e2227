"""The shop's tables made from its contracts, and small shops full of traps to fill them with."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection, sql

from oracles.shop import ONE_DAY, STEPS, Row, Shop
from waybill.contracts import Contract, load
from waybill.settings import PROJECT_ROOT
from waybill.warehouse.schema import columns_sql, definitions

INCLUDE = PROJECT_ROOT / "include"
DATASETS = {path.stem: load(path) for path in (INCLUDE / "contracts" / "shop").glob("*.yaml")}
STAR = {path.stem: load(path) for path in sorted((INCLUDE / "contracts" / "shop_star").glob("*.yaml"))}
MARTS = {path.stem: load(path) for path in sorted((INCLUDE / "contracts" / "shop_report").glob("*.yaml"))}
FEATURES = {path.stem: load(path) for path in sorted((INCLUDE / "contracts" / "shop_feature").glob("*.yaml"))}
DIMENSIONS = [name for name, contract in STAR.items() if contract.load_mode == "dimension"]
FACTS = [name for name in STAR if name not in DIMENSIONS]
MEMBERS = {"dim_customer": "customer_id", "dim_product": "product_id"}
FIRST, LAST = date(2025, 12, 20), date(2026, 4, 5)
SHOP_DAYS = [FIRST + ONE_DAY * index for index in range((LAST - FIRST).days + 1)]
"""The days of a random shop: a turn of the year, and in Berlin the begin of summer time."""


@dataclass(frozen=True)
class Period:
    """The period of a run."""

    cadence: str
    start: date

    @property
    def end(self) -> date:
        if self.cadence == "day":
            return self.start + ONE_DAY
        if self.cadence == "week":
            return self.start + 7 * ONE_DAY
        return (self.start + 31 * ONE_DAY).replace(day=1)

    def parameters(self, timezone: str) -> dict[str, Any]:
        """Return the parameters that the SQL may bind."""
        place = Shop(timezone)
        return {
            "period_start": self.start,
            "period_end": self.end,
            "starts_at": place.midnight(self.start),
            "ends_at": place.midnight(self.end),
            "timezone": timezone,
            "cadence": self.cadence,
        }


def day(text: str) -> Period:
    return Period("day", date.fromisoformat(text))


def month(text: str) -> Period:
    return Period("month", date.fromisoformat(f"{text}-01"))


class ShopWarehouse:
    """The base tables, the star, the marts and the feature views in PostgreSQL."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection, self.timezone = connection, "UTC"

    def create(self) -> None:
        """Make the tables."""
        for schema in ("shop", "shop_star", "shop_report", "shop_feature"):
            self.connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        for name, contract in DATASETS.items():
            suffix = {"changes": "_changes", "snapshot": "_history"}.get(contract.load_mode, "")
            self._create(contract, f"{name}{suffix}", self._provenance(contract))
            if contract.load_mode == "merge":
                self.connection.execute(
                    sql.SQL("create index on {} ({})").format(
                        sql.Identifier("shop", name), sql.Identifier(contract.period_column or "")
                    )
                )
        for name, contract in {**STAR, **MARTS, **FEATURES}.items():
            self._create(contract, name, self._no_overlap(name))

    @staticmethod
    def _provenance(contract: Contract) -> sql.Composable:
        if contract.load_mode == "snapshot":
            return sql.SQL(
                ", valid_from date not null, valid_to date not null default 'infinity', "
                "_file_id integer not null default 1, _record integer not null default 1, "
                "primary key (product_id, valid_from), check (valid_from < valid_to), "
                "exclude using gist (product_id with =, daterange(valid_from, valid_to) with &&)"
            )
        return sql.SQL(
            ", _file_id integer not null default 1, _record integer not null default 1, "
            "_delivered date not null default '2026-01-01', primary key ({})"
        ).format(columns_sql(contract.row_key))

    @staticmethod
    def _no_overlap(name: str) -> sql.Composable:
        if name not in MEMBERS:
            return sql.SQL("")
        return sql.SQL(", exclude using gist ({} with =, tstzrange(valid_from, valid_to) with &&)").format(
            sql.Identifier(MEMBERS[name])
        )

    def _create(self, contract: Contract, name: str, rest: sql.Composable) -> None:
        if contract.load_mode in ("dimension", "report", "feature"):
            rest = sql.SQL("{}, primary key ({})").format(rest, columns_sql(contract.key))
        self.connection.execute(
            sql.SQL("create table {} ({}{})").format(sql.Identifier(contract.domain, name), definitions(contract), rest)
        )

    def load(self, shop: Shop) -> None:
        """Put a shop's rows into the base tables."""
        self.timezone = shop.timezone
        products = [{**row, "valid_to": row["valid_to"] or "infinity"} for row in shop.products]
        for table, rows in {
            "customers_changes": shop.customers,
            "products_history": products,
            "transactions": shop.transactions,
            "clickstream": shop.clickstream,
            "reviews": shop.reviews,
        }.items():
            if rows:
                names = list(rows[0])
                statement = sql.SQL("insert into {} ({}) values ({})").format(
                    sql.Identifier("shop", table), columns_sql(names), sql.SQL(", ").join(map(sql.Placeholder, names))
                )
                with self.connection.cursor() as cursor:
                    cursor.executemany(statement, rows)

    def build(self, name: str, *periods: Period) -> None:
        """Fill a table with the rows that its SQL selects, for each period."""
        contract, text = question(name)
        table = sql.Identifier(contract.domain, name)
        statement = sql.SQL("insert into {} ({names}) select {names} from ({}) as selected").format(
            table, sql.SQL(text), names=columns_sql(contract.names)
        )
        for period in periods:
            self.connection.execute(statement, period.parameters(self.timezone))

    def build_star(self, days: Iterable[date]) -> None:
        """Build the dimensions, then the facts of each day."""
        for name in DIMENSIONS:
            self.build(name, Period("day", FIRST))
        for name in FACTS:
            self.build(name, *(Period("day", on) for on in days))

    def ask(self, name: str, period: Period) -> list[Row]:
        """Return the rows of a question for a period, in its order."""
        contract, text = question(name)
        rows = self.connection.execute(text, period.parameters(self.timezone)).fetchall()
        return [dict(zip(contract.names, row, strict=True)) for row in rows]

    def all(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()


def question(name: str) -> tuple[Contract, str]:
    """Return the contract and the SQL text of a table of the star, a mart or a feature view."""
    contract = {**STAR, **MARTS, **FEATURES}[name]
    folder = "shop" if name in MARTS else contract.domain
    return contract, (INCLUDE / "sql" / folder / f"{name}.sql").read_text("utf-8")


# Rows, with everything that a test does not care about filled in


def at(text: str) -> datetime:
    """Return an instant in UTC, such as `2026-03-01 12:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def customer(customer_id: int, updated_at: str | datetime, *, country: str = "DE", name: str = "Ann") -> Row:
    return {
        "customer_id": customer_id,
        "name": name,
        "email": f"{name}@example.com",
        "registration_date": date(2020, 1, 1),
        "country": country,
        "updated_at": at(updated_at) if isinstance(updated_at, str) else updated_at,
    }


def product(
    product_id: int,
    valid_from: str | date = "2020-01-01",
    valid_to: str | date | None = None,
    *,
    category: str = "Books",
    name: str | None = None,
    price: str = "10.00",
    stock: int = 5,
) -> Row:
    return {
        "product_id": product_id,
        "name": name or f"Product {product_id}",
        "category": category,
        "brand": "Acme",
        "supplier": "Best Ltd",
        "price": Decimal(price),
        "stock": stock,
        "valid_from": date.fromisoformat(valid_from) if isinstance(valid_from, str) else valid_from,
        "valid_to": date.fromisoformat(valid_to) if isinstance(valid_to, str) else valid_to,
    }


def sale(
    transaction_id: int,
    transaction_ts: str | datetime,
    amount: str | int = 10,
    *,
    by: int = 1,
    of: int = 1,
    quantity: int = 1,
    status: str = "completed",
) -> Row:
    """Return a transaction whose pieces cost `amount` together."""
    total = Decimal(amount)
    return {
        "transaction_id": transaction_id,
        "customer_id": by,
        "product_id": of,
        "quantity": quantity,
        "price": total / quantity,
        "total_amount": total,
        "transaction_ts": at(transaction_ts) if isinstance(transaction_ts, str) else transaction_ts,
        "status": status,
        "payment_method": "card",
    }


def click(
    session: int,
    ts: str | datetime,
    event_type: str = "page_view",
    *,
    by: int | None = None,
    device: str = "mobile",
    number: int = 0,
    of: int | None = None,
) -> Row:
    """Return an event of a session; `number` orders the events of one instant."""
    instant = at(ts) if isinstance(ts, str) else ts
    return {
        "event_id": uuid.uuid5(uuid.UUID(int=number), f"{session} {instant} {event_type}")
        if not number
        else uuid.UUID(int=number),
        "session_id": uuid.UUID(int=session),
        "customer_id": by,
        "event_type": event_type,
        "page": "/",
        "product_id": of,
        "ts": instant,
        "device": device,
    }


def review(review_id: int, review_date: str | date, rating: int = 5, *, by: int = 1, of: int = 1) -> Row:
    return {
        "review_id": review_id,
        "product_id": of,
        "customer_id": by,
        "rating": rating,
        "review_text": (None, "", "Fine.")[review_id % 3],
        "review_date": date.fromisoformat(review_date) if isinstance(review_date, str) else review_date,
    }


def random_shop(seed: int, timezone: str = "UTC", sales: int = 900) -> Shop:
    """Return a shop in which few values collide often: ties, midnights, returns to former values, unknown members."""
    chance = random.Random(seed)
    shop = Shop(timezone)

    def some_day() -> date:
        return chance.choice(SHOP_DAYS)

    def some_instant() -> datetime:
        """Draw an instant, often midnight or one microsecond before it."""
        begin = shop.midnight(some_day())
        return begin + chance.choice(
            [timedelta(0), timedelta(microseconds=-1), timedelta(hours=9), timedelta(seconds=chance.randint(0, 86399))]
        )

    for customer_id in range(1, 26):
        for updated_at in sorted({some_instant() for _ in range(chance.randint(1, 5))}):
            country, name = chance.choice(["DE", "AT", "FR"]), chance.choice(["Ann", "Bob"])
            shop.customers.append(customer(customer_id, updated_at, country=country, name=name))
    for product_id in range(1, 13):
        begin = FIRST + ONE_DAY * chance.choice([0, 0, 0, 20])
        while begin <= LAST:
            end = begin + ONE_DAY * chance.randint(1, 40)
            shop.products.append(
                product(
                    product_id,
                    begin,
                    end if end <= LAST or chance.random() < 0.2 else None,
                    category=chance.choice(["Books", "Books", "Toys", "apps"]),
                    price=chance.choice(["5.00", "10.00"]),
                    stock=chance.randint(0, 3),
                )
            )
            begin = end + ONE_DAY * chance.choice([0, 0, 0, 3])
    known_instants = [row["updated_at"] for row in shop.customers]
    for transaction_id in range(1, sales + 1):
        instant = chance.choice(known_instants) if chance.random() < 0.1 else some_instant()
        amount = Decimal(chance.choice(["5.00", "10.00", "10.00", "9.99", "20.00"]))
        quantity = chance.randint(1, 3)
        shop.transactions.append(
            sale(
                transaction_id,
                min(max(instant, shop.midnight(FIRST)), shop.midnight(LAST)),
                amount * quantity,
                by=min(chance.randint(1, 28), chance.randint(1, 28)),
                of=chance.randint(1, 14),
                quantity=quantity,
                status=chance.choice(["completed"] * 5 + ["returned", "refunded"]),
            )
        )
    event = 0
    for session in range(1, 301):
        ts, by, visitor = some_instant(), None, chance.choice([None, chance.randint(1, 28)])
        progress = 0
        for _ in range(chance.randint(1, 9)):
            event += 1
            progress = min(progress + chance.choice([0, 1]), len(STEPS) - 1)
            kind = chance.choice([STEPS[progress], STEPS[progress], "page_view", chance.choice(STEPS)])
            by = chance.choice([by, by, visitor, chance.randint(1, 28) if chance.random() < 0.05 else by])
            of = chance.choice([None, chance.randint(1, 15)])
            row = click(session, ts, kind, by=by, device=chance.choice(["mobile", "desktop"]), of=of)
            shop.clickstream.append({**row, "event_id": uuid.UUID(int=chance.getrandbits(128))})
            ts += chance.choice(
                [timedelta(0), timedelta(0), timedelta(minutes=7), timedelta(hours=chance.choice([5, 20, 60]))]
            )
    chance.shuffle(shop.clickstream)
    for review_id in range(1, 101):
        rating = chance.randint(1, 5)
        shop.reviews.append(review(review_id, some_day(), rating, by=chance.randint(1, 30), of=chance.randint(1, 16)))
    return shop
