"""A warehouse made before rejected files had a table of that name keeps its rows and grants."""

from __future__ import annotations

from support.messaging_months import database
from waybill.warehouse.connection import connect, one_row
from waybill.warehouse.migrations import upgrade
from waybill_devtools.stack import Stack


def test_rows_and_grants_of_the_former_table_stay(stack: Stack) -> None:
    with database(stack) as dsn:
        with connect(dsn) as connection:
            connection.execute("drop schema waybill cascade")
        with connect(dsn) as connection:
            upgrade(connection, "0013")
        with connect(dsn) as connection:
            connection.execute(
                "insert into waybill.refusal (dataset, period, object_key, etag, message) "
                "values ('messaging.traffic', '2026-03-01', 'a.csv', 'e1', 'the file is empty')"
            )
            (refused_at,) = one_row(connection, "select refused_at from waybill.refusal")
        with connect(dsn) as connection:
            upgrade(connection)
        with connect(dsn) as connection:
            kept = one_row(
                connection,
                "select rejected_file_id, dataset, object_key, etag, message, reasons, rejected_at "
                "from waybill.rejected_file",
            )
            assert kept == (1, "messaging.traffic", "a.csv", "e1", "the file is empty", [], refused_at)
            connection.execute(
                "insert into waybill.rejected_file (dataset, object_key, message) values ('shop.orders', 'b', 'c')"
            )
            query = "select max(rejected_file_id), to_regclass('waybill.refusal') from waybill.rejected_file"
            assert one_row(connection, query) == (2, None)
            query = "select has_table_privilege('waybill_reader', 'waybill.rejected_file', 'select')"
            assert one_row(connection, query) == (True,)
