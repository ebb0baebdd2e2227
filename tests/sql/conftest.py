"""The shop's tables for the tests of its SQL: made once, emptied by rolling back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from support.shop_fixtures import ShopWarehouse

if TYPE_CHECKING:
    from waybill_devtools.stack import Stack


@pytest.fixture(scope="session")
def shop_dsn(stack: Stack) -> Iterator[str]:
    """The address of a database with the shop's tables, empty."""
    name = f"shop_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template warehouse owner waybill_etl").format(sql.Identifier(name)))
        dsn = stack.database_url("waybill_etl", name)
        with psycopg.connect(dsn) as connection:
            ShopWarehouse(connection).create()
        try:
            yield dsn
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def warehouse_of_shop(shop_dsn: str) -> Iterator[ShopWarehouse]:
    """The tables of the shop; changes of a test are rolled back."""
    with psycopg.connect(shop_dsn) as connection, connection.transaction(force_rollback=True):
        yield ShopWarehouse(connection)
