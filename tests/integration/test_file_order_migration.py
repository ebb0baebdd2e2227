"""A warehouse made before landing times were recorded: its files keep their order, and its functions are made again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from support.landing import LANDED_AT
from support.messaging_months import database
from support.order_files import Line, Orders
from waybill.warehouse.connection import connect
from waybill.warehouse.file_order import natural_key
from waybill.warehouse.migrations import upgrade
from waybill_devtools.stack import Stack

# What the migration added; without it the as-of function, which orders by it, is gone, too.
_UNDO = """
alter table waybill.load_file drop column landed_at cascade, drop column name_key cascade;
alter table waybill.contract drop column file_order, drop column layout;
update waybill.alembic_version set version_num = '0008'
"""


def test_files_of_before_the_migration_keep_the_order_of_names_and_precede_later_landings(stack: Stack) -> None:
    with database(stack) as dsn:
        with connect(dsn) as connection:
            orders = Orders(connection)
            for name in ("b.csv", "a.csv"):
                orders.arrive("2026-03-01", name, Line(list_price=f"{len(name)}.00", region=name))
            (newest,) = connection.execute("select version_num from waybill.alembic_version").fetchone() or ()
            connection.execute(_UNDO)
        with connect(dsn) as connection:
            upgrade(connection, "0009")
        with connect(dsn) as connection:
            connection.execute("update waybill.alembic_version set version_num = %s", (newest,))
            orders = Orders(connection)
            before = connection.execute("select object_key, landed_at, name_key from waybill.load_file").fetchall()
            assert [(at, key) for _, at, key in before] == [
                (datetime(1970, 1, 1, tzinfo=UTC), natural_key(key)) for key, *_ in before
            ]
            orders.arrive("2026-03-02", "c.csv", Line(order="2"))
            known = "select order_id, region from orders.lines_as_of('2026-03-02') order by 1"
            assert connection.execute(known).fetchall() == [("1", "b.csv")]
            late = LANDED_AT - timedelta(days=300)
            orders.arrive("2026-03-01", "a (2).csv", Line(region="a (2).csv"), landed_at=late)
            assert connection.execute(known).fetchall() == [("1", "a (2).csv")]
