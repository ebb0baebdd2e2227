"""`waybill migrate` after an update, and after a rollback."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from support.messaging_months import database
from waybill.cli import app
from waybill.errors import DataError
from waybill.warehouse import migrations
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack


def test_after_a_rollback_the_schema_of_the_later_release_stays(warehouse: psycopg.Connection) -> None:
    done = CliRunner().invoke(app, ["migrate"])
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "The warehouse is at the newest version.")
    warehouse.execute("update waybill.alembic_version set version_num = 'later'")
    warehouse.commit()
    done = CliRunner().invoke(app, ["migrate"])
    expected = "The warehouse is at revision later of a later release. Nothing was changed.\n"
    assert (done.exit_code, done.stdout) == (0, expected)
    assert warehouse.execute("select version_num from waybill.alembic_version").fetchall() == [("later",)]


def test_a_migration_gives_up_if_a_table_is_in_use_and_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 1)
    with database(stack) as dsn, connect(dsn) as connection, connect(dsn) as reader:
        connection.execute("update waybill.alembic_version set version_num = '0025'")
        connection.execute("drop table waybill.drift")
        connection.execute("alter table waybill.rejected_file drop size_bytes, drop rows_in, drop brought_columns")
        connection.execute("alter table waybill.rejected_file drop ignored_columns")
        with reader.transaction():
            reader.execute("select from waybill.rejected_file")
            with pytest.raises(DataError, match="Nothing was changed") as caught:
                migrations.upgrade(connection, "0026")
            reader.execute("select from waybill.rejected_file")
        assert f"waybill.rejected_file by process {reader.info.backend_pid} (waybill, in a transaction" in str(
            caught.value
        )
        assert connection.execute("select to_regclass('waybill.drift')").fetchall() == [(None,)]
        assert migrations.upgrade(connection, "0026") is None
        assert connection.execute("select count(*) from waybill.drift").fetchall() == [(0,)]
        assert connection.execute("show lock_timeout").fetchall() == [("0",)]


def test_a_migration_that_fails_changes_nothing(stack: Stack) -> None:
    with database(stack) as dsn, connect(dsn) as connection:
        connection.execute("drop table waybill.drift")
        connection.execute("update waybill.alembic_version set version_num = '0024'")
        connection.execute("alter table waybill.publication drop column seconds")
        connection.execute("alter table waybill.load_file drop column seconds")
        with pytest.raises(ProgrammingError, match="size_bytes"):  # 0025 succeeds, 0026 does not
            migrations.upgrade(connection, "0026")
        assert connection.execute("select version_num from waybill.alembic_version").fetchall() == [("0024",)]
        columns = connection.execute(
            "select from information_schema.columns where table_schema = 'waybill' and column_name = 'seconds'"
        ).fetchall()
        assert columns == []
        assert connection.autocommit
