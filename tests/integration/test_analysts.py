"""Analysts may select every column that is not restricted, and no other, by any relation or function they can see."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection, errors, sql
from typer.testing import CliRunner

from support.messaging_months import database
from waybill.cli import app
from waybill.contracts import Contract, load_all, odcs
from waybill.contracts.classification import restricted_names
from waybill.contracts.domains import is_on_spark
from waybill.settings import settings
from waybill.warehouse.connection import connect
from waybill.warehouse.evolution import ensure
from waybill.warehouse.schema import tables_of
from waybill_devtools.stack import Stack

MARK: Final = "kept-from-analysts"
"""Every restricted text that the tests store begins with this."""
ROWS: Final = 3
"""How many rows each table has. Restricted columns repeat their value, so that statistics quote it."""
MARKED: Final[dict[str, Any]] = {
    "date": date(1917, 11, 7),
    "integer": 1_917_110_700,
    "bigint": 1_917_110_700,
    "uuid": UUID("19171107-1917-1107-1917-110719171107"),
}
"""What restricted columns of other types hold."""
VISIBLE: Final = """
select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
  has_column_privilege('waybill_analyst', c.oid, a.attnum, 'select')
    and has_schema_privilege('waybill_analyst', n.oid, 'usage')
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on a.attrelid = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by 1, 2, a.attnum
"""


def applied() -> dict[str, Contract]:
    """Return the contracts that have tables in PostgreSQL."""
    return {
        name: one for name, one in load_all().items() if not (one.is_dataset and is_on_spark(one.domain))
    }  # fmt: skip


def value_of(kind: str, number: int, *, is_restricted: bool) -> Any:
    """Return a value of a type for the row with this number: the mark of a restricted column."""
    kind = kind.partition("(")[0]
    if is_restricted:
        return f"{MARK}{number}@example.com" if kind == "text" else MARKED[kind]
    days = {"date", "timestamp with time zone", "timestamp without time zone"}
    texts = {"text": f"x{number}", "text[]": "{x}", "boolean": "true", "uuid": str(UUID(int=number))}
    return f"2026-03-0{number}" if kind in days else texts.get(kind, str(number))


def fill(admin: Connection, contract: Contract) -> None:
    """Insert rows into each table of a contract, with marks in its restricted columns."""
    restricted = restricted_names(contract)
    repeated = restricted - {*contract.row_key}
    for table in tables_of(contract):
        columns = admin.execute(
            "select attname, format_type(atttypid, atttypmod), relkind = 'p' from pg_attribute "
            "inner join pg_class on pg_class.oid = attrelid "
            "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
            (table.as_string(None),),
        ).fetchall()
        if columns[0][2]:
            partition = sql.Identifier(table._obj[0], f"{table._obj[1]}_rest")
            admin.execute(sql.SQL("create table {} partition of {} default").format(partition, table))
        for number in range(1, ROWS + 1):
            values = {
                name: value_of(kind, 1 if name in repeated else number, is_restricted=name in restricted)
                for name, kind, _ in columns
            }
            values |= {"valid_to": "infinity"} if "valid_to" in values else {}
            admin.execute(
                sql.SQL("insert into {} ({}) values ({})").format(
                    table,
                    sql.SQL(", ").join(map(sql.Identifier, values)),
                    sql.SQL(", ").join(sql.Literal(value) for value in values.values()),
                )
            )


@contextmanager
def logged_in(stack: Stack, name: str) -> Iterator[Connection]:
    """Connect to a database as a new member of the analysts."""
    person, password = f"analyst_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    with psycopg.connect(stack.database_url("postgres", name), autocommit=True) as admin:
        admin.execute(sql.SQL("grant connect on database {} to waybill_analyst").format(sql.Identifier(name)))
        create = sql.SQL("create role {} login password {} in role waybill_analyst")
        admin.execute(create.format(sql.Identifier(person), sql.Literal(password)))
        try:
            address = stack.database_url("postgres", name)
            with psycopg.connect(address, user=person, password=password, autocommit=True) as connection:
                yield connection
        finally:
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(person)))


@pytest.fixture(scope="module")
def filled(stack: Stack) -> Iterator[str]:
    """The name of a warehouse with a row in each table of each contract, analyzed."""
    patch = pytest.MonkeyPatch()
    patch.delenv("WAYBILL_INCLUDE_DIR", raising=False)
    settings.cache_clear()
    with database(stack) as dsn:
        name = dsn.rpartition("/")[2]
        with connect(dsn) as connection, connection.transaction():
            for contract in sorted(applied().values(), key=lambda one: not one.is_dataset):
                ensure(connection, contract)
        with psycopg.connect(stack.database_url("postgres", name), autocommit=True) as admin:
            admin.execute("set session_replication_role = replica")
            for contract in applied().values():
                fill(admin, contract)
            admin.execute(
                "insert into waybill.quarantine (file_id, record, reasons, raw, contract_version) "
                "values (1, 1, '{x}', %s, '1')",
                (json.dumps({"name": MARK}),),
            )
            admin.execute("insert into waybill.alert values ('d', 'r', 'failure', %s)", (MARK,))
            admin.execute("analyze")
        yield name
    patch.undo()
    settings.cache_clear()


@pytest.fixture
def analyst(stack: Stack, filled: str) -> Iterator[Connection]:
    """A connection of an analyst."""
    with logged_in(stack, filled) as connection:
        yield connection


@pytest.fixture
def admin(stack: Stack, filled: str) -> Iterator[Connection]:
    """A connection of the superuser to the same warehouse."""
    with psycopg.connect(stack.database_url("postgres", filled), autocommit=True) as connection:
        yield connection


def columns_of(admin: Connection) -> dict[tuple[str, str], dict[str, bool]]:
    """Return for each relation of the database its columns, and whether catalogs say that analysts may select it."""
    found: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for schema, relation, column, _, may in admin.execute(VISIBLE).fetchall():
        found[schema, relation][column] = may
    return found


def is_denied(analyst: Connection, query: sql.Composable) -> bool:
    try:
        analyst.execute(query)
    except errors.InsufficientPrivilege:
        return True
    return False


def relations_of(contract: Contract, relations: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the relations that have the rows of a contract, by their names: tables, partitions and views."""
    others = {one.name for one in applied().values() if one.domain == contract.domain} - {contract.name}
    return [
        (schema, name)
        for schema, name in relations
        if schema == contract.domain
        and (name == contract.name or name.startswith(f"{contract.name}_"))
        and not any(
            name == other or name.startswith(f"{other}_") for other in others if len(other) > len(contract.name)
        )
    ]


def test_each_restricted_column_is_denied_by_every_relation(analyst: Connection, admin: Connection) -> None:
    relations, tried = columns_of(admin), 0
    for contract in applied().values():
        for name in restricted_names(contract):
            having = [one for one in relations_of(contract, relations) if name in relations[one]]
            assert having, (contract.table, name)
            for relation in having:
                table, column = sql.Identifier(*relation), sql.Identifier(name)
                for attempt in (
                    "select {column} from {table}",
                    "select count({column}) from {table}",
                    "select 1 from {table} where {column} is not null",
                    "select 1 from {table} order by {column}",
                    "select t from {table} as t",
                    "select to_jsonb(t) from {table} as t",
                    "select * from {table}",
                    "copy {table} ({column}) to stdout",
                    "explain select 1 from {table} where {column} is null",
                ):
                    assert is_denied(analyst, sql.SQL(attempt).format(table=table, column=column)), (relation, attempt)
                    tried += 1
    assert tried > 100


def test_each_other_column_is_readable_in_tables_and_views(analyst: Connection, admin: Connection) -> None:
    relations = columns_of(admin)
    for contract in applied().values():
        restricted = restricted_names(contract)
        for relation in relations_of(contract, relations):
            if relation[1].endswith("_rest"):
                assert not any(relations[relation].values()), "partitions have no grants"
                continue
            names = [name for name in relations[relation] if name not in restricted]
            found = analyst.execute(
                sql.SQL("select {} from {}").format(
                    sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(*relation)
                )
            )
            assert found.rowcount == ROWS, relation
        whole = sql.Identifier(contract.domain, contract.name + ("_unrestricted" if restricted else ""))
        cursor = analyst.execute(sql.SQL("select * from {}").format(whole))
        assert [one.name for one in cursor.description or () if one.name in contract.names] == [
            one.name for one in contract.columns if one.name not in restricted
        ]
        if contract.is_dataset:
            function = sql.Identifier(
                contract.domain, contract.name + ("_unrestricted" if restricted else "") + "_as_of"
            )
            cursor = analyst.execute(sql.SQL("select * from {}('2100-01-01')").format(function))
            assert {one.name for one in cursor.description or ()} == {*contract.names} - restricted


def test_nothing_that_analysts_can_read_has_a_restricted_value(analyst: Connection, admin: Connection) -> None:
    """Statistics of the planner and all catalogs are searched, too, and every function that takes a day is called."""
    kept = {MARK, *map(str, MARKED.values())}
    catalogs = [("pg_catalog", name) for (name,) in admin.execute(
        "select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v')"
    ).fetchall()]  # fmt: skip
    searched = 0
    for schema, relation in [*columns_of(admin), *catalogs]:
        columns = [
            name
            for (name,) in admin.execute(
                "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped "
                "and has_column_privilege('waybill_analyst', attrelid, attnum, 'select')",
                (sql.Identifier(schema, relation).as_string(None),),
            ).fetchall()
        ]
        if not columns:
            continue
        query = sql.SQL("select concat_ws(' ', {}) from {}").format(
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(one)) for one in columns),
            sql.Identifier(schema, relation),
        )
        try:
            text = " ".join(row for (row,) in analyst.execute(query).fetchall())
        except (errors.InsufficientPrivilege, errors.UndefinedTable):  # a view of the catalog that refuses, or a schema
            continue
        searched += 1
        # What the analyst asked for is in the list of sessions.
        assert not [one for one in kept if one in text], (schema, relation)
    assert searched > 100
    functions = admin.execute(
        "select n.nspname, p.proname from pg_proc as p inner join pg_namespace as n on n.oid = p.pronamespace "
        "where n.nspname not in ('pg_catalog', 'information_schema', 'public') and p.proargtypes[0] = 'date'::regtype"
    ).fetchall()
    called = 0
    for function in functions:
        query = sql.SQL("select k::text from {}('2100-01-01') as k").format(sql.Identifier(*function))
        if not is_denied(analyst, query):
            text = str(analyst.execute(query).fetchall())
            assert not [one for one in kept if one in text], function
            called += 1
    assert called >= 10
    assert MARK in str(admin.execute("select * from pg_stats").fetchall()), "the superuser sees such statistics"


def test_the_schema_of_operations_shows_only_the_places_of_files(admin: Connection) -> None:
    readable = {
        f"{relation}.{column}"
        for (schema, relation), columns in columns_of(admin).items()
        if schema == "waybill"
        for column, may in columns.items()
        if may
    }
    assert readable == {f"load_file.{name}" for name in ("file_id", "period", "landed_at", "name_key")}


REFUSED: Final = (errors.InsufficientPrivilege, errors.WrongObjectType, errors.ObjectNotInPrerequisiteState)
"""How PostgreSQL refuses a change. Views that it cannot change are the last two."""


def test_analysts_change_nothing(analyst: Connection, admin: Connection) -> None:
    for schema, relation in columns_of(admin):
        table = sql.Identifier(schema, relation)
        for attempt in (
            "delete from {}",
            "truncate {}",
            "create index on {} ((1))",
            "alter table {} owner to current_user",
        ):
            with pytest.raises(REFUSED):
                analyst.execute(sql.SQL(attempt).format(table))
    for attempt in ("create schema mine", "create table public.mine ()", "create table messaging.mine ()"):
        assert is_denied(analyst, sql.SQL(attempt))


def test_grants_follow_the_classification(stack: Stack, warehouse_dsn: str) -> None:
    was = applied()["messaging.customers"]
    name = next(one.name for one in was.columns if one.classification == "confidential")
    stricter = odcs.recorded(was.document.replace("classification: confidential", "classification: restricted"))
    assert restricted_names(stricter) == {name}
    read = sql.SQL("select {} from {}")
    with connect(warehouse_dsn) as owner, logged_in(stack, warehouse_dsn.rpartition("/")[2]) as analyst:
        for contract, is_restricted in ((was, False), (stricter, True), (was, False), (stricter, True)):
            for _ in range(2):
                with owner.transaction():
                    ensure(owner, contract)
            for table in ("customers", "customers_history"):
                query = read.format(sql.Identifier(name), sql.Identifier("messaging", table))
                assert is_denied(analyst, query) == is_restricted
            exists = "select to_regclass('messaging.customers_unrestricted'), to_regprocedure(%s)"
            found = owner.execute(exists, ("messaging.customers_unrestricted_as_of(date)",)).fetchone()
            assert found == ((None, None) if not is_restricted else found)
            assert (None not in (found or ())) == is_restricted


def test_migrate_grants_what_a_warehouse_lacks_and_revokes_what_the_project_restricts(
    stack: Stack, warehouse_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = applied()["messaging.customers"]
    looser = odcs.recorded(was.document.replace("classification: confidential", "classification: internal"))
    stricter = odcs.recorded(was.document.replace("classification: confidential", "classification: restricted"))
    [name] = restricted_names(stricter)
    query = sql.SQL("select {} from messaging.customers_history").format(sql.Identifier(name))
    with connect(warehouse_dsn) as owner, logged_in(stack, warehouse_dsn.rpartition("/")[2]) as analyst:
        with owner.transaction():
            ensure(owner, looser)
        owner.execute("revoke all on messaging.customers_history from waybill_analyst")  # as before the role existed
        assert is_denied(analyst, query)
        done = CliRunner().invoke(app, ["migrate"])
        assert done.stdout.splitlines()[-1] == "waybill_analyst may select the unrestricted columns of 1 table."
        assert not is_denied(analyst, query)
        monkeypatch.setattr("waybill.warehouse.analysts.odcs.load", lambda _: stricter)
        CliRunner().invoke(app, ["migrate"])
        assert is_denied(analyst, query)
        assert not is_denied(analyst, sql.SQL("select customer_id from messaging.customers_history"))


@pytest.mark.usefixtures("warehouse_dsn")
def test_migrate_without_the_role_tells_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waybill.warehouse.analysts.ANALYST_ROLE", "nobody_of_this_name")
    done = CliRunner().invoke(app, ["migrate"])
    assert done.stdout.splitlines()[-1] == "The role waybill_analyst does not exist, so analysts have no access."
