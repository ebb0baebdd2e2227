"""Restricted values stay in the tables of their dataset and in the quarantine: no log, message or page has them.

Files with planted values are loaded. Then every operations table, log, page, JSON route and command is searched.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from support.landing import csv_body
from support.messaging_months import RUN, database
from support.views import client_of, fill_report
from waybill.cli import app
from waybill.contracts import Contract, load_all, load_domain, locations
from waybill.contracts.classification import restricted_names
from waybill.errors import DataError
from waybill.intake.dry_run import dry_run_pending
from waybill.intake.ingest import ingest
from waybill.ops.alerts import incident_messages, success_text, warning_text
from waybill.ops.digest import digests
from waybill.period import Period
from waybill.settings import settings
from waybill.views.operations.incidents import look
from waybill.views.operations.rejected_rows import HIDDEN
from waybill.warehouse.connection import connect, non_retryable_sql, quote_no_rows
from waybill.watch.search import search
from waybill_devtools.stack import Stack

RESTRICTED: Final = "plantedzq"
"""Begins each planted value of a restricted column."""
CONFIDENTIAL: Final = "confidedzq"
"""Begins each planted value of a confidential column."""
DAY: Final = "2026-03-10"
NOW: Final = datetime(2026, 3, 31, 12, tzinfo=UTC)
LAST: Final = "2026-03-30"
HEADER: Final = "customer_id,name,email,registration_date,country,updated_at"
REVIEWS: Final = "review_id,product_id,customer_id,rating,review_text,review_date"
ALLOWED: Final = {("quarantine", "raw"), ("stream_rejected", "raw"), ("stream_event", "raw")}
"""The columns of operations tables that may have restricted values."""


def customer(number: int, case: str, *, name: str = "", email: str = "", country: str = "DE") -> str:
    name, email = name or f"{RESTRICTED}{case}{number}", email or f"{RESTRICTED}{case}{number}@example.com"
    return f"{number},{name},{email},2020-01-31,{country},{DAY}T10:00:00+00:00"


def customers(case: str, first: int, *odd: str, good: int = 40) -> bytes:
    """Return a file of good rows with planted names, followed by others."""
    return csv_body(HEADER, [*(customer(first + n, case) for n in range(good)), *odd])


def files() -> Iterator[tuple[str, str, bytes]]:
    """Yield the dataset, the name and the body of each file. A name begins with a letter for its day."""
    yield "customers", "a_good.csv", customers("good", 100)
    yield "customers", "a_conflict.csv", customers("other", 100)
    odd = (customer(203, "mail", email=f"no-{RESTRICTED}-mail"), customer(204, "long", name=RESTRICTED * 30))
    yield "customers", "c_rejected_rows.csv", customers("some", 200, *odd)
    unread = [f"305,{RESTRICTED} 5", f'306,"{RESTRICTED}" x,{RESTRICTED}@b.c,2020-01-31,DE,{DAY}']
    yield "customers", "d_no_fields.csv", customers("cut", 300, *unread, good=60)
    latin = customer(405, "latin", name=f"{RESTRICTED}é").encode("latin-1") + b"\n"
    yield "customers", "e_encoding.csv", customers("enc", 400) + latin
    yield (
        "customers",
        "f_too_many.csv",
        customers("many", 500, *(customer(n, "x", email=f"{RESTRICTED}-bad") for n in range(540, 560))),
    )
    yield "customers", "g_all_latin.csv", f"customer_id,{RESTRICTED}é\n1,2\n".encode("latin-1")
    yield "customers", "i_mixed_ends.csv", customers("return", 600).replace(b"\n", b"\r")
    yield "customers", "i_mixed_ends.csv", customers("mixed", 600).replace(b"\n", b"\r", 5)
    yield "customers", "j_no_header.csv", customers("headless", 700).partition(b"\n")[2]
    yield (
        "customers",
        "k_too_long.csv",
        customers("huge", 800) + customer(850, "huge", name=RESTRICTED * 1_000_000).encode(),
    )
    yield "customers", "l_nul.csv", customers("nul", 900).replace(b"name,", b"na\0me,", 1)
    yield (
        "customers",
        "m_quotes.csv",
        HEADER.replace(",", "','").join("''").encode() + b"\n" + customers("quote", 900).partition(b"\n")[2],
    )
    yield "customers", "n_other_delimiter.csv", customers("semi", 900).replace(b",", b";")
    yield (
        "customers",
        "o_unclosed.csv",
        customers("open", 1000) + f'1100,"{RESTRICTED} open,a@b.c,2020-01-31,DE,{DAY}\n'.encode(),
    )
    yield (
        "customers",
        "p_dates.csv",
        customers(
            "date", 1200, *(customer(1300 + n, "when").replace(f"{DAY}T", f"{RESTRICTED[:3]}T") for n in range(2))
        ),
    )
    yield "customers", "q_not_text.csv", b"PK\x03\x04" + RESTRICTED.encode() * 10
    yield (
        "reviews",
        "a_good.csv",
        csv_body(REVIEWS, [f"{n},1,1,{n % 5 + 1},{CONFIDENTIAL}{n % 3},{DAY}" for n in range(1, 41)]),
    )
    yield "reviews", "b_reviews.csv", csv_body(REVIEWS, [f"{n},1,1,9,{CONFIDENTIAL}{n},{DAY}" for n in range(41, 81)])


@dataclass
class Planted:
    """A warehouse into which the files were loaded, and what was said meanwhile."""

    stack: Stack
    dsn: str
    told: list[str] = field(default_factory=list)
    """Messages, alerts and tracebacks."""

    @property
    def reader(self) -> str:
        return self.stack.database_url("waybill_reader", self.dsn.rpartition("/")[2])


class Lines(logging.Handler):
    """Keeps what is logged as task logs have it, with tracebacks."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.INFO)
        self.told = told
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


def load_all_files(planted: Planted, bucket: str) -> None:
    """Land and ingest one file after the other, as tasks do, and keep what a task's log has."""
    s3, contracts = planted.stack.s3(), load_domain("shop")
    with connect(planted.dsn) as connection:
        for dataset, name, body in files():
            day = f"2026-03-{10 + ord(name[0]) - ord('a')}"
            period = Period.parse("day", day)
            key = locations.raw_prefix("shop", dataset, period) + name
            s3.put_object(Bucket=bucket, Key=key, Body=body.replace(DAY.encode(), day.encode()))
            try:
                with quote_no_rows():
                    ingest(connection, s3, contracts[dataset], contracts, period, RUN, lookback_periods=0)
            except DataError as error:
                planted.told.append(str(error))
            except Exception as error:
                planted.told.append("".join(traceback.format_exception(error)))
        for dataset in ("customers", "reviews"):
            found = dry_run_pending(connection, s3, contracts[dataset], contracts, Period.parse("day", "2026-03-18"))
            planted.told.append(json.dumps(found, default=str))
        search(connection, s3, RUN, NOW, "shop")
        with connection.transaction():
            events = look(connection, "shop", RUN.run_id, NOW, is_watch=True)
        messages = [*incident_messages("shop_daily", "r", events), *digests(connection, "operations_digest", "r", NOW)]
        planted.told += map(str, messages)
        for text in (warning_text, success_text):
            planted.told.append(str(text(connection, "shop", "shop_daily", RUN.run_id)))


@pytest.fixture(scope="module")
def planted(stack: Stack) -> Iterator[Planted]:
    """A warehouse with the planted values, and a report with restricted columns."""
    bucket, patch = "masked-raw", pytest.MonkeyPatch()
    stack.s3().create_bucket(Bucket=bucket)
    for name, value in stack.env().items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy", "WAYBILL_MASK_KEY")):
            patch.setenv(name, value)
    patch.setenv("WAYBILL_RAW_BUCKET", bucket)
    with database(stack) as dsn:
        patch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", dsn)
        settings.cache_clear()
        found = Planted(stack, dsn)
        handler, logger = Lines(found.told), logging.getLogger("waybill")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            load_all_files(found, bucket)
            with connect(dsn) as connection:
                for contract in load_all().values():
                    if contract.domain == "purchases_report":
                        fill_report(connection, contract, Period.parse("day", DAY))
                        plant(connection, contract)
            yield found
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
            patch.undo()
            settings.cache_clear()


def plant(connection: psycopg.Connection, contract: Contract) -> None:
    """Put planted values into the restricted columns of a report."""
    for name in restricted_names(contract):
        statement = sql.SQL("update {} set {} = %s || {}::text").format(
            sql.Identifier(contract.domain, contract.name), sql.Identifier(name), sql.Identifier(name)
        )
        connection.execute(statement, (RESTRICTED,))


def around(text: str, mark: str) -> str:
    """Return the surroundings of a mark in a text, for the message of a test."""
    at = text.find(mark)
    return text[max(at - 200, 0) : at + 60]


def test_the_planted_values_are_where_they_belong(planted: Planted) -> None:
    with connect(planted.dsn) as connection:
        query = "select count(*) from shop.customers_changes where starts_with(name, %s)"
        assert connection.execute(query, (RESTRICTED,)).fetchone() != (0,)
        kept = connection.execute(
            "select count(*) from waybill.quarantine where raw like %s", (f"%{RESTRICTED}%",)
        ).fetchone()
        assert (kept or (0,))[0] >= 5
        names = {
            name.rpartition("/")[2] for (name,) in connection.execute("select object_key from waybill.rejected_file")
        }
        assert {"f_too_many.csv", "i_mixed_ends.csv", "j_no_header.csv", "b_reviews.csv"} <= names


@pytest.mark.parametrize("mark", [RESTRICTED, CONFIDENTIAL])
def test_no_operations_table_has_a_value(planted: Planted, mark: str) -> None:
    leaks = []
    with connect(planted.dsn) as connection:
        columns = connection.execute(
            "select c.relname, a.attname from pg_class as c inner join pg_attribute as a on a.attrelid = c.oid "
            "where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'v', 'm') "
            "and a.attnum > 0 and not a.attisdropped"
        ).fetchall()
        for table, column in columns:
            if (table, column) in ALLOWED:
                continue
            query = sql.SQL("select {0}::text from {1} where {0}::text like %s limit 1").format(
                sql.Identifier(column), sql.Identifier("waybill", table)
            )
            if found := connection.execute(query, (f"%{mark}%",)).fetchone():
                leaks.append((table, column, around(found[0], mark)))
    if mark == CONFIDENTIAL:  # messages about rejected files have examples
        leaks = [one for one in leaks if one[0] not in ("rejected_file", "file_warning")]
    assert leaks == []


def test_no_log_message_or_traceback_has_a_value(planted: Planted) -> None:
    assert len(planted.told) > 20
    assert [around(text, RESTRICTED) for text in planted.told if RESTRICTED in text] == []
    logs = [path for path in planted.stack.home.rglob("*.log") if "s3" not in path.parts]
    assert logs
    for path in logs:
        with suppress(OSError):
            assert RESTRICTED not in path.read_text(errors="replace"), path


def pages(planted: Planted) -> Iterator[str]:
    """Yield the address of each page about the planted data."""
    operations = ["index", "incidents", "loads", "changes", "anomalies", "plan", "quarantine", "reveals"]
    yield from (f"/operations/{name}.html?domain=shop" for name in operations)
    yield "/operations/loads.html?domain=shop&state=rejected"
    yield f"/operations/plan.html?domain=shop&first={DAY}&last={LAST}"
    yield f"/operations/index.html?dag_id=shop_daily&run_id={RUN.run_id}"
    yield from (f"/operations/quarantine.html?dataset=shop.{dataset}" for dataset in ("customers", "reviews"))
    with connect(planted.dsn) as connection:
        for (number,) in connection.execute("select incident_id from waybill.incident"):
            yield f"/operations/incident.html?number={number}"
    yield from (f"/operations/quality/newest/{name}.html" for name in ("index", "12"))
    yield from ("/live/index.html", "/live/data.json", "/business/index.html", "/business/purchases/index.html")
    yield f"/business/purchases/{DAY}.html"
    for contract in load_all().values():
        if contract.domain == "purchases_report":
            keys = "&".join(f"{name}=1" for name in contract.key[1:])
            yield from (f"/business/purchases/{DAY}/{contract.name}.{kind}" for kind in ("html", "json", "csv"))
            yield f"/business/purchases/{DAY}/{contract.name}/rows.html?{keys}"


def test_no_page_or_route_has_a_value(planted: Planted) -> None:
    client, answered = client_of(planted.reader, planted.dsn), 0
    for address in pages(planted):
        answer = client.get(address)
        assert RESTRICTED not in answer.text, (address, around(answer.text, RESTRICTED))
        answered += answer.status_code == 200
        if "quarantine" not in address:
            assert CONFIDENTIAL not in answer.text or "rejected" in answer.text, address
    assert answered > 20
    assert HIDDEN in client.get("/operations/quarantine.html?dataset=shop.customers").text


@pytest.mark.parametrize(
    "command",
    [
        ["quarantine", "shop.customers", "--limit", "1000"],
        ["conflicts", "shop.customers", "--limit", "1000"],
        ["books", DAY, LAST, "--domain", "shop"],
        ["plan", DAY, LAST, "--domain", "shop"],
        ["incidents"],
        ["alerts"],
        ["watch"],
        ["trace", "purchases_report.top_purchasers", DAY],
        ["replay", "shop.customers"],
        ["lineage", "shop.customers.email"],
    ],
    ids=lambda command: command[0],
)
def test_no_command_has_a_value(planted: Planted, command: list[str]) -> None:
    done = CliRunner().invoke(app, command)
    text = done.output + done.stderr + "".join(traceback.format_exception(done.exception) if done.exception else [])
    assert text.strip()
    assert RESTRICTED not in text, around(text, RESTRICTED)


FAULTS: Final = {
    "cast": "select '{0}'::integer",
    "date": "select '{0}'::date",
    "unique": "insert into mask_probe values ('{0}', 1), ('{0}', 1)",
    "null": "insert into mask_probe values ('{0}', null)",
    "check": "insert into mask_probe values ('{0}', 9)",
    "json": "select '{0}'::jsonb",
}
"""Statements whose errors quote a value."""


@pytest.mark.parametrize("statement", FAULTS.values(), ids=FAULTS)
def test_errors_of_postgresql_do_not_quote_rows(planted: Planted, statement: str) -> None:
    with connect(planted.dsn) as connection, connection.transaction(force_rollback=True):
        connection.execute("create temp table mask_probe (name text unique, one integer not null check (one < 5))")
        query = statement.format(RESTRICTED).encode()
        with pytest.raises(psycopg.Error) as bare, connection.transaction():
            connection.execute(query)
        assert RESTRICTED in str(bare.value)
        with pytest.raises(type(bare.value)) as told, connection.transaction(), quote_no_rows():
            connection.execute(query)
        with pytest.raises(DataError) as known, connection.transaction(), non_retryable_sql("the SQL"):
            connection.execute(query)
    for caught in (told, known):
        text = "".join(traceback.format_exception(caught.value))
        # The line of the test that calls is part of the traceback, and has no value.
        assert RESTRICTED not in text
        assert len(str(caught.value)) > 10
