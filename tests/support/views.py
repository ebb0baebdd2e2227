"""The views without Airflow, and rows for any report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import boto3
import psycopg
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from psycopg import Connection, sql

from waybill.contracts import Column, Contract
from waybill.ops.dead_letters import DeadLetters
from waybill.period import Period
from waybill.views.access import Access
from waybill.views.app import make_app
from waybill.views.operations.runs import RunState
from waybill.warehouse.connection import connect, set_read_only
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import columns_sql, relation

EVIL_VALUE = "<img src=x onerror=\"document.title='hacked'\">"
"""Text of a hostile file. A browser that takes it for HTML changes the title of the page."""


@dataclass
class Someone:
    """A user of the views, with or without permission to see them and to run DAGs."""

    name: str = "somebody"
    may_look: bool = True
    may_run: bool = True
    may_answer: bool = True
    may_reveal: bool = False

    def get_name(self) -> str:
        return self.name


def access_of(
    reader_dsn: str,
    writer_dsn: str,
    user: Someone,
    address: str = "",
    runs: Sequence[RunState] = (),
    letters: Sequence[DeadLetters] = (),
) -> Access:
    """Return the access of a user, as Airflow provides it, with the runs that it knows and the dead letters."""

    def identify(request: Request) -> None:
        request.state.waybill_user = user

    def view() -> None:
        if not user.may_look:
            raise HTTPException(401, "Not authenticated")

    def run() -> None:
        if not user.may_run:
            raise HTTPException(403, "Forbidden")

    @contextmanager
    def reader() -> Iterator[Connection]:
        with psycopg.connect(reader_dsn, connect_timeout=2) as connection:
            set_read_only(connection)
            yield connection

    def writer() -> AbstractContextManager[Connection]:
        return connect(writer_dsn)

    return Access(
        view,
        run,
        identify,
        lambda _request, _dag: user.may_run,
        lambda _request, _dag: user.may_answer,
        lambda _request: user.may_reveal,
        reader,
        writer,
        lambda dags, run_id: [run for run in runs if run.dag_id in dags and run_id in (None, run.run_id)],
        lambda domains: [one for one in letters if one.domain in domains],
        lambda: boto3.client("s3"),
        address,
    )


def client_of(
    reader_dsn: str, writer_dsn: str, user: Someone | None = None, runs: Sequence[RunState] = ()
) -> TestClient:
    """Return a client of the views that does not follow redirects. `runs` are the runs that Airflow knows."""
    app = make_app(access_of(reader_dsn, writer_dsn, user or Someone(), runs=runs))
    return TestClient(app, follow_redirects=False, headers={"accept": "text/html"})


class Page(HTMLParser):
    """A parsed page: its tags with attributes, and its text."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    @property
    def links(self) -> list[str]:
        """Return the addresses in the page."""
        return [
            value
            for tag, attributes in self.tags
            for name, value in attributes.items()
            if value and (name in ("href", "src") or (tag == "option" and ".html" in value))
        ]


def check_inert(page: Page) -> None:
    """Assert that a page can run no script but its own."""
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    names = [str(script["src"]).partition("?")[0].rpartition("/")[2] for script in scripts]
    charts = ["view.js", "echarts.min.js", "charts.js"]
    assert names in (["view.js"], ["view.js", "charts.js"], charts, [*charts, "live.js"])
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "embed", "base")]
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert not str(attributes.get("href")).lower().startswith(("javascript:", "data:"))


def fill_report(connection: Connection, contract: Contract, period: Period, rows: int = 15) -> None:
    """Insert rows of valid values for a period of a report, and record it as published."""
    ensure(connection, contract)
    names = contract.names
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        relation(contract), columns_sql(names), sql.SQL(", ").join(sql.SQL("%s") for _ in names)
    )
    wanted = rows if [key for key in contract.key[1:] if key != "cadence"] else 1
    if any(column.name == "step_number" for column in contract.columns):
        wanted = min(rows, 5)
    for number in range(wanted):
        connection.execute(statement, [value_of(contract, column, period, number) for column in contract.columns])
    connection.execute(
        "insert into waybill.publication (report, cadence, period, row_count, content_sha256, exported_sha256, "
        "code_version, file_ids) values (%s, %s, %s, %s, %s, %s, 'abc123', '{}')",
        (contract.table, period.cadence, period.start, wanted, "0" * 64, "0" * 64),
    )


def value_of(contract: Contract, column: Column, period: Period, number: int) -> Any:
    """Return a valid value for a column of the row with this number."""
    if column.name in (contract.key[0], "cadence"):
        return period.start if column.name == contract.key[0] else period.cadence
    if column.enum:
        return column.enum[number % len(column.enum)]
    if column.physical_type == "date":
        return date(2026, 1, 1 + number % 28)
    kinds = {"boolean": number % 2 == 0, "number": Decimal(number % 90) + Decimal("2.25"), "integer": number + 1}
    return kinds.get(column.logical_type, f"{column.name} {number + 1} <b>&")
