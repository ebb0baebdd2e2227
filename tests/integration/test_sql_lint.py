"""The SQL of reports and checks is planned against the warehouse before any run, and compared with the contract."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import Connection
from typer.testing import CliRunner

from support.ledger import add_file
from waybill.cli import app
from waybill.contracts import load_all
from waybill.ops.lint import lint
from waybill.settings import PROJECT_ROOT, settings
from waybill.warehouse.evolution import ensure

Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Edit a file of a copy of `include`, which the settings name."""
    yield from editing(tmp_path / "include", monkeypatch, "*")


@pytest.fixture
def edit_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Edit a file of a copy of `include` that has the domain `orders` only."""
    yield from editing(tmp_path / "include", monkeypatch, "orders*")


def editing(include: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> Iterator[Edit]:
    for kind in ("contracts", "domains", "sql"):
        (include / kind).mkdir(parents=True)
        for entry in (PROJECT_ROOT / "include" / kind).glob(names):
            copy = shutil.copytree if entry.is_dir() else shutil.copyfile
            copy(entry, include / kind / entry.name)
    monkeypatch.setenv("WAYBILL_INCLUDE_DIR", str(include))
    settings.cache_clear()

    def change(name: str, old: str, new: str) -> None:
        text = (include / name).read_text("utf-8")
        assert old in text
        (include / name).write_text(text.replace(old, new), "utf-8")

    yield change
    settings.cache_clear()


def tables(connection: Connection) -> list[tuple[str, str]]:
    return connection.execute(
        "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema') "
        "order by 1, 2"
    ).fetchall()


def test_the_sql_of_the_project_matches_its_contracts_and_leaves_no_tables(empty_connection: Connection) -> None:
    before = tables(empty_connection)
    contracts, problems = lint(empty_connection)
    assert problems == []
    assert len(contracts) == len(load_all())
    assert tables(empty_connection) == before


SQL = "sql/orders/region_profit.sql"
REPORT = "contracts/orders_report/region_profit.yaml"
LINES = "contracts/orders/lines.yaml"
QUERY = "          select\n              (select coalesce(sum(lines_count), 0)"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            SQL,
            "as revenue,\n    orders",
            "as turnover,\n    orders",
            "does not return the column 'revenue' of the contract",
        ),
        (
            SQL,
            "    orders_count,\n    lines",
            "    orders_count as order_count,\n    lines",
            "not in the contract: .*`orders_count`",
        ),
        (
            SQL,
            "    lines_count,\n",
            "    lines_count,\n    region as area,\n",
            "returns the column 'area', which is not in",
        ),
        (SQL, "    lines_count,\n", "    lines_count,\n    lines_count,\n", "returns the column 'lines_count' 2 times"),
        (
            SQL,
            "profit::numeric(38, 6)",
            "profit::float8",
            r"'profit' is double precision, but numeric\(38,6\) in the contract: write",
        ),
        (SQL, "profit::numeric(38, 6)", "profit::numeric(38, 8)", "'profit' has 8 digits after the point"),
        (
            SQL,
            "    orders_count,\n    lines",
            "    orders_count::integer,\n    lines",
            "is integer, but big",
        ),
        (
            SQL,
            "    region,\n    profit",
            "    region::varchar(9),\n    profit",
            "'region' is character varying, .* text",
        ),
        (SQL, "::date as day", "::timestamptz as day", "'day' is timestamp with time zone, but date in the contract"),
        (
            SQL,
            "        quantity,",
            "        quantty,",
            r"region_profit.sql, line 10: .*\"quantty\" does not exist; Perhaps",
        ),
        (SQL, "group by region", "grup by region", r"region_profit.sql, line 25: PostgreSQL rejects it: syntax error"),
        (SQL, "%(period_end)s", "%(period_ende)s", "query parameter missing: period_ende"),
        (SQL, "from orders.lines", "from orders.line", 'relation "orders.line" does not exist'),
        (LINES, "      - name: cost_price", "      - name: cost", r"region_profit.sql, line 11: .*cost_price"),
        (
            REPORT,
            QUERY,
            QUERY.replace("lines_count", "line_count"),
            "check region_profit_lines_difference, line 2: PostgreSQL",
        ),
        (
            REPORT,
            QUERY,
            "          select region, 1 from orders.lines where 0 = (select 0",
            "one number, but returns region",
        ),
        (REPORT, QUERY, "          select true or 0 < (select 0", "must return one number, but returns .*boolean"),
        (REPORT, "day = %(period_start)s", "day = %(start)s", "query parameter missing: start"),
    ],
)
def test_sql_that_does_not_match_its_contract_is_reported(
    name: str, old: str, new: str, message: str, edit_orders: Edit, empty_connection: Connection
) -> None:
    edit_orders(name, old, new)
    problems = lint(empty_connection)[1]
    assert any(re.search(message, problem) for problem in problems), problems


def test_tables_that_cannot_evolve_to_a_contract_are_reported(edit: Edit, empty_connection: Connection) -> None:
    for contract in load_all().values():
        ensure(empty_connection, contract)
    add_file(empty_connection, "orders.lines")  # until a file has loaded, a contract may change in any way
    edit(LINES, "        physicalType: numeric(12,2)", "        physicalType: numeric(14,2)")
    edit(LINES, "version: 1", "version: 2")
    [problem] = lint(empty_connection)[1]
    assert re.search(
        r"lines.yaml: the next run with this contract would stop: .*'cost_price' is numeric\(12,2\) not null", problem
    )


def test_the_command_prints_problems_and_comparisons_that_were_skipped(
    edit: Edit, operations_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(SQL, "profit::numeric(38, 6)", "profit::float8")
    edit(LINES, "status: active", "status: active\nroles: [{role: reader}]")

    def output_of(exit_code: int) -> str:
        settings.cache_clear()
        result = CliRunner().invoke(app, ["contract", "check"])
        assert result.exit_code == exit_code, result.output
        return result.output

    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", operations_dsn)
    assert "$.roles: `roles` is not supported" in output_of(1)
    edit(LINES, "\nroles: [{role: reader}]", "")
    assert "'profit' is double precision" in output_of(1)
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", "postgresql://127.0.0.1:1/none")
    assert "The warehouse was not compared and the SQL was not planned: " in output_of(0)
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_WAREHOUSE", operations_dsn)
    edit(SQL, "profit::float8", "profit::numeric(38, 6)")
    assert "PostgreSQL accepts the SQL of all derived tables and checks" in output_of(0)


def test_check_asks_for_a_migration_of_an_empty_warehouse(warehouse: Connection) -> None:
    warehouse.execute("drop schema waybill cascade")
    warehouse.commit()
    result = CliRunner().invoke(app, ["contract", "check"])
    assert (result.exit_code, "Run `waybill migrate`" in result.output) == (0, True), result.output


def test_a_wrong_manifest_of_a_domain_on_spark_is_one_problem(empty_connection: Connection, edit: Edit) -> None:
    edit("domains/clicks.yaml", "engine: spark", "engine: sparks")
    _, problems = lint(empty_connection)
    assert len(problems) == 1
    assert "domains/clicks.yaml: $.engine: must be `warehouse` or `spark`, not 'sparks'" in problems[0]
